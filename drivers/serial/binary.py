"""Values at offsets of a binary frame. Pure.

Promises: `raw` of what `patched` wrote is what was written. Must not know: checksums, lengths, flags.
"""

import struct
from collections.abc import Callable

from drivers.api import Value
from drivers.serial.profile import Frame, SerialPoint

Sent = Callable[[int], str | None]
"""The text at an index of a frame, None where the frame is not so long."""

WIDTH: dict[str, int] = {"u8": 1, "i8": 1, "u16": 2, "i16": 2, "u24": 3, "u32": 4, "i32": 4, "f32": 4}
"""How many bytes a value of each type takes."""


def width(point: SerialPoint) -> int:
    """How many bytes the value of `point` takes."""
    return point.length if point.type == "hex" else WIDTH.get(point.type, 0)


def byte_text(data: bytes, index: int) -> str | None:
    """The byte at `index` in hex, for flags."""
    return f"{data[index]:02X}" if index < len(data) else None


def raw(frame: Frame, point: SerialPoint, data: bytes) -> float | int | str | None:
    """The number at the place of `point`, or bytes in hex; None where the frame ends before it, or says "no value"."""
    at = point.at or 0
    part = data[at : at + width(point)]
    if not part or len(part) < width(point):
        return None
    if point.type == "hex":
        return part.hex().upper()
    order = point.byte_order or frame.byte_order
    if point.type == "f32":
        number: float = struct.unpack(">f" if order == "big" else "<f", part)[0]
        return number
    whole = int.from_bytes(part, order, signed=point.type.startswith("i"))
    return None if whole in point.not_available else whole


def patched(frame: Frame, point: SerialPoint, data: bytes, value: Value) -> bytes:
    """`data` with `value` at the place of `point`; raises `ValueError` where it does not fit."""
    at, size = point.at or 0, width(point)
    if not size or at + size > len(data):
        raise ValueError(f"{point.name} has no place in a frame of {len(data)} bytes")
    number = unscaled(point, value)
    order = point.byte_order or frame.byte_order
    try:
        if isinstance(number, str):
            part = bytes.fromhex(number)
        elif point.type == "f32":
            part = struct.pack(">f" if order == "big" else "<f", number)
        else:
            part = round(number).to_bytes(size, order, signed=point.type.startswith("i"))
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
