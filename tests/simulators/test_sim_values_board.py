"""What is set is given, by every kind of device; what cannot be carried is refused, and the device goes on."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from serial_profiles import profile_file, shipped

from drivers.api import Reading
from drivers.camera.options import CameraProfile
from drivers.catalogue import load_profile, shipped_profiles
from drivers.modbus import codec
from drivers.modbus.driver import SPEC
from drivers.modbus.profile import ModbusPoint, ModbusProfile
from drivers.registry import driver_specs
from drivers.serial.requests import request_bytes
from simulators.camera.measuring import told_by
from simulators.camera.models import PelcoCameras, Vc0706Camera, ViscaChain
from simulators.captures.reading import capture_file
from simulators.modbus.registers import ProfileMemory
from simulators.serial.answering import Answering
from simulators.serial.stream import Stream
from simulators.values import BadValue, Flag, Values
from simulators.world import World

Make = Callable[..., ModbusProfile]


def _anything(value: Any) -> Any:
    return value


def test_set_comes_before_the_script_and_the_script_before_the_waveform() -> None:
    values = Values()
    channel = values.channel("d", Flag("level", wire_type="f64"), lambda s: s, _anything)
    seen = [(channel(7.0), channel.origin, channel.told)]
    channel.follow(lambda s: -s)
    seen.append((channel(7.0), channel.origin, channel.told))
    values.set("d", "level", 0)
    seen.append((channel(7.0), channel.origin, channel.told))
    assert values.release("d", "level") == 1
    seen.append((channel(7.0), channel.origin, channel.told))
    assert seen == [(7, "waveform", False), (-7, "script", True), (0, "set", True), (-7, "script", True)]


def test_release_is_of_one_point_of_a_device_or_of_all() -> None:
    values = Values()
    for device in ("a", "b"):
        for name in ("x", "y"):
            values.channel(device, Flag(name, wire_type="f64"), lambda s: s, _anything)
            values.set(device, name, 1)
    assert [values.release("a", "x"), values.release("a"), values.release(), values.release()] == [1, 1, 2, 0]
    with pytest.raises(BadValue, match="did you mean"):
        values.release("a", "xx")


def test_a_point_in_two_places_gives_only_what_both_carry() -> None:
    def narrow(value: Any) -> Any:
        if value > 9:
            raise ValueError("one digit")
        return value

    values = Values()
    one = values.channel("d", Flag("level", wire_type="f64"), lambda s: s, _anything)
    assert values.channel("d", Flag("level", wire_type="f64"), lambda s: -s, narrow) is one
    with pytest.raises(BadValue, match="one digit"):
        values.set("d", "level", 10)
    assert one(3.0) == 3.0


@pytest.mark.parametrize("bad", ["", "12 V", "nan", "inf", float("inf"), True])
def test_a_number_is_a_number(bad: Any) -> None:
    values = Values()
    values.channel("d", Flag("level", wire_type="f64"), lambda s: s, _anything)
    with pytest.raises(BadValue, match="write a number"):
        values.set("d", "level", bad)


# Modbus


@pytest.fixture
def meter(meter_file: Path) -> ModbusProfile:
    profile = load_profile(meter_file, {"modbus": SPEC})
    assert isinstance(profile, ModbusProfile)
    return profile


def test_a_register_has_what_was_set_at_once_and_the_truth_knows_it(meter: ModbusProfile, moment: Any) -> None:
    world = moment.world()
    memory = ProfileMemory("m", meter, world)
    before = memory.read("input", 0, 2)
    assert world.values.set("m", "voltage", "231.57") == 231.57
    words = memory.read("input", 0, 2)
    assert codec.decode(meter, meter.point[0], words)[0] == 231.57
    assert moment.served[-1].value == 231.57
    world.values.release("m", "voltage")
    assert memory.read("input", 0, 2) == before


def test_what_a_reader_gets_is_said_rounded_as_the_register_does(meter: ModbusProfile, moment: Any) -> None:
    world = moment.world()
    memory = ProfileMemory("m", meter, world)
    assert world.values.set("m", "temperature", 21.26) == 21.3
    assert memory.read("input", 4, 1) == [213]


def test_a_value_beyond_the_range_is_served_and_one_beyond_the_register_is_refused(
    meter: ModbusProfile, moment: Any
) -> None:
    world = moment.world()
    memory = ProfileMemory("m", meter, world)
    world.values.set("m", "voltage", 900)
    memory.read("input", 0, 2)
    assert moment.served[-1].value == 900
    world.values.set("m", "temperature", 50)
    with pytest.raises(BadValue, match=r"m.temperature cannot give 4000: .* holds -32768 to 32767"):
        world.values.set("m", "temperature", 4_000)
    memory.read("input", 4, 1)
    assert moment.served[-1].value == 50


def test_bits_names_and_texts_can_be_set(meter: ModbusProfile, moment: Any) -> None:
    world = moment.world()
    memory = ProfileMemory("m", meter, world)
    for point, value in {"on_line": "off", "mode": "manual", "model": "AB12", "door": True}.items():
        world.values.set("m", point, value)
    assert memory.read("holding", 0, 1) == [2 << 4]
    memory.read("holding", 1, 4)
    assert memory.read("coil", 7, 1) == [1]
    assert {s.point: s.value for s in moment.served} == {
        "on_line": False,
        "mode": "manual",
        "model": "AB12",
        "door": True,
    }
    assert world.values.set("m", "mode", 1) == "auto"
    for point, value, why in (
        ("mode", "autom", "did you mean auto"),
        ("model", "123456789", "bytes"),
        ("model", 7, "text"),
    ):
        with pytest.raises(BadValue, match=why):
            world.values.set("m", point, value)


def test_a_word_that_is_made_of_bits_says_which_to_set(make_profile: Make, moment: Any) -> None:
    points = (
        ModbusPoint(name="status", table="holding", address=0, type="bits"),
        ModbusPoint(name="alarm", table="holding", address=0, type="bool", bits=(3, 3)),
    )
    world = moment.world()
    memory = ProfileMemory("m", make_profile(*points), world)
    with pytest.raises(BadValue, match="made of the bits of others: set alarm"):
        world.values.set("m", "status", 8)
    world.values.set("m", "alarm", True)
    assert memory.read("holding", 0, 1) == [8]


def test_words_that_mean_no_value_and_sums_that_are_too_great_are_refused(make_profile: Make, moment: Any) -> None:
    points = (
        ModbusPoint(name="level", table="holding", address=0, type="u16", not_available=(0xFFFF,)),
        ModbusPoint(name="total", table="holding", address=1, type="sum", weights=(1000.0, 1.0), part_max=999.0),
    )
    world = moment.world()
    ProfileMemory("m", make_profile(*points), world)
    with pytest.raises(BadValue, match="mean that there is no value"):
        world.values.set("m", "level", 0xFFFF)
    assert world.values.set("m", "total", 123_456) == 123_456
    with pytest.raises(BadValue, match="add up to"):
        world.values.set("m", "total", 2_000_000)


# Serial instruments


def _stream(name: str, world: World) -> Stream:
    return Stream("d", shipped(name), driver_specs()["serial"], capture_file(profile_file(name)), world)


def _said(stream: Stream) -> Iterator[Reading]:
    for _, readings in stream.frames(3.0):
        yield from readings


def test_a_stream_sends_what_was_set_also_where_it_is_implausible() -> None:
    world = World(1)
    stream = _stream("plantower/pms5003", world)
    for value in (42, 60_000):
        assert world.values.set("d", "pm25", value) == value
        assert [r.value for r in _said(stream) if r.point == "pm25"] == [value]
    with pytest.raises(BadValue, match="does not fit"):
        world.values.set("d", "pm25", 70_000)
    assert [r.value for r in _said(stream) if r.point == "pm25"] == [60_000]


def test_an_instrument_answers_what_was_set() -> None:
    world, profile = World(1), shipped("winsen/mh-z19b")
    capture = capture_file(profile_file("winsen/mh-z19b"))
    instrument = Answering("d", None, profile, driver_specs()["serial"], capture, world)
    world.values.set("d", "co2", 1_234)
    ((_, _, readings),) = instrument.hear(request_bytes(profile.request[0], None), 5.0)
    assert next(r.value for r in readings if r.point == "co2") == 1_234


# Cameras


def _camera(name: str) -> CameraProfile:
    profile = load_profile(shipped_profiles() / f"{name}.toml", driver_specs())
    assert isinstance(profile, CameraProfile)
    return profile


def _asked(profile: CameraProfile, camera: Any, request: bytes) -> Any:
    ((said, answer),) = camera.hear(request, 1.0)
    return next(iter(driver_specs()["camera"].decode(profile, said, answer))).value


def test_a_visca_camera_tells_what_was_set() -> None:
    world, profile = World(1), _camera("sony/visca")
    camera = ViscaChain({1: told_by("d", profile, world)})
    world.values.set("d", "pan", -300)
    world.values.set("d", "power", "standby")
    assert _asked(profile, camera, bytes.fromhex("81090612FF")) == -300
    assert _asked(profile, camera, bytes.fromhex("81090400FF")) == "standby"
    for point, value, why in (("zoom", 70_000, "it carries 0 to 65535"), ("power", "of", "write on or standby")):
        with pytest.raises(BadValue, match=why):
            world.values.set("d", point, value)


def test_a_pelco_camera_tells_what_was_set_in_the_unit_of_its_profile() -> None:
    world, profile = World(1), _camera("pelco/pelco-d")
    turned = replace_point(profile, "pan", scale=-1.0, range=(-360.0, 0.0))
    camera = PelcoCameras({1: told_by("d", turned, world)})
    assert world.values.set("d", "pan", -12.344) == -12.34
    assert _asked(turned, camera, bytes.fromhex("FF010051000052")) == -12.34
    with pytest.raises(BadValue, match=r"it carries -359.99 to 0"):
        world.values.set("d", "pan", 5)


def replace_point(profile: CameraProfile, name: str, **keys: Any) -> CameraProfile:
    from msgspec.structs import replace as changed

    points = tuple(changed(point, **keys) if point.name == name else point for point in profile.point)
    return changed(profile, point=points)


def test_a_camera_that_is_stuck_gives_the_picture_before_again() -> None:
    stuck = False
    camera = Vc0706Camera(1, "d", is_stuck=lambda: stuck)

    def take() -> bytes:
        list(camera.hear(bytes.fromhex("5600360103") + bytes.fromhex("5600360100"), 0.0))
        return camera.taken[-1]

    first, second = take(), take()
    stuck = True
    third, fourth = take(), take()
    stuck = False
    fifth = take()
    assert first != second == third == fourth != fifth
    assert len(camera.taken) == 5


def test_the_values_of_a_run_are_shared_by_what_is_made_of_its_world() -> None:
    world = World(1)
    assert replace(world, record=list).values is world.values  # type: ignore[arg-type]
