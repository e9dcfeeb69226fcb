"""The driver: plans in, readings out; what a device refuses or does not answer never takes the rest along."""

import time
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from numbered import MakeNumbered, options

from drivers.api import DriverSpec, Identity, Link, Quality, Reading
from drivers.errors import BadReply, DeviceRefused, LinkDown, NoReply
from drivers.modbus import refusals
from drivers.modbus.driver import SPEC, ModbusLink, open_link
from drivers.modbus.plan import ReadPlan, compile_plan
from drivers.modbus.profile import Identification, ModbusPoint, ModbusProfile, Probe
from simulators.modbus.framing import rtu_frame
from simulators.modbus.image import numbered_word

KINDS = ("rtu", "rtu-over-tcp", "ascii", "tcp", "udp")
T = 0.2


def points(*addresses: int, table: str = "holding") -> list[ModbusPoint]:
    kind = "bool" if table in ("coil", "discrete") else "u16"
    return [ModbusPoint(name=f"p{a}", table=table, address=a, type=kind) for a in addresses]  # type: ignore[arg-type]


def profile_of(points: Iterable[ModbusPoint], **keys: Any) -> ModbusProfile:
    """A profile of these points."""
    return ModbusProfile(vendor="Test", model="T", kind="modbus", source="tests", point=tuple(points), **keys)


def right(readings: list[Reading], unit: int = 1) -> dict[str, Any]:
    """The good values, each checked against its address; and the qualities of the others."""
    values: dict[str, Any] = {}
    for reading in readings:
        values[reading.point] = reading.value if reading.value is not None else str(reading.quality)
        if reading.value is not None:
            assert reading.value == numbered_word(unit, "holding", int(reading.point[1:]))
            assert reading.quality is Quality.GOOD
    return values


async def read(link: Link, plan: ReadPlan, unit: int = 1) -> list[Reading]:
    readings = await link.read(unit, plan)
    assert [r.point for r in readings] == [p.name for p in plan.points]
    return readings


@pytest.mark.parametrize("kind", KINDS)
async def test_a_read_gives_every_point_once_in_order(kind: str, numbered: MakeNumbered) -> None:
    device = numbered(kind)
    plan = compile_plan(profile_of([], max_gap=3), points(0, 1, 5, 50, 51, 300))
    async with open_link(options(device)) as link:
        readings = await read(link, plan)
        assert len(right(readings)) == 6
        assert len({r.mono_ns for r in readings}) == 3
        assert link.stats.requests == 3


@pytest.mark.parametrize("kind", KINDS)
async def test_a_refused_address_costs_its_own_point_only(kind: str, numbered: MakeNumbered) -> None:
    device = numbered(kind)
    plan = compile_plan(profile_of([]), points(*range(16)))
    device.image.fail(2, addresses={6})
    async with open_link(options(device)) as link:
        for _ in range(2):
            found = right(await read(link, plan))
            assert found.pop("p6") == "cfg"
            assert len(found) == 15
            assert "com" not in found.values()


async def test_a_refusal_is_remembered_and_asked_again_rarely(
    numbered: MakeNumbered, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = numbered("tcp")
    plan = compile_plan(profile_of([]), points(*range(16)))
    device.image.fail(2, addresses={6})
    async with open_link(options(device)) as link:
        await read(link, plan)
        learnt, refused = link.stats.requests, link.stats.refused
        await read(link, plan)
        assert link.stats.requests - learnt < learnt / 2
        assert link.stats.refused == refused
        device.image.heal()
        assert right(await read(link, plan))["p6"] == "cfg"
        much_later = SimpleNamespace(monotonic=lambda: 1e9, monotonic_ns=time.monotonic_ns)
        monkeypatch.setattr("drivers.modbus.driver.time", much_later)
        assert len({*right(await read(link, plan)).values()} - {"cfg"}) == 16


async def test_a_gap_that_is_refused_costs_no_point(numbered: MakeNumbered) -> None:
    device = numbered("tcp")
    plan = compile_plan(profile_of([], max_gap=5), points(0, 1, 4, 5))
    device.image.fail(2, addresses={2, 3})
    async with open_link(options(device)) as link:
        found = right(await read(link, plan))
        assert len(found) == 4
        assert "cfg" not in found.values()


async def test_a_device_that_refuses_everything_raises_and_is_asked_little(numbered: MakeNumbered) -> None:
    device = numbered("tcp")
    plan = compile_plan(profile_of([]), points(*range(16)))
    device.image.fail(2)
    async with open_link(options(device)) as link:
        with pytest.raises(DeviceRefused, match="illegal address"):
            await link.read(1, plan)
        before = link.stats.requests
        with pytest.raises(DeviceRefused):
            await link.read(1, plan)
        assert link.stats.requests == before + 1
        device.image.heal()
        assert len(right(await read(link, plan))) == 16
        assert "cfg" not in right(await read(link, plan)).values()


@pytest.mark.parametrize(
    ("code", "error"),
    [(4, DeviceRefused), (5, BadReply), (6, BadReply), (10, NoReply), (11, NoReply)],
)
async def test_an_exception_code_tells_the_caller_what_to_do(
    code: int, error: type[Exception], numbered: MakeNumbered
) -> None:
    device = numbered("tcp")
    device.image.fail(code, addresses={0})
    async with open_link(options(device)) as link:
        with pytest.raises(error, match=f"exception {code}"):
            await link.read(1, compile_plan(profile_of([]), points(0)))


async def test_a_block_that_the_device_fails_on_is_a_fault_and_the_rest_flows(numbered: MakeNumbered) -> None:
    device = numbered("tcp")
    device.image.fail(4, addresses={0})
    async with open_link(options(device)) as link:
        found = right(await read(link, compile_plan(profile_of([]), points(0, 100))))
        assert found["p0"] == "flt"
        assert isinstance(found["p100"], int)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_bad_reply_is_asked_for_once_more(kind: str, numbered: MakeNumbered) -> None:
    device = numbered(kind)
    device.script(lambda n, _request, reply: [(0.0, reply if n else reply[:7] + b"\x63" + reply[8:])])
    async with open_link(options(device, T)) as link:
        found = right(await read(link, compile_plan(profile_of([]), points(0, 1))))
        assert len(found) == 2
        assert link.stats.bad_reply == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_dead_unit_raises_and_its_neighbours_answer(kind: str, numbered: MakeNumbered) -> None:
    device = numbered(kind)
    neighbours = {unit: numbered(kind, unit, on=device) for unit in (2, 3, 4, 5)}
    neighbours[3].fault("no_reply")
    plan = compile_plan(profile_of([]), points(0, 1))
    async with open_link(options(device, T)) as link:
        for unit in (1, 2, 3, 4, 5):
            if unit == 3:
                with pytest.raises(NoReply, match="unit 3"):
                    await link.read(unit, plan)
            else:
                assert len(right(await read(link, plan, unit), unit)) == 2
        assert link.stats.no_reply == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_device_that_is_silent_on_one_address_is_not_dead(kind: str, numbered: MakeNumbered) -> None:
    device = numbered(kind)
    device.image.ignore(addresses={100})
    plan = compile_plan(profile_of([]), points(0, 100, 200))
    async with open_link(options(device, T)) as link:
        found = right(await read(link, plan))
        assert found["p100"] == "com"
        assert isinstance(found["p0"], int)
        assert isinstance(found["p200"], int)


async def test_a_device_that_dies_in_the_middle_keeps_what_it_gave(numbered: MakeNumbered) -> None:
    device = numbered("tcp")
    device.script(lambda n, _request, reply: [(0.0, reply)] if n < 1 else [])
    plan = compile_plan(profile_of([]), points(*range(0, 1000, 100)))
    async with open_link(options(device, T)) as link:
        found = right(await read(link, plan))
        assert isinstance(found.pop("p0"), int)
        assert [*found.values()] == ["com"] * 9
        assert link.stats.requests == 3


@pytest.mark.parametrize("kind", ["rtu", "tcp"])
async def test_the_device_gets_the_pause_and_the_time_that_its_profile_asks_for(
    kind: str, numbered: MakeNumbered
) -> None:
    device = numbered(kind)
    at: list[float] = []

    def script(_n: int, _request: bytes, reply: bytes) -> list[tuple[float, bytes]]:
        at.append(time.monotonic())
        return [(3 * T, reply)]

    device.script(script)
    plan = compile_plan(profile_of([], inter_frame_delay_ms=80, response_timeout_ms=2000), points(0, 100))
    async with open_link(options(device, T)) as link:
        assert len(right(await read(link, plan))) == 2
        assert at[1] - at[0] >= 3 * T + 0.08


@pytest.mark.parametrize("table", ["coil", "discrete", "input"])
async def test_every_table_is_read_with_its_own_function(table: str, numbered: MakeNumbered) -> None:
    device = numbered("rtu")
    async with open_link(options(device)) as link:
        readings = await read(link, compile_plan(profile_of([]), points(0, 1, 2, 9, table=table)))
        words = [numbered_word(1, table, a) for a in (0, 1, 2, 9)]
        assert [r.value for r in readings] == (words if table == "input" else [bool(w) for w in words])


def test_a_half_learnt_round_forgets_no_point() -> None:
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


async def test_a_closed_link_says_so(numbered: MakeNumbered) -> None:
    async with open_link(options(numbered("tcp"))) as link:
        pass
    with pytest.raises(LinkDown):
        await link.read(1, compile_plan(profile_of([]), points(0)))


def identified(**keys: str) -> Any:
    return profile_of(points(1, 2), identification=Identification(**keys))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_device_that_looks_like_its_profile_says_what_it_is(kind: str, numbered: MakeNumbered) -> None:
    device = numbered(kind)
    profile = identified(vendor="ACME", product="X")
    async with open_link(options(device)) as link:
        assert await link.identify(1, profile) == Identity("Acme X1", "")
        assert await link.identify(1, profile_of(points(1))) == Identity()
        assert len(device.requests) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_a_device_that_says_another_name_is_a_mismatch(kind: str, numbered: MakeNumbered) -> None:
    device = numbered(kind)
    async with open_link(options(device)) as link:
        found = await link.identify(1, identified(vendor="Acme", product="Y"))
        assert found.mismatch == 'its product is "X1", the profile expects "Y"'


@pytest.mark.parametrize(("silent", "why"), [(False, "refused"), (True, "silent on function 43")])
async def test_a_device_that_should_say_what_it_is_and_does_not_is_a_mismatch(
    silent: bool, why: str, numbered: MakeNumbered
) -> None:
    device = numbered("rtu")

    def script(_n: int, request: bytes, reply: bytes) -> list[tuple[float, bytes]]:
        if request[1] != 0x2B:
            return [(0.0, reply)]
        return [] if silent else [(0.0, rtu_frame(1, b"\xab\1"))]

    device.script(script)
    async with open_link(options(device)) as link:
        assert why in (await link.identify(1, identified(vendor="Acme"))).mismatch


@pytest.mark.parametrize("kind", KINDS)
async def test_a_silent_device_is_no_mismatch(kind: str, numbered: MakeNumbered) -> None:
    device = numbered(kind)
    device.fault("no_reply")
    async with open_link(options(device)) as link:
        for profile in (
            identified(vendor="Acme"),
            profile_of(points(1), probe=(Probe(point="p1", expect=(1,)),)),
        ):
            with pytest.raises(NoReply):
                await link.identify(1, profile)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_probed_point_tells_one_model_from_another(kind: str, numbered: MakeNumbered) -> None:
    device = numbered(kind)
    word = numbered_word(1, "holding", 2)
    async with open_link(options(device)) as link:
        fits = profile_of(points(1, 2), probe=(Probe(point="p2", expect=(word, 7)),))
        assert await link.identify(1, fits) == Identity()
        other = profile_of(points(1, 2), probe=(Probe(point="p2", expect=(7,)),))
        assert (await link.identify(1, other)).mismatch == f"its p2 is {word}, the profile expects 7"
        device.image.fail(2, addresses={2})
        assert "refused" in (await link.identify(1, fits)).mismatch


@pytest.mark.parametrize("kind", ["rtu", "rtu-over-tcp", "tcp"])
@pytest.mark.parametrize("bad", [0, 5, 7])
async def test_a_device_that_is_silent_on_a_bad_address_is_told_from_a_dead_one(
    kind: str, bad: int, numbered: MakeNumbered
) -> None:
    device = numbered(kind)
    plan = compile_plan(profile_of([]), points(*range(8)))
    device.image.ignore(addresses={bad})
    found: dict[str, Any] = {}
    rounds = silent_rounds = 0
    async with open_link(options(device, 0.1)) as link:
        while found.get(f"p{bad}") != "cfg":
            rounds += 1
            assert rounds < 30
            try:
                found = right(await read(link, plan))
            except NoReply:
                silent_rounds += 1
        assert len(found) == 8
        assert {point for point, value in found.items() if value in ("cfg", "com")} == {f"p{bad}"}
        assert silent_rounds <= 6
        silences = link.stats.no_reply
        assert right(await read(link, plan))[f"p{bad}"] == "cfg"
        assert link.stats.no_reply == silences


async def test_a_dead_device_raises_at_every_round_and_learns_nothing(numbered: MakeNumbered) -> None:
    device = numbered("tcp")
    plan = compile_plan(profile_of([]), points(*range(8)))
    device.fault("no_reply")
    async with open_link(options(device, 0.06)) as link:
        for _ in range(25):
            before = link.stats.requests
            with pytest.raises(NoReply):
                await link.read(1, plan)
            assert link.stats.requests == before + 1
        device.heal()
        for _ in range(2):
            found = right(await read(link, plan))
            assert "cfg" not in found.values()
        assert "com" not in found.values()


async def test_a_hole_that_is_silent_costs_no_point(numbered: MakeNumbered) -> None:
    device = numbered("tcp")
    plan = compile_plan(profile_of([], max_gap=4), points(0, 1, 5, 6, 20))
    device.image.ignore(addresses={3})
    async with open_link(options(device, 0.06)) as link:
        for _ in range(12):
            try:
                found = right(await read(link, plan))
            except NoReply:
                continue
        assert not {"cfg", "com"} & set(found.values())
