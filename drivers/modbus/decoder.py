"""The words of a block to the readings of its points, decided once for each block. Pure.

A whole register is its word; `struct` cuts the other plain numbers out of a block all at once: a tenth of the time that
a word at a time takes. Promises: what `codec.decode` says of each point, which is asked for everything that is no plain
number. Must not know: the wire.
"""

import itertools
import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

from drivers.api import Reading
from drivers.modbus import codec
from drivers.modbus.profile import BIT_TABLES, ModbusPoint, ModbusProfile
from drivers.modbus.types import TYPES

_CODES = {
    "u16": "H", "i16": "h", "u32": "I", "i32": "i", "u64": "Q", "i64": "q", "f16": "e", "f32": "f", "f64": "d",
}  # fmt: skip
"""The types that `struct` knows, and what it calls them."""
_MARKS = {"big": ">", "little": "<"}


class _Order(NamedTuple):
    """How numbers stand in a block: `mark` for `struct`, and whether it has to see the words `backwards`."""

    mark: str
    backwards: bool

    def unpack(self, layout: str, words: Sequence[int]) -> tuple[Any, ...]:
        return struct.unpack(self.mark + layout, _in_bytes(words[::-1] if self.backwards else words))


_AS_IT_CAME = _Order(">", backwards=False)


class Decoder:
    """Reads `count` words, the first of them at `address`, as `points`, which must lie wholly inside."""

    def __init__(self, profile: ModbusProfile, points: Iterable[ModbusPoint], address: int, count: int) -> None:
        points = tuple(points)
        self._count = count
        self._cuts: list[tuple[_Order, str]] = []
        self._parts: list[slice] = []
        slots: dict[str, tuple[int, codec.Meaning | None]] = {}
        for point in points:
            if _is_word(profile, point):
                slots[point.name] = point.address - address, _meaning(point, _AS_IT_CAME)
        free = itertools.count(count)
        for order, layout, cut in _cuts(profile, [p for p in points if p.name not in slots], address, count):
            self._cuts.append((order, layout))
            slots.update({point.name: (next(free), _meaning(point, order)) for point in cut})
        for point in points:
            if point.name not in slots:
                at = point.address - address
                self._parts.append(slice(at, at + point.registers))
                slots[point.name] = next(free), partial(codec.decode, profile, point)
        self._fields = [(point.name, *slots[point.name]) for point in points]

    def readings(self, words: Sequence[int], mono_ns: int) -> list[Reading]:
        """One for each point, in their order."""
        if len(words) != self._count:
            raise ValueError(f"{len(words)} words where {self._count} were asked for")
        found: list[Any] = [*words]
        for order, layout in self._cuts:
            found += order.unpack(layout, words)
        found += [words[part] for part in self._parts]
        return [
            Reading(name, found[slot], mono_ns) if meaning is None else _reading(name, mono_ns, *meaning(found[slot]))
            for name, slot, meaning in self._fields
        ]


def _reading(name: str, mono_ns: int, value: Any, quality: Any) -> Reading:
    return Reading(name, value, mono_ns, quality)


def _cuts(
    profile: ModbusProfile, points: Iterable[ModbusPoint], address: int, count: int
) -> Iterator[tuple[_Order, str, list[ModbusPoint]]]:
    """The layouts for `struct` that find the plain numbers, with the points in their order in each."""
    by_order: dict[_Order, list[tuple[int, ModbusPoint]]] = {}
    for point in filter(_is_plain_number, points):
        order = _order(profile, point)
        at = point.address - address
        place = count - at - point.registers if order.backwards else at
        by_order.setdefault(order, []).append((place, point))
    for order, placed in by_order.items():
        layout, cut, end = "", [], 0
        for place, point in sorted(placed, key=lambda one: one[0]):
            if place >= end:  # one that shares its words with another is not cut out, but read by itself
                layout += f"{2 * (place - end)}x{_CODES[point.type]}"
                cut.append(point)
                end = place + point.registers
        yield order, f"{layout}{2 * (count - end)}x", cut


def _is_word(profile: ModbusProfile, point: ModbusPoint) -> bool:
    """Is the number of the point one word as it came?"""
    return point.type == "u16" and _is_plain_number(point) and _order(profile, point) == _AS_IT_CAME


def _is_plain_number(point: ModbusPoint) -> bool:
    """Is it a number that fills its registers? A float with words that mean "no value" is known by those, not by it."""
    return (
        point.table not in BIT_TABLES
        and point.type in _CODES
        and point.bits is None
        and point.registers == TYPES[point.type].registers
        and not (point.type[0] == "f" and point.not_available)
    )


def _order(profile: ModbusProfile, point: ModbusPoint) -> _Order:
    in_bytes: Literal["big", "little"] = point.byte_order or profile.byte_order
    in_words = codec.word_order(profile, point)
    return _Order(_MARKS[in_bytes], backwards=point.registers > 1 and in_words != in_bytes)


def _meaning(point: ModbusPoint, order: _Order) -> codec.Meaning | None:
    """What the raw number of a point says; None where it is the value."""
    code = _CODES[point.type]
    patterns = ((one,) * point.registers if isinstance(one, int) else one for one in point.not_available)
    nothing = frozenset(order.unpack(code, words)[0] for words in patterns if len(words) == point.registers)
    if not nothing and codec.is_itself(point):
        return None
    return codec.meaning(point, nothing)


def _in_bytes(words: Sequence[int]) -> bytes:
    return struct.pack(f">{len(words)}H", *words)
