"""Values in the fields of a text line. Pure.

Promises: `raw` of what `patched` wrote is what was written, to the digits of the field.
Must not know: how lines are cut, flags.
"""

import re
from dataclasses import dataclass

from drivers.api import Value
from drivers.serial import notation
from drivers.serial.binary import unscaled
from drivers.serial.profile import Frame, Place, SerialPoint


class UnknownUnit(Exception):
    """The instrument names a unit that the profile does not know, so the number means nothing. Holds that text."""


class NotValid(Exception):
    """The instrument says by the unit that the number is no value. Holds that text."""


@dataclass(frozen=True, slots=True)
class Line:
    """The fields of one line, the name of its sentence without the talker, and its text as a whole."""

    sentence: str
    fields: tuple[str, ...]
    body: str

    def field(self, index: int | None) -> str | None:
        """The text of a field, None where the line has no such field."""
        return self.fields[index] if index is not None and index < len(self.fields) else None


def parse(frame: Frame, data: bytes) -> Line:
    """The fields of the complete frame `data`."""
    body = data[len(frame.start[:1]) : len(data) - frame.checked.tail].decode("ascii")
    fields = tuple(body.split(frame.separator))
    return Line(_sentence(frame, fields[0]), fields, body)


def build(frame: Frame, data: bytes, body: str) -> bytes:
    """The complete frame `data` with another text; its checksum is still the old one."""
    return data[: len(frame.start[:1])] + body.encode("ascii") + data[len(data) - frame.checked.tail :]


def is_at(line: Line, place: Place) -> bool:
    """Does this line have the place?"""
    if place.sentence and place.sentence != line.sentence:
        return False
    if place.pattern:
        return _found(place, line) is not None
    return _base(place, line) is not None


def written(place: Place, line: Line) -> str | None:
    """The text of the place; None where the line does not go so far."""
    if place.pattern:
        found = _found(place, line)
        return found["value"] if found else None
    base = _base(place, line)
    return None if base is None or place.field is None else line.field(base + place.field)


def raw(point: SerialPoint, place: Place, line: Line) -> float | int | str | None:
    """The number or text of the place, units and hemisphere applied; None where it is no number.

    Raises `UnknownUnit` or `NotValid`.
    """
    text = written(place, line) or ""
    if point.type == "string":
        return text
    if point.type == "i64":
        return notation.whole(text)
    number = notation.degrees(text) if place.format == "ddmm" else notation.number(text)
    sign = 1 if place.hemisphere is None else notation.sign(line.field(place.hemisphere))
    factor, offset = _factor(place, line)
    if number is None or sign is None:
        return None
    return sign * number * factor + offset


def patched(frame: Frame, line: Line, place: Place, point: SerialPoint, value: Value) -> str:
    """The text of `line` with `value` in `place`; raises `ValueError` where it cannot stand there."""
    old = written(place, line)
    if old is None:
        raise ValueError(f"{point.name} has no field in {line.body}")
    number = unscaled(point, value)
    if isinstance(number, str):
        if not number.isascii() or not number.isprintable() or set(number) & set(",*$!\\"):
            raise ValueError(f'{point.name}: "{number}" cannot stand in a field')
        return _replaced(frame, line, place, number)
    if place.hemisphere is not None:
        letter = line.field(place.hemisphere)
        if not letter:
            raise ValueError(f"{point.name} has no hemisphere in {line.fields[0]}")
        fields = list(line.fields)
        fields[place.hemisphere] = notation.hemisphere(number, letter)
        line = Line(line.sentence, tuple(fields), line.body)
        number = abs(number)
    factor, offset = _factor(place, line)
    write = notation.write_degrees if place.format == "ddmm" else notation.write_number
    return _replaced(frame, line, place, write((number - offset) / factor, old))


def _replaced(frame: Frame, line: Line, place: Place, text: str) -> str:
    if place.pattern:
        found = _found(place, line)
        assert found is not None
        return line.body[: found.start("value")] + text + line.body[found.end("value") :]
    base = _base(place, line)
    assert base is not None
    assert place.field is not None
    fields = list(line.fields)
    fields[base + place.field] = text
    return frame.separator.join(fields)


def _found(place: Place, line: Line) -> re.Match[str] | None:
    return re.search(place.pattern, line.body)


def _base(place: Place, line: Line) -> int | None:
    """From which field the place counts: 0, or the first field of the group that it wants; None where it is not."""
    if place.repeats is None:
        bases: range = range(1)
    else:
        bases = range(1, len(line.fields) - place.repeats + 1, place.repeats)
    for base in bases:
        if all(line.field(base + int(index)) == wanted for index, wanted in place.where.items()):
            return base
    return None


def _sentence(frame: Frame, name: str) -> str:
    """The name without the talker; a proprietary name begins with P and has none (NMEA 0183, 5.3)."""
    return name if not frame.talker or name.startswith("P") else name[frame.talker :]


def _factor(place: Place, line: Line) -> tuple[float, float]:
    """What the number is multiplied with, and what is added then."""
    if not place.units and not place.not_valid:
        return place.factor, 0.0
    unit = _unit(place, line)
    if unit in place.not_valid:
        raise NotValid(unit)
    if unit not in place.units:
        raise UnknownUnit(unit)
    factor = place.units[unit]
    return factor if isinstance(factor, tuple) else (factor, 0.0)


def _unit(place: Place, line: Line) -> str:
    if place.pattern:
        found = _found(place, line)
        return (found["unit"] or "") if found else ""
    base = _base(place, line) or 0
    return (line.field(base + place.unit_field) if place.unit_field is not None else "") or ""
