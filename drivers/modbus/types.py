"""The types that a point can have: how many registers, which raw numbers, and what they mean.

One table: widths, checks, the simulator's limits and docs/modbus-types.md come from it.
"""

from dataclasses import dataclass
from typing import Literal, get_args

PointType = Literal[
    "u8h", "u8l", "i8h", "i8l", "i16", "u16", "i24", "u24", "i32", "u32", "i48", "u48", "i64", "u64",
    "f16", "f32", "f64", "bcd16", "bcd32", "bcd48", "bcd64", "bool", "bits", "string", "sum",
    "epoch32", "date6", "date_bcd", "date_iec",
]  # fmt: skip
Form = Literal["whole", "bcd", "float", "flags", "text", "sum", "date"]


@dataclass(frozen=True, slots=True)
class TypeInfo:
    """One type. `registers` is its width, 0 where the point says it; `raw` are the least and greatest raw number."""

    form: Form
    registers: int
    meaning: str
    raw: tuple[int, int] | None = None


def _whole(bits: int, *, signed: bool, meaning: str) -> TypeInfo:
    raw = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return TypeInfo("whole", -(-bits // 16), meaning, raw)


def _sized(bits: int, meaning: str) -> dict[str, TypeInfo]:
    return {
        f"u{bits}": _whole(bits, signed=False, meaning=f"whole number {meaning}"),
        f"i{bits}": _whole(bits, signed=True, meaning=f"signed whole number {meaning}"),
    }


def _bcd(digits: int) -> TypeInfo:
    return TypeInfo("bcd", digits // 4, f"{digits} decimal digits, one in four bits; other digits are no value",
                    (0, 10**digits - 1))  # fmt: skip


TYPES: dict[str, TypeInfo] = {
    "u8h": _whole(8, signed=False, meaning="the high byte of a register"),
    "u8l": _whole(8, signed=False, meaning="the low byte of a register"),
    "i8h": _whole(8, signed=True, meaning="the high byte of a register, signed"),
    "i8l": _whole(8, signed=True, meaning="the low byte of a register, signed"),
    **_sized(16, "in one register"),
    **_sized(24, "in the low three bytes of two registers"),
    **_sized(32, "in two registers"),
    **_sized(48, "in three registers"),
    **_sized(64, "in four registers"),
    "f16": TypeInfo("float", 1, "IEEE 754 half precision"),
    "f32": TypeInfo("float", 2, "IEEE 754 single precision, given as the shortest decimal that is the same float"),
    "f64": TypeInfo("float", 4, "IEEE 754 double precision"),
    **{f"bcd{4 * digits}": _bcd(digits) for digits in (4, 8, 12, 16)},
    "bool": TypeInfo("flags", 0, "one bit: of a coil or discrete input, or `bits = [n, n]` of registers"),
    "bits": TypeInfo("flags", 0, "a status word as a number; `length` up to 4 registers, `bits = [lo, hi]` a part"),
    "string": TypeInfo("text", 0, "UTF-8 or ASCII text of `length` registers, without the zeros and blanks around it"),
    "sum": TypeInfo("sum", 0, "the sum of equal parts: `part` is their type, `weights` what each counts"),
    "epoch32": TypeInfo("date", 2, "seconds since 1970-01-01 UTC", (0, (1 << 32) - 1)),
    "date6": TypeInfo("date", 6, "year, month, day, hour, minute, second, one register each; a year below 100 is 20xx"),
    "date_bcd": TypeInfo("date", 3, "year, month, day, hour, minute, second as two BCD digits each"),
    "date_iec": TypeInfo("date", 4, "four registers after IEC 60870-5-4, as Schneider meters have it; "
                         "a time that is marked invalid is no value"),
}  # fmt: skip
"""Every type by name."""

assert TYPES.keys() == set(get_args(PointType))
