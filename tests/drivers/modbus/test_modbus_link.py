"""The driver: plans in, readings out; what a device refuses or does not answer never takes the rest along."""

import asyncio
from typing import Any

import pytest

from drivers.api import DriverSpec, Identity, Link, Quality, Reading
from drivers.errors import BadReply, DeviceRefused, LinkDown, NoReply
from drivers.modbus import refusals
from drivers.modbus.driver import SPEC, ModbusLink, open_link
from drivers.modbus.plan import ReadPlan, compile_plan
from drivers.modbus.profile import Identification, ModbusPoint, Probe

KINDS = ("rtu", "rtu-over-tcp", "ascii", "tcp", "udp")
T = 0.1


def points(*addresses: int, table: str = "holding") -> list[ModbusPoint]:
    kind = "bool" if table in ("coil", "discrete") else "u16"
    return [ModbusPoint(name=f"p{a}", table=table, address=a, type=kind) for a in addresses]  # type: ignore[arg-type]


def right(slave: Any, readings: list[Reading], unit: int = 1) -> dict[str, Any]:
    """The good values, each checked against its address; and the qualities of the others."""
    values: dict[str, Any] = {}
    for reading in readings:
        values[reading.point] = reading.value if reading.value is not None else str(reading.quality)
        if reading.value is not None:
            assert reading.value == slave.word(unit, 3, int(reading.point[1:]))
            assert reading.quality is Quality.GOOD
    return values


async def read(link: Link, plan: ReadPlan, unit: int = 1) -> list[Reading]:
    readings = await link.read(unit, plan)
    assert [r.point for r in readings] == [p.name for p in plan.points]
    return readings


@pytest.mark.parametrize("kind", KINDS)
async def test_a_read_gives_every_point_once_in_order(kind: str, slave: Any, serving: Any, profile_of: Any) -> None:
    plan = compile_plan(profile_of([], max_gap=3), points(0, 1, 5, 50, 51, 300))
    async with serving(slave, kind) as served, open_link(served.options) as link:
        readings = await read(link, plan)
        assert len(right(slave, readings)) == 6
        assert len({r.mono_ns for r in readings}) == 3
        assert link.stats.requests == 3


@pytest.mark.parametrize("kind", KINDS)
async def test_a_refused_address_costs_its_own_point_only(kind: str, slave: Any, serving: Any, profile_of: Any) -> None:
    plan = compile_plan(profile_of([]), points(*range(16)))
    slave.refused = {6}
    async with serving(slave, kind) as served, open_link(served.options) as link:
        for _ in range(2):
            found = right(slave, await read(link, plan))
            assert found.pop("p6") == "cfg"
            assert len(found) == 15
            assert "com" not in found.values()


async def test_a_refusal_is_remembered_and_asked_again_rarely(
    slave: Any, serving: Any, profile_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = compile_plan(profile_of([]), points(*range(16)))
    slave.refused = {6}
    async with serving(slave, "tcp") as served, open_link(served.options) as link:
        await read(link, plan)
        learnt, refused = link.stats.requests, link.stats.refused
        await read(link, plan)
        assert link.stats.requests - learnt < learnt / 2
        assert link.stats.refused == refused
        slave.refused = set()
        assert right(slave, await read(link, plan))["p6"] == "cfg"
        monkeypatch.setattr("drivers.modbus.driver.time.monotonic", lambda: 1e9)
        assert len({*right(slave, await read(link, plan)).values()} - {"cfg"}) == 16


async def test_a_gap_that_is_refused_costs_no_point(slave: Any, serving: Any, profile_of: Any) -> None:
    plan = compile_plan(profile_of([], max_gap=5), points(0, 1, 4, 5))
    slave.refused = {2, 3}
    async with serving(slave, "tcp") as served, open_link(served.options) as link:
        found = right(slave, await read(link, plan))
        assert len(found) == 4
        assert "cfg" not in found.values()


async def test_a_device_that_refuses_everything_raises_and_is_asked_little(
    slave: Any, serving: Any, profile_of: Any
) -> None:
    plan = compile_plan(profile_of([]), points(*range(16)))
    slave.refused = set(range(65_536))
    async with serving(slave, "tcp") as served, open_link(served.options) as link:
        with pytest.raises(DeviceRefused, match="illegal address"):
            await link.read(1, plan)
        before = link.stats.requests
        with pytest.raises(DeviceRefused):
            await link.read(1, plan)
        assert link.stats.requests == before + 1
        slave.refused = set()
        assert len(right(slave, await read(link, plan))) == 16
        assert "cfg" not in right(slave, await read(link, plan)).values()


@pytest.mark.parametrize(
    ("code", "error"),
    [(4, DeviceRefused), (5, BadReply), (6, BadReply), (10, NoReply), (11, NoReply)],
)
async def test_an_exception_code_tells_the_caller_what_to_do(
    code: int, error: type[Exception], slave: Any, serving: Any, profile_of: Any
) -> None:
    slave.refused, slave.code = {0}, code
    async with serving(slave, "tcp") as served, open_link(served.options) as link:
        with pytest.raises(error, match=f"exception {code}"):
            await link.read(1, compile_plan(profile_of([]), points(0)))


async def test_a_block_that_the_device_fails_on_is_a_fault_and_the_rest_flows(
    slave: Any, serving: Any, profile_of: Any
) -> None:
    slave.refused, slave.code = {0}, 4
    async with serving(slave, "tcp") as served, open_link(served.options) as link:
        found = right(slave, await read(link, compile_plan(profile_of([]), points(0, 100))))
        assert found["p0"] == "flt"
        assert isinstance(found["p100"], int)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_bad_reply_is_asked_for_once_more(kind: str, slave: Any, serving: Any, profile_of: Any) -> None:
    slave.refused = set()
    slave.script = lambda n, _request, reply: [(0.0, reply if n else reply[:7] + b"\x63" + reply[8:])]
    async with serving(slave, kind, T) as served, open_link(served.options) as link:
        found = right(slave, await read(link, compile_plan(profile_of([]), points(0, 1))))
        assert len(found) == 2
        assert link.stats.bad_reply == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_dead_unit_raises_and_its_neighbours_answer(
    kind: str, slave: Any, serving: Any, profile_of: Any
) -> None:
    slave.dead_units = {3}
    plan = compile_plan(profile_of([]), points(0, 1))
    async with serving(slave, kind, T) as served, open_link(served.options) as link:
        for unit in (1, 2, 3, 4, 5):
            if unit == 3:
                with pytest.raises(NoReply, match="unit 3"):
                    await link.read(unit, plan)
            else:
                assert len(right(slave, await read(link, plan, unit), unit)) == 2
        assert link.stats.no_reply == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_device_that_is_silent_on_one_address_is_not_dead(
    kind: str, slave: Any, serving: Any, profile_of: Any
) -> None:
    slave.script = lambda _n, request, reply: [] if b"\x00\x64\x00" in request else [(0.0, reply)]
    plan = compile_plan(profile_of([]), points(0, 100, 200))
    async with serving(slave, kind, T) as served, open_link(served.options) as link:
        found = right(slave, await read(link, plan))
        assert found["p100"] == "com"
        assert isinstance(found["p0"], int)
        assert isinstance(found["p200"], int)


async def test_a_device_that_dies_in_the_middle_keeps_what_it_gave(slave: Any, serving: Any, profile_of: Any) -> None:
    slave.script = lambda n, _request, reply: [(0.0, reply)] if n < 1 else []
    plan = compile_plan(profile_of([]), points(*range(0, 1000, 100)))
    async with serving(slave, "tcp", T) as served, open_link(served.options) as link:
        found = right(slave, await read(link, plan))
        assert isinstance(found.pop("p0"), int)
        assert [*found.values()] == ["com"] * 9
        assert link.stats.requests == 3


@pytest.mark.parametrize("kind", ["rtu", "tcp"])
async def test_the_device_gets_the_pause_and_the_time_that_its_profile_asks_for(
    kind: str, slave: Any, serving: Any, profile_of: Any
) -> None:
    at: list[float] = []
    loop = asyncio.get_running_loop()

    def script(_n: int, _request: bytes, reply: bytes) -> list[tuple[float, bytes]]:
        at.append(loop.time())
        return [(3 * T, reply)]

    slave.script = script
    plan = compile_plan(profile_of([], inter_frame_delay_ms=80, response_timeout_ms=2000), points(0, 100))
    async with serving(slave, kind, T) as served, open_link(served.options) as link:
        assert len(right(slave, await read(link, plan))) == 2
        assert at[1] - at[0] >= 3 * T + 0.08


@pytest.mark.parametrize("table", ["coil", "discrete", "input"])
async def test_every_table_is_read_with_its_own_function(table: str, slave: Any, serving: Any, profile_of: Any) -> None:
    function = {"coil": 1, "discrete": 2, "input": 4}[table]
    async with serving(slave, "rtu") as served, open_link(served.options) as link:
        readings = await read(link, compile_plan(profile_of([]), points(0, 1, 2, 9, table=table)))
        words = [slave.word(1, function, a) for a in (0, 1, 2, 9)]
        assert [r.value for r in readings] == (words if table == "input" else [bool(w & 1) for w in words])


def test_a_half_learnt_round_forgets_no_point(profile_of: Any) -> None:
    plan = compile_plan(profile_of([]), points(*range(8)))
    asking = refusals.Asking(plan)
    turn = asking.start(0.0)
    block = turn.next()
    assert block
    turn.refused(block, DeviceRefused("no", 2))
    first = turn.next()
    assert first
    turn.answered(first, [Reading("p0", 1, 1)])
    asking.learn(turn)
    again = asking.start(1.0)
    assert sorted(p.name for b in again.todo for p in b.points) == sorted(p.name for p in plan.points)


def test_the_registry_knows_the_kind() -> None:
    assert isinstance(SPEC, DriverSpec)
    assert SPEC.kind == "modbus"
    assert ModbusLink.read.__doc__


async def test_a_closed_link_says_so(slave: Any, serving: Any, profile_of: Any) -> None:
    async with serving(slave, "tcp") as served:
        async with open_link(served.options) as link:
            pass
        with pytest.raises(LinkDown):
            await link.read(1, compile_plan(profile_of([]), points(0)))


def identified(profile_of: Any, **keys: str) -> Any:
    return profile_of(points(1, 2), identification=Identification(**keys))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_device_that_looks_like_its_profile_says_what_it_is(
    kind: str, slave: Any, serving: Any, profile_of: Any
) -> None:
    profile = identified(profile_of, vendor="ACME", product="X")
    async with serving(slave, kind) as served, open_link(served.options) as link:
        assert await link.identify(1, profile) == Identity("Acme X1", "")
        assert await link.identify(1, profile_of(points(1))) == Identity()
        assert len(slave.requests) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_device_that_says_another_name_is_a_mismatch(
    kind: str, slave: Any, serving: Any, profile_of: Any
) -> None:
    async with serving(slave, kind) as served, open_link(served.options) as link:
        found = await link.identify(1, identified(profile_of, vendor="Acme", product="Y"))
        assert found.mismatch == 'its product is "X1", the profile expects "Y"'


@pytest.mark.parametrize(("silent", "why"), [(False, "refused"), (True, "silent on function 43")])
async def test_a_device_that_should_say_what_it_is_and_does_not_is_a_mismatch(
    silent: bool, why: str, slave: Any, serving: Any, profile_of: Any, seal: Any
) -> None:
    def script(_n: int, request: bytes, reply: bytes) -> list[tuple[float, bytes]]:
        if request[1] != 0x2B:
            return [(0.0, reply)]
        return [] if silent else [(0.0, seal(bytes((1, 0xAB, 1))))]

    slave.script = script
    async with serving(slave, "rtu") as served, open_link(served.options) as link:
        assert why in (await link.identify(1, identified(profile_of, vendor="Acme"))).mismatch


@pytest.mark.parametrize("kind", KINDS)
async def test_a_silent_device_is_no_mismatch(kind: str, slave: Any, serving: Any, profile_of: Any) -> None:
    slave.dead_units = {1}
    async with serving(slave, kind) as served, open_link(served.options) as link:
        for profile in (
            identified(profile_of, vendor="Acme"),
            profile_of(points(1), probe=(Probe(point="p1", expect=(1,)),)),
        ):
            with pytest.raises(NoReply):
                await link.identify(1, profile)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_probed_point_tells_one_model_from_another(
    kind: str, slave: Any, serving: Any, profile_of: Any
) -> None:
    word = slave.word(1, 3, 2)
    async with serving(slave, kind) as served, open_link(served.options) as link:
        fits = profile_of(points(1, 2), probe=(Probe(point="p2", expect=(word, 7)),))
        assert await link.identify(1, fits) == Identity()
        other = profile_of(points(1, 2), probe=(Probe(point="p2", expect=(7,)),))
        assert (await link.identify(1, other)).mismatch == f"its p2 is {word}, the profile expects 7"
        slave.refused = {2}
        assert "refused" in (await link.identify(1, fits)).mismatch


@pytest.mark.parametrize("kind", ["rtu", "rtu-over-tcp", "tcp"])
@pytest.mark.parametrize("bad", [0, 5, 7])
async def test_a_device_that_is_silent_on_a_bad_address_is_told_from_a_dead_one(
    kind: str, bad: int, slave: Any, serving: Any, profile_of: Any
) -> None:
    plan = compile_plan(profile_of([]), points(*range(8)))
    slave.silent = {bad}
    found: dict[str, Any] = {}
    rounds = silent_rounds = 0
    async with serving(slave, kind, 0.05) as served, open_link(served.options) as link:
        while found.get(f"p{bad}") != "cfg":
            rounds += 1
            assert rounds < 30
            try:
                found = right(slave, await read(link, plan))
            except NoReply:
                silent_rounds += 1
        assert len(found) == 8
        assert {point for point, value in found.items() if value in ("cfg", "com")} == {f"p{bad}"}
        assert silent_rounds <= 6
        silences = link.stats.no_reply
        assert right(slave, await read(link, plan))[f"p{bad}"] == "cfg"
        assert link.stats.no_reply == silences


async def test_a_dead_device_raises_at_every_round_and_learns_nothing(
    slave: Any, serving: Any, profile_of: Any
) -> None:
    plan = compile_plan(profile_of([]), points(*range(8)))
    slave.dead_units = {1}
    async with serving(slave, "tcp", 0.03) as served, open_link(served.options) as link:
        for _ in range(25):
            before = link.stats.requests
            with pytest.raises(NoReply):
                await link.read(1, plan)
            assert link.stats.requests == before + 1
        slave.dead_units = set()
        for _ in range(2):
            found = right(slave, await read(link, plan))
            assert "cfg" not in found.values()
        assert "com" not in found.values()


async def test_a_hole_that_is_silent_costs_no_point(slave: Any, serving: Any, profile_of: Any) -> None:
    plan = compile_plan(profile_of([], max_gap=4), points(0, 1, 5, 6, 20))
    slave.silent = {3}
    async with serving(slave, "tcp", 0.03) as served, open_link(served.options) as link:
        for _ in range(12):
            try:
                found = right(slave, await read(link, plan))
            except NoReply:
                continue
        assert not {"cfg", "com"} & set(found.values())
