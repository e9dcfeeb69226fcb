"""The registers of a simulated device: the points of its profile, moving in time.

What a read serves is recorded as the value that its words mean, not as the value that was wished for: the truth
is what a perfect reader would have understood. Points that share a register (bits of a status word) are one cell.
An instrument takes no writes: all of them are exception 01.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from drivers.api import Quality, Value
from drivers.modbus import codec
from drivers.modbus.profile import ModbusProfile
from simulators.modbus.cells import Cell, Field, cells_of
from simulators.modbus.device import ILLEGAL_ADDRESS, ILLEGAL_VALUE, READS, Memory, Refused, Table
from simulators.modbus.identification import PRODUCT, REVISION, VENDOR, Identification
from simulators.world import Served, World, forget

_READ_SHAPES = 1_024
_IDENTIFY = 43


@dataclass(frozen=True, slots=True)
class Shape:
    """What one (table, address, count) touches.

    `cells` stand with their place in the answer; `whole` names the points that are in it with all their words, each
    with the number of its cell and its own number in there.
    """

    cells: tuple[tuple[int, Cell], ...]
    whole: tuple[tuple[str, int, int], ...]


class ProfileMemory(Memory):
    """A `Memory` whose values come from the waveforms of a profile's points."""

    def __init__(self, device: str, profile: ModbusProfile, world: World) -> None:
        self.device = device
        self.profile = profile
        self.functions = READS | {_IDENTIFY} if profile.identification else READS
        self._world = world
        self._cells = {table: cells_of(device, profile, table, world) for table in _tables(profile)}
        self._shape = lru_cache(maxsize=_READ_SHAPES)(self._find_shape)

    def read(self, table: Table, address: int, count: int) -> Sequence[int]:
        shape = self._shape(table, address, count)
        elapsed_s = self._world.elapsed_s()
        if self._world.record is forget:
            return _laid(count, [(at, _words(cell, elapsed_s)) for at, cell in shape.cells])
        now = [_now(cell, elapsed_s) for _, cell in shape.cells]
        time_ms = self._world.wall_ms()
        values = ((name, now[cell][1][field]) for name, cell, field in shape.whole)
        self._world.record([Served(self.device, name, v, time_ms) for name, v in values if v is not None])
        return _laid(count, [(at, words) for (at, _), (words, _values) in zip(shape.cells, now, strict=True)])

    def identify(self, access: int, number: int) -> bytes:
        """What the profile expects the device to say; where it expects nothing, its own vendor and model."""
        told = self.profile.identification
        assert told is not None, "the function is refused"
        objects = {
            VENDOR: told.vendor or self.profile.vendor,
            PRODUCT: told.product or self.profile.model,
            REVISION: told.revision or "1.0",
        }
        return Identification(objects).answer(access, number)

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


def _laid(count: int, cells: Sequence[tuple[int, Sequence[int]]]) -> list[int]:
    """`count` words: those of the cells at their places, of which some may be outside, and zeros between."""
    answer = [0] * count
    for at, words in cells:
        if at >= 0 and at + len(words) <= count:
            answer[at : at + len(words)] = words
            continue
        for index, word in enumerate(words, at):
            if 0 <= index < count:
                answer[index] = word
    return answer


def _words(cell: Cell, elapsed_s: float) -> Sequence[int]:
    """The words of a cell at this time, for those who do not want to know what they mean."""
    field = cell.fields[0]
    if len(cell.fields) == 1 and field.encode and (words := field.encode(field.wave.at(elapsed_s))):
        return words
    return _now(cell, elapsed_s)[0]


def _now(cell: Cell, elapsed_s: float) -> tuple[Sequence[int], Sequence[Value | None]]:
    """The words of a cell at this time, and what each of its points means in them."""
    if len(cell.fields) == 1:
        words, value = _encoded(cell.fields[0], elapsed_s)
        return words, (value,)
    laid = [0] * cell.length
    for field in cell.fields:
        if field.writes:
            for index, word in enumerate(_encoded(field, elapsed_s)[0], field.at):
                laid[index] |= word
    return laid, [codec.decode(f.profile, f.point, laid[f.at : f.at + f.length])[0] for f in cell.fields]


def _encoded(field: Field, elapsed_s: float) -> tuple[Sequence[int], Value | None]:
    """The words of a value that a reader takes for good: rounding may leave the range, or hit a "no value" word."""
    profile, point, wanted = field.profile, field.point, field.wave.at(elapsed_s)
    words = (field.encode and field.encode(wanted)) or codec.encode(profile, point, wanted)
    value, quality = codec.decode(profile, point, words)
    if quality is not Quality.GOOD and not field.wave.told:
        words = codec.encode(profile, point, field.certain(elapsed_s))
        value, _ = codec.decode(profile, point, words)
    return words, value


def _tables(profile: ModbusProfile) -> set[Table]:
    return {point.table for point in profile.point}
