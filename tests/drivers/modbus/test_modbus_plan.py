"""Points to blocks."""

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.api import Quality, Reading
from drivers.modbus import codec
from drivers.modbus.options import ModbusOptions
from drivers.modbus.plan import Block, bus_time_s, compile_plan, probe_plan, readings, split
from drivers.modbus.profile import ModbusPoint, ModbusProfile

TABLES = ("holding", "input", "coil", "discrete")


def point(name: str, address: int, kind: str = "u16", table: str = "holding", **keys: Any) -> ModbusPoint:
    return ModbusPoint(name=name, table=table, address=address, type=kind, **keys)  # type: ignore[arg-type]


def profile(**keys: Any) -> ModbusProfile:
    return ModbusProfile(vendor="V", model="M", kind="modbus", source="tests", **keys)


def spans(blocks: tuple[Block, ...]) -> list[tuple[str, int, int]]:
    return [(b.table, b.address, b.count) for b in blocks]


@st.composite
def points(draw: Callable[..., Any]) -> list[ModbusPoint]:
    found = []
    for index in range(draw(st.integers(1, 30))):
        table = draw(st.sampled_from(TABLES))
        kind = "bool" if table in ("coil", "discrete") else draw(st.sampled_from(("u16", "f32", "u64", "bool")))
        found.append(point(f"p{index}", draw(st.integers(0, 300)), kind, table))
    return found


@settings(max_examples=50)
@given(points(), st.integers(4, 125), st.integers(1, 200), st.integers(0, 40), st.booleans())
def test_no_block_is_too_long_and_every_point_is_in_one(
    some: list[ModbusPoint], max_registers: int, max_bits: int, max_gap: int, no_gap: bool
) -> None:
    p = profile(max_registers=max_registers, max_bits=max_bits, max_gap=max_gap, no_gap_reads=no_gap)
    plan = compile_plan(p, some)
    assert sorted(x.name for x in plan.points) == sorted(x.name for x in some)
    for block in plan.blocks:
        assert block.count <= p.most(block.table)
        covered: set[int] = set()
        for x in block.points:
            assert x.table == block.table
            assert block.address <= x.address
            assert x.address + x.registers <= block.address + block.count
            covered.update(range(x.address, x.address + x.registers))
        asked = range(block.address, block.address + block.count)
        gaps = [g for g in "".join("x" if a in covered else "." for a in asked).split("x") if g]
        assert max(map(len, gaps), default=0) <= (0 if no_gap else max_gap)


@settings(max_examples=50)
@given(points(), st.integers(0, 40))
def test_values_are_found_by_address(some: list[ModbusPoint], max_gap: int) -> None:
    p = profile(max_gap=max_gap)
    for block in compile_plan(p, some).blocks:
        bits = block.table in ("coil", "discrete")
        memory = {a: a % 2 if bits else a * 7 for a in range(block.address, block.address + block.count)}
        for reading in readings(p, block.points, block.address, [*memory.values()], 5):
            x = next(x for x in some if x.name == reading.point)
            words = [memory[a] for a in range(x.address, x.address + x.registers)]
            assert (reading.value, reading.quality) == codec.decode(p, x, words)
            assert reading.mono_ns == 5


@settings(max_examples=50)
@given(points(), st.integers(0, 40))
def test_a_refused_block_can_be_split_until_each_place_stands_alone(some: list[ModbusPoint], max_gap: int) -> None:
    todo = list(compile_plan(profile(max_gap=max_gap), some).blocks)
    alone = []
    while todo:
        block = todo.pop()
        halves = split(block)
        todo += halves
        assert all(half.count <= block.count and len(half.points) < len(block.points) for half in halves)
        if not halves:
            alone.append(block)
    assert sorted(x.name for b in alone for x in b.points) == sorted(x.name for x in some)
    assert all(len({(x.address, x.registers) for x in b.points}) == 1 for b in alone)


def test_adjacent_points_are_one_request_and_a_gap_is_two() -> None:
    some = [point("a", 0, "f32"), point("b", 2, "f32"), point("c", 5)]
    assert spans(compile_plan(profile(), some).blocks) == [("holding", 0, 4), ("holding", 5, 1)]
    assert spans(compile_plan(profile(max_gap=1), some).blocks) == [("holding", 0, 6)]
    assert len(compile_plan(profile(max_gap=9, no_gap_reads=True), some).blocks) == 2


def test_a_block_never_leaves_what_is_readable() -> None:
    p = profile(max_gap=50, readable={"holding": ((0, 9), (10, 40))})
    some = [point("a", 3), point("b", 9), point("c", 10), point("d", 30)]
    assert spans(compile_plan(p, some).blocks) == [("holding", 3, 7), ("holding", 10, 21)]


def test_bits_of_one_register_are_read_once() -> None:
    some = [point(f"b{i}", 7, "bool", bits=(i, i)) for i in range(16)]
    [block] = compile_plan(profile(), some).blocks
    assert (block.address, block.count, len(block.points)) == (7, 1, 16)
    assert split(block) == ()


def test_points_that_are_only_partly_inside_are_absent() -> None:
    some = [point("a", 10, "u32"), point("b", 11), point("c", 12, "u32")]
    found = list(readings(profile(), some, 11, [5, 6], 0))
    assert found == [Reading("b", 5, 0, Quality.GOOD)]


def test_the_probe_asks_for_what_can_be_judged() -> None:
    some = (point("a", 0), point("b", 50, range=(0.0, 9.0)))
    plan = probe_plan(profile(point=some))
    assert plan is not None
    assert [x.name for x in plan.points] == ["b"]
    assert probe_plan(profile(point=some[:1])) is None


def test_the_forecast_grows_with_bytes_and_shrinks_with_baud() -> None:
    short, long = (compile_plan(profile(), [point(f"p{i}", i) for i in range(n)]) for n in (2, 120))
    slow, fast = (ModbusOptions(transport="rtu", port="/dev/x", baud=baud) for baud in (9600, 115200))
    assert bus_time_s(fast, short) < bus_time_s(slow, short) < bus_time_s(slow, long)
    assert 0.28 < bus_time_s(slow, long) < 0.35
    assert bus_time_s(ModbusOptions(transport="tcp", host="h"), long) < 0.01
    patient = compile_plan(profile(inter_frame_delay_ms=100), [point("a", 0)])
    assert bus_time_s(slow, patient) > 0.1


def test_ascii_takes_twice_the_characters_of_rtu() -> None:
    plan = compile_plan(profile(), [point(f"p{n}", n) for n in range(60)])
    rtu, ascii_ = (bus_time_s(ModbusOptions(transport=t, port="/dev/x"), plan) for t in ("rtu", "ascii"))  # type: ignore[arg-type]
    assert 1.8 < ascii_ / rtu < 2.0
