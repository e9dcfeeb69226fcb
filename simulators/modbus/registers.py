"""The registers of a simulated device: the points of its profile, moving in time.

What a read serves is recorded as the value that its words mean, not as the value that was wished for: the truth
is what a perfect reader would have understood. Points that share a register (bits of a status word) are one cell.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from drivers.api import Quality, Value
from drivers.modbus import codec
from drivers.modbus.profile import ModbusPoint, ModbusProfile
from simulators.modbus.device import ILLEGAL_ADDRESS, ILLEGAL_VALUE, Refused, Table
from simulators.modbus.measuring import channel_of
from simulators.values import Channel, Waveform
from simulators.world import Served, World

_READ_SHAPES = 1_024


@dataclass(frozen=True, slots=True)
class Field:
    """One point within its cell: where its words begin, how many, and what it measures."""

    point: ModbusPoint
    at: int
    length: int
    wave: Channel
    certain: Waveform
    writes: bool


@dataclass(frozen=True, slots=True)
class Cell:
    """Addresses that must be served together, because points overlap in them."""

    address: int
    length: int
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Shape:
    """What one (table, address, count) touches.

    `cells` stand with their place in the answer; `whole` names the points that are in it with all their words, each
    with the number of its cell and its own number in there.
    """

    cells: tuple[tuple[int, Cell], ...]
    whole: tuple[tuple[str, int, int], ...]


class ProfileMemory:
    """A `Memory` whose values come from the waveforms of a profile's points."""

    def __init__(self, device: str, profile: ModbusProfile, world: World) -> None:
        self.device = device
        self.profile = profile
        self._world = world
        self._cells = {table: _cells(device, profile, table, world) for table in _tables(profile)}
        self._shape = lru_cache(maxsize=_READ_SHAPES)(self._find_shape)

    def read(self, table: Table, address: int, count: int) -> Sequence[int]:
        shape = self._shape(table, address, count)
        elapsed_s = self._world.elapsed_s()
        now = [_now(self.profile, cell, elapsed_s) for _, cell in shape.cells]
        answer = [0] * count
        for (at, _), (words, _values) in zip(shape.cells, now, strict=True):
            for index, word in enumerate(words, at):
                if 0 <= index < count:
                    answer[index] = word
        time_ms = self._world.wall_ms()
        values = ((name, now[cell][1][field]) for name, cell, field in shape.whole)
        self._world.record([Served(self.device, name, v, time_ms) for name, v in values if v is not None])
        return answer

    def _find_shape(self, table: Table, address: int, count: int) -> Shape:
        """Raises `Refused`: too many for the device, or an address that no point has and no gap explains."""
        if count > self.profile.most(table):
            raise Refused(ILLEGAL_VALUE)
        end = address + count
        cells = [c for c in self._cells.get(table, ()) if c.address < end and address < c.address + c.length]
        covered = address
        for cell in cells:
            gap = cell.address - covered
            if gap > 0 and (covered == address or gap > self.profile.max_gap):
                raise Refused(ILLEGAL_ADDRESS)
            covered = max(covered, cell.address + cell.length)
        if covered < end:
            raise Refused(ILLEGAL_ADDRESS)
        whole = (
            (field.point.name, number, index)
            for number, cell in enumerate(cells)
            for index, field in enumerate(cell.fields)
            if address <= cell.address + field.at and cell.address + field.at + field.length <= end
        )
        return Shape(tuple((cell.address - address, cell) for cell in cells), tuple(whole))


def _now(profile: ModbusProfile, cell: Cell, elapsed_s: float) -> tuple[Sequence[int], Sequence[Value | None]]:
    """The words of a cell at this time, and what each of its points means in them."""
    if len(cell.fields) == 1:
        words, value = _encoded(profile, cell.fields[0], elapsed_s)
        return words, (value,)
    laid = [0] * cell.length
    for field in cell.fields:
        if field.writes:
            for index, word in enumerate(_encoded(profile, field, elapsed_s)[0], field.at):
                laid[index] |= word
    return laid, [codec.decode(profile, f.point, laid[f.at : f.at + f.length])[0] for f in cell.fields]


def _encoded(profile: ModbusProfile, field: Field, elapsed_s: float) -> tuple[Sequence[int], Value | None]:
    """The words of a value that a reader takes for good: rounding may leave the range, or hit a "no value" word."""
    words = codec.encode(profile, field.point, field.wave(elapsed_s))
    value, quality = codec.decode(profile, field.point, words)
    if quality is not Quality.GOOD and not field.wave.told:
        words = codec.encode(profile, field.point, field.certain(elapsed_s))
        value, _ = codec.decode(profile, field.point, words)
    return words, value


def _tables(profile: ModbusProfile) -> set[Table]:
    return {point.table for point in profile.point}


def _cells(device: str, profile: ModbusProfile, table: Table, world: World) -> tuple[Cell, ...]:
    """The points of a table in address order, those that overlap in one cell."""
    points = sorted((p for p in profile.point if p.table == table), key=lambda p: (p.address, p.name))
    groups: list[list[ModbusPoint]] = []
    end = -1
    for point in points:
        if point.address >= end:
            groups.append([])
        groups[-1].append(point)
        end = max(end, point.address + point.registers)
    return tuple(_cell(device, profile, group, world) for group in groups)


def _cell(device: str, profile: ModbusProfile, points: Sequence[ModbusPoint], world: World) -> Cell:
    first = points[0].address
    length = max(p.address + p.registers for p in points) - first
    bitwise = [p.name for p in points if p.bits]
    fields = (
        Field(
            point=point,
            at=point.address - first,
            length=point.registers,
            wave=channel_of(world, device, profile, point, () if point.bits else bitwise),
            certain=_certain(world, profile, point),
            writes=bool(point.bits) or not bitwise,
        )
        for point in points
    )
    return Cell(first, length, tuple(fields))


def _certain(world: World, profile: ModbusProfile, point: ModbusPoint) -> Waveform:
    """A value that is certainly good: for the moments when the waveform cannot be said on the wire."""
    low, high = point.range or (0.0, 4.0)
    candidates: list[Value] = [
        *point.enum.values(),
        *(low + (high - low) * part for part in (0.5, 0.25, 0.75, 0.0, 1.0)),
    ]
    for value in candidates:
        with suppress(ValueError):
            if codec.decode(profile, point, codec.encode(profile, point, value))[1] is Quality.GOOD:
                return _always(value)
    return world.waveform(profile.model, point)


def _always(value: Value) -> Waveform:
    return lambda _elapsed_s: value
