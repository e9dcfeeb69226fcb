"""VISCA: inquiries, and what the frames mean that come back. Pure.

Source: Sony VISCA command lists (FCB-EH4300, SRG-300H), and those of compatible makers. Promises: a frame is taken
for the answer to an inquiry only where it has that inquiry's form. Must not know: ports, time.
"""

from collections.abc import Callable
from dataclasses import dataclass

ADDRESS_SET = bytes.fromhex("88 30 01 FF")
END = 0xFF
MAX_FRAME = 16

Raw = dict[str, int | str]


@dataclass(frozen=True, slots=True)
class Answer:
    """The data of an inquiry's answer."""

    unit: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """An error message; `code` as in the command lists."""

    unit: int
    code: int

    @property
    def why(self) -> str:
        return ERRORS.get(self.code, f"error {self.code:02X}")


@dataclass(frozen=True, slots=True)
class Other:
    """A message that answers no inquiry: acknowledgement, completion, change of the chain."""

    network_change: bool = False


ERRORS = {
    0x01: "message length error",
    0x02: "syntax error",
    0x03: "command buffer full",
    0x04: "command cancelled",
    0x05: "no socket",
    0x41: "not executable now",
}
NOT_EXECUTABLE = 0x41


@dataclass(frozen=True, slots=True)
class Inquiry:
    """One question: its bytes behind the address, which lengths its data may have, and what the data say."""

    ask: bytes
    lengths: tuple[int, ...]
    read: Callable[[bytes], Raw | None]

    def bytes_for(self, unit: int) -> bytes:
        """The message to the camera `unit`, 1 to 7."""
        return bytes([0x80 | unit]) + self.ask + bytes([END])


def _named(name: str, names: dict[int, str]) -> Callable[[bytes], Raw | None]:
    return lambda data: {name: names[data[0]]} if data[0] in names else None


def _nibbles(data: bytes) -> int | None:
    """The number whose digits are the low halves of the bytes; the high halves are 0."""
    if any(byte > 0x0F for byte in data):
        return None
    return int("".join(f"{byte:X}" for byte in data), 16)


def _position(name: str) -> Callable[[bytes], Raw | None]:
    def read(data: bytes) -> Raw | None:
        number = _nibbles(data)
        return None if number is None else {name: number}

    return read


def _pan_tilt(data: bytes) -> Raw | None:
    """Four nibbles each, signed."""
    pan, tilt = _nibbles(data[:-4]), _nibbles(data[-4:])
    if pan is None or tilt is None:
        return None
    return {"pan": _signed(pan, 4 * (len(data) - 4)), "tilt": _signed(tilt, 16)}


def _signed(number: int, bits: int) -> int:
    return number - (1 << bits) if number >> (bits - 1) else number


def _version(data: bytes) -> Raw:
    return {"vendor": data[0:2].hex().upper(), "model": data[2:4].hex().upper(), "rom": data[4:6].hex().upper()}


INQUIRIES: dict[str, Inquiry] = {
    "power": Inquiry(bytes.fromhex("09 04 00"), (1,), _named("power", {2: "on", 3: "standby"})),
    "zoom": Inquiry(bytes.fromhex("09 04 47"), (4,), _position("zoom")),
    "focus": Inquiry(bytes.fromhex("09 04 48"), (4,), _position("focus")),
    "focus_mode": Inquiry(bytes.fromhex("09 04 38"), (1,), _named("focus_mode", {2: "auto", 3: "manual"})),
    "pan_tilt": Inquiry(bytes.fromhex("09 06 12"), (8,), _pan_tilt),
    "version": Inquiry(bytes.fromhex("09 00 02"), (7,), _version),
}
BARRIER = INQUIRIES["version"]
"""The only inquiry whose answer has seven bytes: when it came, nothing that was asked before can come any more."""

ASKED_BY = {"pan": "pan_tilt", "tilt": "pan_tilt", "vendor": "version", "model": "version", "rom": "version"}


def inquiry_for(source: str) -> str:
    """The name of the inquiry that tells `source`."""
    return ASKED_BY.get(source, source)


def split(buffer: bytes) -> tuple[list[bytes], bytes]:
    """The frames in `buffer`, and what is left. Bytes that cannot begin a frame are dropped."""
    frames = []
    while END in buffer:
        frame, _, buffer = buffer.partition(bytes([END]))
        start = _start(frame)
        if start is not None and len(frame) - start < MAX_FRAME:
            frames.append(frame[start:] + bytes([END]))
    return frames, buffer[-MAX_FRAME:]


def _start(frame: bytes) -> int | None:
    """Where the last message in `frame` begins: an address of a camera or of all, and the kind of a message."""
    for at in range(len(frame) - 2, -1, -1):
        kind = frame[at + 1]
        if frame[at] == 0x88 or (
            frame[at] >= 0x90 and not frame[at] & 0x0F and (kind == 0x38 or kind >> 4 in (4, 5, 6))
        ):
            return at
    return None


def understood(frame: bytes) -> Answer | Refused | Other | None:
    """What a frame from a camera is; None for what no camera says."""
    unit = (frame[0] >> 4) - 8
    body = frame[1:-1]
    if body == b"\x38":
        return Other(network_change=True)
    if frame[0] & 0x0F or not 1 <= unit <= 7 or not body:
        return None
    kind = body[0] & 0xF0
    if kind == 0x60 and len(body) == 2:
        return Refused(unit, body[1])
    if body[0] == 0x50 and len(body) > 1:
        return Answer(unit, body[1:])
    return Other() if kind in (0x40, 0x50) and len(body) == 1 else None


def cameras_on_chain(frame: bytes) -> int | None:
    """How many cameras there are, where `frame` is the address message that went round the chain; else None."""
    if len(frame) == 4 and frame[:2] == b"\x88\x30" and frame[2] <= 8:
        return frame[2] - 1
    return None
