"""Points that count only while another one says so: a deleted region never reports its last value."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numbered import options

from drivers.api import Quality, Reading
from drivers.catalogue import ProfileError, load_profile, shipped_profiles
from drivers.modbus import guards
from drivers.modbus.driver import SPEC, open_link
from drivers.modbus.plan import compile_plan
from drivers.modbus.profile import ModbusPoint, ModbusProfile
from simulators.testing import MakeModbusDevice, RegisterImage, SimulatedDevice


def shipped(name: str) -> ModbusProfile:
    profile = load_profile(shipped_profiles() / f"{name}.toml", {"modbus": SPEC})
    assert isinstance(profile, ModbusProfile)
    return profile


def chosen(profile: ModbusProfile, *names: str) -> list[ModbusPoint]:
    return list(profile.select(names))


UNIT = 109
BOX1_ENABLED, BOX1_MIN, BOX1_AVG = 4081, 4104, 4184
WARM = (0x4397, 0x2000)
"""302.25 K"""


@pytest.fixture
def camera(modbus_device: MakeModbusDevice) -> SimulatedDevice:
    """One whose first region is there and warm; all else is 0."""
    regions = {BOX1_ENABLED: 1, BOX1_MIN: WARM, BOX1_AVG: WARM}
    return modbus_device(unit=UNIT, image=RegisterImage(holding=regions, otherwise=lambda _table, _address: 0))


def delete_region(camera: SimulatedDevice) -> None:
    assert camera.image
    camera.image.set("holding", BOX1_ENABLED, 0)


@pytest.mark.parametrize("alone", [True, False])
async def test_a_region_that_is_deleted_while_it_runs_never_reports_its_last_value(
    alone: bool, camera: SimulatedDevice
) -> None:
    profile = shipped("flir/ax8-boxes")
    wanted = ["box1_min"] if alone else ["box1_enabled", "box1_min", "box1_avg"]
    plan = compile_plan(profile, chosen(profile, *wanted))
    async with open_link(options(camera)) as link:
        readings = {r.point: r for r in await link.read(UNIT, plan)}
        assert readings.keys() == set(wanted), "a guard that nobody asked for is not told"
        assert readings["box1_min"].value == 29.1
        delete_region(camera)
        readings = {r.point: r for r in await link.read(UNIT, plan)}
        assert (readings["box1_min"].value, readings["box1_min"].quality) == (None, Quality.SWITCHED_OFF)


async def test_a_region_that_is_deleted_between_two_requests_reports_nothing(camera: SimulatedDevice) -> None:
    """The guard is asked after the value, so what it says is true of the value too."""
    profile = shipped("flir/ax8-boxes")

    def delete_after_first(_number: int, _request: bytes, reply: bytes) -> list[tuple[float, bytes]]:
        delete_region(camera)
        return [(0.0, reply)]

    camera.script(delete_after_first)
    plan = compile_plan(profile, chosen(profile, "box1_avg"))
    assert [p.name for p in plan.blocks[-1].points] == ["box1_enabled"]
    async with open_link(options(camera)) as link:
        (reading,) = await link.read(UNIT, plan)
    assert (reading.value, reading.quality) == (None, Quality.SWITCHED_OFF)


async def test_where_the_guard_is_refused_there_is_no_value(camera: SimulatedDevice) -> None:
    profile = shipped("flir/ax8-boxes")
    assert camera.image
    camera.image.fail(2, addresses={BOX1_ENABLED})
    plan = compile_plan(profile, chosen(profile, "box1_avg"))
    async with open_link(options(camera)) as link:
        (reading,) = await link.read(UNIT, plan)
    assert (reading.value, reading.quality) == (None, Quality.CONFIGURATION)


@given(
    names=st.lists(st.sampled_from([p.name for p in shipped("flir/ax8-boxes").point]), min_size=1, unique=True),
)
def test_a_guard_is_read_with_its_values_or_after_them(names: list[str]) -> None:
    profile = shipped("flir/ax8-boxes")
    plan = compile_plan(profile, chosen(profile, *names))
    place = {p.name: n for n, block in enumerate(plan.blocks) for p in block.points}
    assert sum(len(block.points) for block in plan.blocks) == len(place), "each point once"
    assert sorted(p.name for p in plan.points) == sorted(names)
    for name in names:
        guard = next(p.valid_if for p in profile.point if p.name == name)
        assert not guard or place[guard] >= place[name]


@given(guard=st.sampled_from([True, False, 0, 1, 7, None]), quality=st.sampled_from(list(Quality)))
def test_a_value_passes_only_a_guard_that_is_good_and_says_yes(guard: Any, quality: Quality) -> None:
    points = chosen(shipped("flir/ax8-boxes"), "box1_enabled", "box1_min")
    found = {"box1_enabled": Reading("box1_enabled", guard, 1, quality), "box1_min": Reading("box1_min", 29.1, 1)}
    judged = guards.judged(points, found)
    if guard and not quality:
        assert judged["box1_min"].value == 29.1
    else:
        assert judged["box1_min"].value is None
        assert judged["box1_min"].quality is (quality or Quality.SWITCHED_OFF)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('valid_if = "nobody"', "no other point"),
        ('valid_if = "value"', "no other point"),
        ('valid_if = "chained"', "a `valid_if` itself"),
        ('valid_if = "text"', "is a text"),
    ],
)
def test_a_guard_that_cannot_be_one_is_reported(line: str, why: str, tmp_path: Any) -> None:
    head = 'vendor = "v"\nmodel = "m"\nkind = "modbus"\nsource = "s"\n'
    point = '[[point]]\nname = "{}"\ntable = "holding"\naddress = {}\ntype = "{}"\n{}\n'
    text = head + point.format("value", 0, "u16", line) + point.format("flag", 1, "bool", "")
    text += point.format("chained", 2, "u16", 'valid_if = "flag"') + point.format("text", 3, "string", "length = 2")
    file = tmp_path / "m.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ProfileError) as caught:
        load_profile(file, {"modbus": SPEC})
    assert [(p.key, why in p.what, bool(p.fix)) for p in caught.value.problems] == [("point[1].valid_if", True, True)]
