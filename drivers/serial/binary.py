"""Values at offsets of a binary frame. Pure.

Promises: `raw` of what `patched` wrote is what was written. Must not know: checksums, lengths, flags.
"""

from collections.abc import Callable
from typing import Literal

from drivers.api import Value
from drivers.serial.options import Frame, SerialPoint

Sent = Callable[[int], str | None]
"""The text at an index of a frame, None where the frame is not so long."""

WIDTH: dict[str, int] = {"u8": 1, "i8": 1, "u16": 2, "i16": 2, "u32": 4, "i32": 4, "hex": 1}
"""How many bytes a value of each type takes."""


def width(point: SerialPoint) -> int:
    """How many bytes the value of `point` takes."""
    return WIDTH.get(point.type, 0)


def byte_text(data: bytes, index: int) -> str | None:
    """The byte at `index` in hex, for flags."""
    return f"{data[index]:02X}" if index < len(data) else None


def raw(frame: Frame, point: SerialPoint, data: bytes) -> int | str | None:
    """The number at the place of `point`, or the byte in hex; None where the frame ends before it."""
    at = point.at or 0
    part = data[at : at + width(point)]
    if not part or len(part) < width(point):
        return None
    if point.type == "hex":
        return part.hex().upper()
    return int.from_bytes(part, _order(frame), signed=point.type.startswith("i"))


def patched(frame: Frame, point: SerialPoint, data: bytes, value: Value) -> bytes:
    """`data` with `value` at the place of `point`; raises `ValueError` where it does not fit."""
    at, size = point.at or 0, width(point)
    if not size or at + size > len(data):
        raise ValueError(f"{point.name} has no place in a frame of {len(data)} bytes")
    number = unscaled(point, value)
    try:
        if isinstance(number, str):
            part = bytes.fromhex(number)
        else:
            part = round(number).to_bytes(size, _order(frame), signed=point.type.startswith("i"))
    except OverflowError as err:
        raise ValueError(f"{point.name}: {value} does not fit {point.type}") from err
    if len(part) != size:
        raise ValueError(f"{point.name}: {value} does not fit {size} bytes")
    return data[:at] + part + data[at + size :]


def unscaled(point: SerialPoint, value: Value) -> float | str:
    """What stands on the wire for `value`: its enum's text or number, or scale and offset undone."""
    text_only = point.type in ("string", "hex")
    if point.enum:
        for sent, name in point.enum.items():
            if name == value:
                return sent if text_only else int(sent)
        raise ValueError(f'{point.name}: "{value}" is none of its names')
    if text_only:
        return str(value)
    return (float(value) - point.offset) / point.scale


def _order(frame: Frame) -> Literal["little", "big"]:
    return frame.byte_order
