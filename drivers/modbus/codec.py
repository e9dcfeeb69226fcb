"""Words to values and back. Pure.

Promises: `decode` gives a value or a quality that is not good, never an exception for any words of the right
count; `encode` is its inverse. Must not know: frames, addresses, time.
"""

import math
import struct
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, Literal

from drivers.api import Quality, Value
from drivers.modbus import dates
from drivers.modbus.profile import BIT_TABLES, ModbusPoint, ModbusProfile
from drivers.modbus.types import TYPES
from drivers.scaling import scaled

Decoded = tuple[Value | None, Quality]
Meaning = Callable[[Any], Decoded]
"""What something raw says."""

_FLOATS = {
    "f16": (struct.Struct(">e"), range(3, 6)),
    "f32": (struct.Struct(">f"), range(6, 10)),
    "f64": (struct.Struct(">d"), range(0)),
}
"""The layout of each float type, and how many decimal digits may be needed to tell its values apart."""
_BYTES = {
    "u8h": slice(0, 1), "i8h": slice(0, 1), "u8l": slice(1, 2), "i8l": slice(1, 2),
    "u24": slice(1, 4), "i24": slice(1, 4),
}  # fmt: skip
"""Where a number stands that does not fill its registers."""
_FAULT: Decoded = (None, Quality.FAULT)


def decode(profile: ModbusProfile, point: ModbusPoint, words: Sequence[int]) -> Decoded:
    """The value of `words` as they came, `point.registers` of them (0 or 1 each for bits), with its quality.

    NaN, infinity, undecodable text, digits that are no BCD, impossible dates and `not_available` words give None
    and `flt`.
    """
    if point.table in BIT_TABLES:
        return _truth(point, words[0])
    if _says_nothing(point, words):
        return _FAULT
    raw = _to_bytes(profile, point, words)
    if point.type == "string":
        return _text(point, raw)
    if point.type in dates.KINDS:
        text = dates.to_text(point.type, raw)
        return _FAULT if text is None else (text, Quality.GOOD)
    number = _sum(profile, point, words) if point.type == "sum" else _number(point.type, point.bits, raw)
    if number is None:
        return _FAULT
    if point.type == "bool":
        return _truth(point, int(number))
    return _measured(point, number)


def meaning(point: ModbusPoint, nothing: Collection[int | float]) -> Meaning:
    """What raw numbers of types that `struct` knows say; those in `nothing` mean that there is no value."""
    if point.type in _FLOATS:
        return lambda raw: _measured(point, _shortest(point.type, raw))
    if not nothing and not point.fraction_bits:
        return partial(scaled, point)
    return lambda raw: _FAULT if raw in nothing else _measured(point, raw)


def is_itself(point: ModbusPoint) -> bool:
    """Is a raw whole number of this point its value, whatever it is?"""
    return not (
        point.type in _FLOATS
        or point.enum
        or point.range
        or point.fraction_bits
        or (point.scale, point.offset) != (1.0, 0.0)
    )


def encode(profile: ModbusProfile, point: ModbusPoint, value: Value | None) -> tuple[int, ...]:
    """The words that `decode` reads as `value`; a point with `bits` has its other bits 0.

    None gives the first `not_available` word. Raises `ValueError` where the type cannot hold the value.
    """
    if value is None:
        return _nothing(point)
    if point.type == "string":
        return _to_words(profile, point, _text_bytes(point, str(value)))
    if point.type in dates.KINDS:
        return _to_words(profile, point, dates.to_bytes(point.type, str(value)))
    raw = _raw(point, value)
    if point.table in BIT_TABLES:
        return (int(bool(raw)),)
    if point.type == "sum":
        return _sum_words(profile, point, raw)
    try:
        return _to_words(profile, point, _number_bytes(point, raw))
    except OverflowError as err:
        raise ValueError(f"{point.name}: {value} does not fit {point.type}") from err


def raw_limits(point: ModbusPoint) -> tuple[int, int] | None:
    """The least and the greatest raw number that the point can hold; None for floats, text and sums."""
    form = TYPES[point.type].form
    if point.bits or form == "flags":
        lowest, highest = point.bits or (0, 16 * point.registers - 1)
        return 0, (1 << highest - lowest + 1) - 1
    return TYPES[point.type].raw


def word_order(profile: ModbusProfile, point: ModbusPoint) -> Literal["big", "little"]:
    """Devices that send numbers low word first still send text and dates forwards: those have their own say only."""
    own = TYPES[point.type].form in ("text", "date") and point.type != "epoch32"
    return point.word_order or ("big" if own else profile.word_order)


def _measured(point: ModbusPoint, number: int | float) -> Decoded:
    return scaled(point, number / (1 << point.fraction_bits) if point.fraction_bits else number)


def _truth(point: ModbusPoint, number: int) -> Decoded:
    flag = bool(number)
    return scaled(point, int(flag)) if point.enum else (flag, Quality.GOOD)


def _says_nothing(point: ModbusPoint, words: Sequence[int]) -> bool:
    return any(
        tuple(words) == pattern if isinstance(pattern, tuple) else all(word == pattern for word in words)
        for pattern in point.not_available
    )


def _number(kind: str, bits: tuple[int, int] | None, raw: bytes) -> int | float | None:
    """The raw number in `raw`, highest byte first; None where the digits are no BCD."""
    form = TYPES[kind].form
    if form == "float":
        return _shortest(kind, _FLOATS[kind][0].unpack(raw)[0])
    if form == "bcd":
        text = raw.hex()
        return int(text) if text.isdecimal() else None
    if bits is not None or form == "flags":
        lowest, highest = bits or (0, 8 * len(raw) - 1)
        return int.from_bytes(raw, "big") >> lowest & (1 << highest - lowest + 1) - 1
    return int.from_bytes(raw[_BYTES.get(kind, slice(None))], "big", signed=kind[0] == "i")


def _shortest(kind: str, exact: float) -> float:
    """The shortest decimal that is this float: 230.2 and not 230.1999969482422."""
    layout, digits = _FLOATS[kind]
    raw = layout.pack(exact)
    for count in digits:
        short = float(f"{exact:.{count}g}")
        try:
            if layout.pack(short) == raw:
                return short
        except OverflowError:  # rounded up past the largest number of the type
            continue
    return exact


def _number_bytes(point: ModbusPoint, raw: int | float) -> bytes:
    """The inverse of `_number`; raises `ValueError` or `OverflowError` where the type cannot hold `raw`."""
    if point.type in _FLOATS:
        return _FLOATS[point.type][0].pack(raw)
    number, size, limits = round(raw), 2 * point.registers, raw_limits(point)
    if limits and not limits[0] <= number <= limits[1]:
        what = f"{number} does not fit {point.type}, which holds {limits[0]} to {limits[1]}"
        raise ValueError(f"{point.name}: {what}")
    if TYPES[point.type].form == "bcd":
        return bytes.fromhex(f"{number:0{2 * size}d}")
    if point.bits:
        return (number << point.bits[0]).to_bytes(size, "big")
    place = _BYTES.get(point.type, slice(0, size))
    laid = bytearray(size)
    laid[place] = number.to_bytes(place.stop - place.start, "big", signed=number < 0)
    return bytes(laid)


def _sum(profile: ModbusProfile, point: ModbusPoint, words: Sequence[int]) -> int | float | None:
    """The parts, each times its weight; None where one of them is no number."""
    part = point.part or "u16"
    width = TYPES[part].registers
    total: int | float = 0
    for index, weight in enumerate(point.weights):
        number = _number(part, None, _to_bytes(profile, point, words[index * width : (index + 1) * width]))
        if number is None or not math.isfinite(number) or (point.part_max is not None and number > point.part_max):
            return None
        total += number * (int(weight) if weight.is_integer() else weight)
    return total


def _sum_words(profile: ModbusProfile, point: ModbusPoint, total: int | float) -> tuple[int, ...]:
    """Parts that add up to `total`: as much as will go into the greatest weight, then into the next one."""
    part = point.part or "u16"
    limits = TYPES[part].raw
    most = point.part_max or (limits[1] if limits else math.inf)
    if total < 0:
        raise ValueError(f"{point.name}: {total} is no sum of its parts")
    counts = [0.0] * len(point.weights)
    for index in sorted(range(len(counts)), key=lambda i: -point.weights[i]):
        if point.weights[index] > 0:
            counts[index] = min(most, total // point.weights[index])
            total -= counts[index] * point.weights[index]
    one = ModbusPoint(name=point.name, table=point.table, address=0, type=part)
    parts = (_to_words(profile, point, _number_bytes(one, count)) for count in counts)
    return tuple(word for words in parts for word in words)


def _raw(point: ModbusPoint, value: Value) -> int | float:
    """What stands on the wire for a value: its enum number, or scale, offset and fraction undone."""
    if point.enum and isinstance(value, str):
        for number, name in point.enum.items():
            if name == value:
                return int(number)
        return int(value)
    if isinstance(value, str):
        return float(value)
    if point.type == "bool":
        return int(bool(value))
    raw = value if (point.scale, point.offset) == (1.0, 0.0) else (value - point.offset) / point.scale
    return raw * (1 << point.fraction_bits) if point.fraction_bits else raw


def _nothing(point: ModbusPoint) -> tuple[int, ...]:
    for pattern in point.not_available:
        return pattern if isinstance(pattern, tuple) else (pattern,) * point.registers
    raise ValueError(f"{point.name}: has no words that mean no value")


def _text(point: ModbusPoint, raw: bytes) -> Decoded:
    if point.layout != "packed":
        raw = raw[point.layout == "low" :: 2]
    # APC pads text in front (MPAO-98KJ7F, 1.3.3), others behind.
    try:
        text = raw.lstrip(b"\0").split(b"\0", 1)[0].decode("utf-8").strip()
    except UnicodeDecodeError:
        return _FAULT
    return (text, Quality.GOOD) if text.isprintable() else _FAULT


def _text_bytes(point: ModbusPoint, text: str) -> bytes:
    size = 2 * point.registers
    raw = text.encode("utf-8")
    if point.layout != "packed":
        spread = bytearray(2 * len(raw))
        spread[point.layout == "low" :: 2] = raw
        raw = bytes(spread)
    if len(raw) > size:
        raise ValueError(f'{point.name}: "{text}" needs {len(raw)} bytes and there are {size}')
    return raw.ljust(size, b"\0")


def _to_bytes(profile: ModbusProfile, point: ModbusPoint, words: Sequence[int]) -> bytes:
    """The bytes of a value, highest first, whatever the order on the wire."""
    order: Literal["little", "big"] = point.byte_order or profile.byte_order
    ordered = reversed(words) if word_order(profile, point) == "little" else words
    return b"".join(word.to_bytes(2, order) for word in ordered)


def _to_words(profile: ModbusProfile, point: ModbusPoint, raw: bytes) -> tuple[int, ...]:
    order: Literal["little", "big"] = point.byte_order or profile.byte_order
    words = tuple(int.from_bytes(raw[at : at + 2], order) for at in range(0, len(raw), 2))
    return words[::-1] if word_order(profile, point) == "little" else words
