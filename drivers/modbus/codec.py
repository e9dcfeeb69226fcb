"""Words to values and back. Pure.

Promises: `decode` gives a value or a quality that is not good, never an exception for any words of the right
count; `encode` is its inverse. Must not know: frames, addresses, time.
"""

import struct
from collections.abc import Sequence
from typing import Literal

from drivers.api import Quality, Value
from drivers.modbus.profile import BIT_TABLES, WIDTH, ModbusPoint, ModbusProfile
from drivers.scaling import scaled

Decoded = tuple[Value | None, Quality]

_FLOATS = {"f16": (">e", range(3, 6)), "f32": (">f", range(6, 10)), "f64": (">d", range(0))}
"""The layout of each float type, and how many decimal digits may be needed to tell its values apart."""
_FAULT: Decoded = (None, Quality.FAULT)


def registers(point: ModbusPoint) -> int:
    """How many words of its table a point takes; bits for a coil or discrete input."""
    if point.table in BIT_TABLES:
        return 1
    return point.length or WIDTH[point.type]


def decode(profile: ModbusProfile, point: ModbusPoint, words: Sequence[int]) -> Decoded:
    """The value of `words` as they came, `registers(point)` of them (0 or 1 each for bits), with its quality.

    NaN, infinity, undecodable text, digits that are no BCD and `not_available` words give None and `flt`.
    """
    if point.table in BIT_TABLES:
        return _truth(point, words[0])
    if _says_nothing(point, words):
        return _FAULT
    raw = _to_bytes(profile, point, words)
    if point.type == "string":
        return _text(raw)
    if point.type in _FLOATS:
        return scaled(point, _real(point.type, raw))
    number = _whole(point, raw)
    if number is None:
        return _FAULT
    return _truth(point, number) if point.type == "bool" else scaled(point, number)


def encode(profile: ModbusProfile, point: ModbusPoint, value: Value | None) -> tuple[int, ...]:
    """The words that `decode` reads as `value`; a point with `bits` has its other bits 0.

    None gives the first `not_available` word. Raises `ValueError` where the type cannot hold the value.
    """
    if value is None:
        return _nothing(point)
    if point.type == "string":
        return _to_words(profile, point, _text_bytes(point, str(value)))
    raw = _raw(point, value)
    if point.table in BIT_TABLES:
        return (int(bool(raw)),)
    try:
        if point.type in _FLOATS:
            return _to_words(profile, point, struct.pack(_FLOATS[point.type][0], raw))
        return _to_words(profile, point, _whole_bytes(point, round(raw)))
    except OverflowError as err:
        raise ValueError(f"{point.name}: {value} does not fit {point.type}") from err


def _truth(point: ModbusPoint, number: int) -> Decoded:
    flag = bool(number)
    return scaled(point, int(flag)) if point.enum else (flag, Quality.GOOD)


def _says_nothing(point: ModbusPoint, words: Sequence[int]) -> bool:
    return any(
        tuple(words) == pattern if isinstance(pattern, tuple) else all(word == pattern for word in words)
        for pattern in point.not_available
    )


def _real(kind: str, raw: bytes) -> float:
    """The shortest decimal that is this float: 230.2 and not 230.1999969482422."""
    layout, digits = _FLOATS[kind]
    exact: float = struct.unpack(layout, raw)[0]
    for count in digits:
        short = float(f"{exact:.{count}g}")
        try:
            if struct.pack(layout, short) == raw:
                return short
        except OverflowError:  # rounded up past the largest number of the type
            continue
    return exact


def _whole(point: ModbusPoint, raw: bytes) -> int | None:
    match point.type:
        case "u8h":
            return raw[0]
        case "u8l":
            return raw[1]
        case "i24" | "u24":
            return int.from_bytes(raw[1:], "big", signed=point.type == "i24")
        case "bcd16" | "bcd32":
            text = raw.hex()
            return int(text) if text.isdecimal() else None
        case "bool" | "bits" | "u16" | "u32" | "u64":
            number = int.from_bytes(raw, "big")
            lowest, highest = point.bits or (0, 8 * len(raw) - 1)
            return number >> lowest & (1 << highest - lowest + 1) - 1
        case _:
            return int.from_bytes(raw, "big", signed=True)


def _whole_bytes(point: ModbusPoint, number: int) -> bytes:
    size = 2 * registers(point)
    lowest, highest = _whole_range(point, 8 * size)
    if not lowest <= number <= highest:
        raise ValueError(f"{point.name}: {number} does not fit {point.type}, which holds {lowest} to {highest}")
    match point.type:
        case "u8h":
            return bytes([number, 0])
        case "i24":
            return (number & 0xFFFFFF).to_bytes(size, "big")
        case "bcd16" | "bcd32":
            return bytes.fromhex(f"{number:0{2 * size}d}")
        case _:
            shift = point.bits[0] if point.bits else 0
            return (number << shift).to_bytes(size, "big", signed=lowest < 0)


def _whole_range(point: ModbusPoint, width: int) -> tuple[int, int]:
    match point.type:
        case "u8h" | "u8l":
            return 0, 0xFF
        case "i24":
            return -(1 << 23), (1 << 23) - 1
        case "u24":
            return 0, (1 << 24) - 1
        case "bcd16" | "bcd32":
            return 0, 10 ** (width // 4) - 1
        case "i16" | "i32" | "i64":
            return -(1 << width - 1), (1 << width - 1) - 1
        case _:
            lowest, highest = point.bits or (0, width - 1)
            return 0, (1 << highest - lowest + 1) - 1


def _raw(point: ModbusPoint, value: Value) -> int | float:
    """What stands on the wire for a value: its enum number, or scale and offset undone."""
    if point.enum and isinstance(value, str):
        for number, name in point.enum.items():
            if name == value:
                return int(number)
        return int(value)
    if isinstance(value, str):
        return float(value)
    if point.type == "bool":
        return int(bool(value))
    return value if (point.scale, point.offset) == (1.0, 0.0) else (value - point.offset) / point.scale


def _nothing(point: ModbusPoint) -> tuple[int, ...]:
    for pattern in point.not_available:
        return pattern if isinstance(pattern, tuple) else (pattern,) * registers(point)
    raise ValueError(f"{point.name}: has no words that mean no value")


def _text(raw: bytes) -> Decoded:
    # APC pads text in front (MPAO-98KJ7F, 1.3.3), others behind.
    try:
        text = raw.lstrip(b"\0").split(b"\0", 1)[0].decode("utf-8").strip()
    except UnicodeDecodeError:
        return _FAULT
    return (text, Quality.GOOD) if text.isprintable() else _FAULT


def _text_bytes(point: ModbusPoint, text: str) -> bytes:
    size = 2 * registers(point)
    raw = text.encode("utf-8")
    if len(raw) > size:
        raise ValueError(f'{point.name}: "{text}" is longer than {size} bytes')
    return raw.ljust(size, b"\0")


def _to_bytes(profile: ModbusProfile, point: ModbusPoint, words: Sequence[int]) -> bytes:
    """The bytes of a value, highest first, whatever the order on the wire."""
    order: Literal["little", "big"] = point.byte_order or profile.byte_order
    ordered = reversed(words) if _word_order(profile, point) == "little" else words
    return b"".join(word.to_bytes(2, order) for word in ordered)


def _to_words(profile: ModbusProfile, point: ModbusPoint, raw: bytes) -> tuple[int, ...]:
    order: Literal["little", "big"] = point.byte_order or profile.byte_order
    words = tuple(int.from_bytes(raw[at : at + 2], order) for at in range(0, len(raw), 2))
    return words[::-1] if _word_order(profile, point) == "little" else words


def _word_order(profile: ModbusProfile, point: ModbusPoint) -> str:
    """Devices that send numbers low word first still send text forwards, so a string has its own say only."""
    return point.word_order or ("big" if point.type == "string" else profile.word_order)
