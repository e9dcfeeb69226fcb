"""Date-times of meters, as ISO 8601 text. Pure.

Only `epoch32` knows its time zone (UTC, "Z"); the others are the meter's own clock and are given without one.
Source of `date_iec`: Schneider Electric's DateTime format (four registers after IEC 60870-5-4): year since 2000 in
bits 0-6 of the first; month in bits 8-11, day in bits 0-4 of the second; hour in bits 8-12, minute in bits 0-5, and
"invalid" in bit 7 of the third; milliseconds of the minute in the fourth.
"""

import struct
from datetime import UTC, datetime

_CENTURY = 2_000
_INVALID = 0x80


def to_text(kind: str, raw: bytes) -> str | None:
    """The date-time in `raw`, highest byte first; None where it is impossible or marked invalid."""
    try:
        if kind == "epoch32":
            return datetime.fromtimestamp(int.from_bytes(raw, "big"), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        year, month, day, hour, minute, second, microsecond = (*_PARTS[kind](raw), 0)[:7]
        year += _CENTURY if year < 100 else 0
        when = datetime(year, month, day, hour, minute, second, microsecond)  # noqa: DTZ001 - the meter's own clock
        return when.isoformat()
    except (ValueError, OverflowError):
        return None


def to_bytes(kind: str, text: str) -> bytes:
    """The inverse of `to_text`; raises `ValueError` where `text` is no date-time of this kind."""
    when = datetime.fromisoformat(text)
    if kind == "epoch32":
        return int(when.replace(tzinfo=UTC).timestamp()).to_bytes(4, "big")
    if kind == "date_bcd":
        return bytes.fromhex(when.strftime("%y%m%d%H%M%S"))
    if kind == "date6":
        return struct.pack(">6H", *when.timetuple()[:6])
    milliseconds = when.second * 1_000 + when.microsecond // 1_000
    return struct.pack(
        ">4H", when.year - _CENTURY, when.month << 8 | when.day, when.hour << 8 | when.minute, milliseconds
    )


def _six(raw: bytes) -> tuple[int, ...]:
    return struct.unpack(">6H", raw)


def _bcd(raw: bytes) -> tuple[int, ...]:
    digits = raw.hex()
    return tuple(int(digits[at : at + 2]) for at in range(0, 12, 2))


def _iec(raw: bytes) -> tuple[int, ...]:
    year, day, minute, milliseconds = struct.unpack(">4H", raw)
    if minute & _INVALID:
        raise ValueError("the meter says that its time is invalid")
    second, milliseconds = divmod(milliseconds, 1_000)
    return (
        _CENTURY + (year & 0x7F), day >> 8 & 0x0F, day & 0x1F, minute >> 8 & 0x1F, minute & 0x3F,
        second, milliseconds * 1_000,
    )  # fmt: skip


_PARTS = {"date6": _six, "date_bcd": _bcd, "date_iec": _iec}

KINDS = frozenset({"epoch32", *_PARTS})
"""The types that are date-times."""
