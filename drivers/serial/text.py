"""Values in the fields of a text line. Pure.

Promises: `raw` of what `patched` wrote is what was written, to the digits of the field.
Must not know: how lines are cut, flags.
"""

from dataclasses import dataclass

from drivers.api import Value
from drivers.serial import notation
from drivers.serial.binary import unscaled
from drivers.serial.checksums import CHECKSUMS
from drivers.serial.framing import end_bytes
from drivers.serial.options import Frame, Place, SerialPoint


class UnknownUnit(Exception):
    """The instrument names a unit that the profile does not know, so the number means nothing. Holds that text."""


@dataclass(frozen=True, slots=True)
class Line:
    """The fields of one line, and the name of its sentence without the talker."""

    sentence: str
    fields: tuple[str, ...]

    def field(self, index: int | None) -> str | None:
        """The text of a field, None where the line has no such field."""
        return self.fields[index] if index is not None and index < len(self.fields) else None


def parse(frame: Frame, data: bytes) -> Line:
    """The fields of the complete frame `data`."""
    body = data[1 : len(data) - _tail(frame)].decode("ascii")
    fields = tuple(body.split(frame.separator))
    return Line(_sentence(frame, fields[0]), fields)


def build(frame: Frame, data: bytes, fields: tuple[str, ...]) -> bytes:
    """The complete frame `data` with other fields; its checksum is still the old one."""
    return data[:1] + frame.separator.join(fields).encode("ascii") + data[len(data) - _tail(frame) :]


def is_at(line: Line, place: Place) -> bool:
    """Does this line have the place?"""
    if place.sentence and place.sentence != line.sentence:
        return False
    return all(line.field(int(index)) == wanted for index, wanted in place.where.items())


def raw(point: SerialPoint, place: Place, line: Line) -> float | int | str | None:
    """The number or text of the field, units and hemisphere applied; None where it is no number.

    Raises `UnknownUnit`.
    """
    written = line.field(place.field) or ""
    if point.type == "string":
        return written
    if point.type == "i64":
        return notation.whole(written)
    number = notation.degrees(written) if place.format == "ddmm" else notation.number(written)
    sign = 1 if place.hemisphere is None else notation.sign(line.field(place.hemisphere))
    if number is None or sign is None:
        return None
    return sign * number * _factor(place, line)


def patched(line: Line, place: Place, point: SerialPoint, value: Value) -> tuple[str, ...]:
    """The fields of `line` with `value` in `place`; raises `ValueError` where it cannot stand there."""
    old = line.field(place.field)
    if place.field is None or old is None:
        raise ValueError(f"{point.name} has no field in {line.fields[0]}")
    fields = list(line.fields)
    number = unscaled(point, value)
    if isinstance(number, str):
        if not number.isascii() or not number.isprintable() or set(number) & set(",*$!\\"):
            raise ValueError(f'{point.name}: "{number}" cannot stand in a field')
        fields[place.field] = number
        return tuple(fields)
    if place.hemisphere is not None:
        letter = line.field(place.hemisphere)
        if not letter:
            raise ValueError(f"{point.name} has no hemisphere in {line.fields[0]}")
        fields[place.hemisphere] = notation.hemisphere(number, letter)
        number = abs(number)
    number /= _factor(place, line)
    write = notation.write_degrees if place.format == "ddmm" else notation.write_number
    fields[place.field] = write(number, old)
    return tuple(fields)


def _sentence(frame: Frame, name: str) -> str:
    """The name without the talker; a proprietary name begins with P and has none (NMEA 0183, 5.3)."""
    return name if not frame.talker or name.startswith("P") else name[frame.talker :]


def _factor(place: Place, line: Line) -> float:
    if place.unit_field is None:
        return place.factor
    unit = line.field(place.unit_field) or ""
    if unit not in place.units:
        raise UnknownUnit(unit)
    return place.units[unit]


def _tail(frame: Frame) -> int:
    return CHECKSUMS[frame.checksum].tail + len(end_bytes(frame))
