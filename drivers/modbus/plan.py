"""From points to block reads, and from the words of a block back to readings. Pure.

Promises: every point is in exactly one block; no block is longer than the profile allows; values are found by
address, never by position. Must not know: the wire, time.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from drivers.api import Reading
from drivers.modbus.decoder import Decoder
from drivers.modbus.guards import apart, with_guards
from drivers.modbus.options import ModbusOptions
from drivers.modbus.profile import TABLES, ModbusPoint, ModbusProfile, Table

_REQUEST_BYTES = 8
_REPLY_FRAME_BYTES = 5
_TURNAROUND_S = 0.01
_NETWORK_S = 0.002


@dataclass(frozen=True)
class Block:
    """One request: `count` registers or bits of `table` from `address`, and the points of `profile` that lie in it."""

    profile: ModbusProfile = field(repr=False, compare=False)
    table: Table
    address: int
    count: int
    points: tuple[ModbusPoint, ...]

    @property
    def place(self) -> tuple[Table, int, int]:
        """What it asks for."""
        return self.table, self.address, self.count

    def readings(self, words: Sequence[int], mono_ns: int) -> list[Reading]:
        """What its `words` say of its points, in their order."""
        return self._decoder.readings(words, mono_ns)

    @cached_property
    def _decoder(self) -> Decoder:
        return Decoder(self.profile, self.points, self.address, self.count)


@dataclass(frozen=True, eq=False)
class ReadPlan:
    """What to ask a device for. Two plans are never equal, so a plan can be a key of what was learnt about it.

    `silent` are the names of guards that are read only for others, and not told.
    """

    profile: ModbusProfile
    blocks: tuple[Block, ...]
    silent: frozenset[str] = frozenset()

    @cached_property
    def asked(self) -> Sequence[ModbusPoint]:
        """Everything that is asked for, in the order of the blocks."""
        return [point for block in self.blocks for point in block.points]

    @cached_property
    def points(self) -> Sequence[ModbusPoint]:
        return [point for point in self.asked if point.name not in self.silent]

    @cached_property
    def guarded(self) -> bool:
        """Is there a point that counts only while another one says so?"""
        return any(point.valid_if for point in self.asked)

    @property
    def pause_s(self) -> float:
        """The silence that the device wants before a request, in seconds."""
        return self.profile.inter_frame_delay_ms / 1000

    @property
    def timeout_s(self) -> float:
        """How long this device may take to answer, in seconds; 0 where the profile leaves it to the link."""
        return (self.profile.response_timeout_ms or 0) / 1000


def compile_plan(profile: ModbusProfile, points: Sequence[ModbusPoint]) -> ReadPlan:
    """The fewest blocks that `readable`, `max_gap`, `no_gap_reads`, `max_registers` and `max_bits` allow.

    Guards (`valid_if`) are read with what they guard: in the same block, or last.
    """
    everything = with_guards(profile, points)
    blocks = _all_blocks(profile, everything)
    last = apart(everything, [block.points for block in blocks])
    if last:
        blocks = _all_blocks(profile, [point for point in everything if point.name not in last])
        blocks += _all_blocks(profile, [point for point in everything if point.name in last])
    chosen = {point.name for point in points}
    return ReadPlan(profile, blocks, frozenset(point.name for point in everything if point.name not in chosen))


def _all_blocks(profile: ModbusProfile, points: Sequence[ModbusPoint]) -> tuple[Block, ...]:
    return tuple(block for table in TABLES for block in _blocks(profile, table, points))


def probe_plan(profile: ModbusProfile) -> ReadPlan | None:
    """The points that tell this model; else one block of points with a range or names; None where there is none."""
    if profile.probe:
        return compile_plan(profile, profile.select([probe.point for probe in profile.probe]))
    telling = [point for point in profile.point if point.range or point.enum]
    blocks = compile_plan(profile, telling).blocks
    return ReadPlan(profile, blocks[:1]) if blocks else None


def split(block: Block) -> tuple[Block, ...]:
    """The block as two that ask for less; empty where every point stands at the same place."""
    places = sorted({(p.address, p.registers) for p in block.points})
    if len(places) < 2:
        return ()
    half = set(places[: len(places) // 2])
    first = [p for p in block.points if (p.address, p.registers) in half]
    second = [p for p in block.points if (p.address, p.registers) not in half]
    return _block(block.profile, block.table, first), _block(block.profile, block.table, second)


def readings(
    profile: ModbusProfile, points: Iterable[ModbusPoint], address: int, words: Sequence[int], mono_ns: int
) -> list[Reading]:
    """What `words`, the first of them at `address`, say of the `points` that lie wholly inside."""
    end = address + len(words)
    inside = [point for point in points if address <= point.address and point.address + point.registers <= end]
    return Decoder(profile, inside, address, len(words)).readings(words, mono_ns)


def bus_time_s(options: ModbusOptions, plan: ReadPlan) -> float:
    """How long one read keeps the wire busy, in seconds; the device's own time is a guess."""
    return sum(_block_time_s(options, plan, block) for block in plan.blocks)


def _block_time_s(options: ModbusOptions, plan: ReadPlan, block: Block) -> float:
    if not options.is_serial:
        return _NETWORK_S + plan.pause_s
    digits = 2 if options.framing == "ascii" else 1
    size = digits * (_REQUEST_BYTES + _REPLY_FRAME_BYTES + reply_bytes(block.table, block.count))
    return size * options.char_s + options.silence_s + max(options.silence_s, plan.pause_s) + _TURNAROUND_S


def reply_bytes(table: Table, count: int) -> int:
    """How many data bytes `count` registers or bits take in a reply."""
    return 2 * count if table in ("holding", "input") else (count + 7) // 8


def _blocks(profile: ModbusProfile, table: Table, points: Iterable[ModbusPoint]) -> Iterator[Block]:
    gap = 0 if profile.no_gap_reads else profile.max_gap
    ordered = sorted((p for p in points if p.table == table), key=lambda p: (p.address, p.registers))
    together: list[ModbusPoint] = []
    end = 0
    for point in ordered:
        if together:
            length = max(end, point.address + point.registers) - together[0].address
            apart = profile.readable_range(table, point.address) != profile.readable_range(table, together[0].address)
            if apart or point.address > end + gap or length > profile.most(table):
                yield _block(profile, table, together)
                together, end = [], 0
        together.append(point)
        end = max(end, point.address + point.registers)
    if together:
        yield _block(profile, table, together)


def _block(profile: ModbusProfile, table: Table, points: Sequence[ModbusPoint]) -> Block:
    first = min(p.address for p in points)
    end = max(p.address + p.registers for p in points)
    return Block(profile, table, first, end - first, tuple(points))
