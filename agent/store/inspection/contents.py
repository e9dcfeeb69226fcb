"""What is in a payload, for those who read it here and not at the IOC. Pure."""

from collections.abc import Iterator
from typing import Annotated, Any

import msgspec

from agent.packing import NotPacked, plain


class Value(msgspec.Struct, frozen=True, omit_defaults=True):
    """One reading as it left: no `quality` means good; `clock` is how far the time may be believed."""

    time_ms: int
    device: str
    point: str
    value: bool | int | float | str | None
    quality: str = ""
    status: str = ""
    seq: int = 0
    clock: str = ""


_Value = bool | int | float | str | None


class _Scan(msgspec.Struct):
    device: str
    time_ms: int
    values: dict[str, _Value] = {}
    shape: Annotated[int, msgspec.Meta(ge=0)] | None = None
    row: list[_Value] = []
    quality: dict[str, str] = {}
    status: dict[str, str] = {}


class Content(msgspec.Struct):
    """A payload, parsed: the envelope, and the scans of a data batch; those in rows have their `values` too."""

    epoch: str
    seq: int
    sealed_ms: int
    low: int
    clock: str
    shapes: list[list[str]] = []
    scans: list[_Scan] = []

    def __post_init__(self) -> None:
        for scan in self.scans:
            if scan.shape is not None:
                if scan.shape >= len(self.shapes):
                    raise ValueError(f"there is no shape {scan.shape}")
                scan.values = dict(zip(self.shapes[scan.shape], scan.row, strict=True))

    @property
    def readings(self) -> int:
        """How many readings it holds."""
        return sum(len(scan.values) for scan in self.scans)

    @property
    def devices(self) -> set[str]:
        """Whose readings it holds."""
        return {scan.device for scan in self.scans}

    def values(self) -> Iterator[Value]:
        """Every reading, in the order of the payload."""
        for scan in self.scans:
            for point, value in scan.values.items():
                quality, status = scan.quality.get(point, ""), scan.status.get(point, "")
                yield Value(scan.time_ms, scan.device, point, value, quality, status, self.seq, self.clock)


_decoder = msgspec.json.Decoder(Content)


def content_of(payload: bytes) -> Content | None:
    """Parse a payload; None where it is not one."""
    try:
        return _decoder.decode(plain(payload))
    except (NotPacked, msgspec.MsgspecError):
        return None


def decoded(payload: bytes) -> Any:
    """The JSON of a payload, whatever is in it; raises `NotPacked` or `msgspec.MsgspecError`."""
    return msgspec.json.decode(plain(payload))
