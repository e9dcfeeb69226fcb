"""A simulated Modbus device serves what its profile describes, and records what its words mean."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.api import Quality, Reading
from drivers.catalogue import load_profile, profile_names, shipped_profiles
from drivers.modbus import codec
from drivers.modbus.driver import SPEC
from drivers.modbus.identity import probe_mismatch
from drivers.modbus.profile import Identification, ModbusPoint, ModbusProfile, Order, Table
from simulators.modbus.device import Refused, respond
from simulators.modbus.plain import encoder
from simulators.modbus.registers import ProfileMemory
from simulators.world import forget

KINDS = {"modbus": SPEC}
Make = Callable[..., ModbusProfile]


def _point(name: str, address: int, type_: Any = "u16", table: Table = "holding", **keys: Any) -> ModbusPoint:
    return ModbusPoint(name=name, table=table, address=address, type=type_, **keys)


@pytest.fixture
def meter(meter_file: Path) -> ModbusProfile:
    profile = load_profile(meter_file, KINDS)
    assert isinstance(profile, ModbusProfile)
    return profile


def _shipped() -> list[str]:
    names = profile_names((shipped_profiles(),))
    return [n for n in names if 'kind = "modbus"' in _text(n)]


def _text(name: str) -> str:
    return (shipped_profiles() / f"{name}.toml").read_text(encoding="utf-8")


def test_what_is_recorded_is_what_the_words_mean(meter: ModbusProfile, moment: Any) -> None:
    memory = ProfileMemory("m", meter, moment.world())
    words = memory.read("input", 0, 2)
    (served,) = moment.served
    assert (served.device, served.point) == ("m", "voltage")
    assert served.value == codec.decode(meter, meter.point[0], words)[0]


def test_a_value_that_is_served_in_part_is_not_recorded(meter: ModbusProfile, moment: Any) -> None:
    ProfileMemory("m", meter, moment.world()).read("input", 1, 1)
    assert moment.served == []


def test_every_read_moves_in_time(meter: ModbusProfile, moment: Any) -> None:
    memory = ProfileMemory("m", meter, moment.world())
    answers = []
    for second in range(20):
        moment.elapsed_s = float(second)
        answers.append(tuple(memory.read("input", 0, 2)))
    assert len(set(answers)) == 20


def test_the_same_seed_serves_the_same_words_again(meter: ModbusProfile, moment: Any) -> None:
    moment.elapsed_s = 12.5
    one, again, other = (ProfileMemory("m", meter, moment.world(seed)).read("input", 4, 3) for seed in (1, 1, 2))
    assert one == again != other


def test_small_gaps_are_bridged_with_zeros_and_nothing_else_that_no_point_has(
    meter: ModbusProfile, moment: Any
) -> None:
    memory = ProfileMemory("m", meter, moment.world())
    assert list(memory.read("input", 0, 5))[2:4] == [0, 0]
    for address, count in ((2, 1), (3, 2), (5, 3), (8, 1), (0, 8)):
        with pytest.raises(Refused, match="0x02"):
            memory.read("input", address, count)
    with pytest.raises(Refused, match="0x02"):
        memory.read("discrete", 0, 1)


def test_more_registers_than_the_device_allows_are_an_illegal_value(meter: ModbusProfile, moment: Any) -> None:
    with pytest.raises(Refused, match="0x03"):
        ProfileMemory("m", meter, moment.world()).read("input", 0, 21)


def test_points_that_share_a_word_do_not_disturb_each_other(meter: ModbusProfile, moment: Any) -> None:
    memory = ProfileMemory("m", meter, moment.world())
    seen = set()
    for second in range(300):
        moment.elapsed_s = float(second)
        moment.served.clear()
        (word,) = memory.read("holding", 0, 1)
        values = {s.point: s.value for s in moment.served}
        names = {0: "off", 1: "auto", 2: "manual"}
        assert values == {"on_line": bool(word >> 1 & 1), "mode": names[word >> 4 & 3]}
        seen.add(tuple(values.values()))
    assert len(seen) >= 4


def test_a_status_word_agrees_with_its_bits(make_profile: Make, moment: Any) -> None:
    profile = make_profile(_point("status", 0, "bits"), _point("alarm", 0, "bool", bits=(3, 3)))
    memory = ProfileMemory("m", profile, moment.world())
    for second in range(120):
        moment.elapsed_s = float(second)
        memory.read("holding", 0, 1)
    words = {s.time_ms: s.value for s in moment.served if s.point == "status"}
    alarms = {s.time_ms: s.value for s in moment.served if s.point == "alarm"}
    assert words == {time_ms: 8 if alarm else 0 for time_ms, alarm in alarms.items()}
    assert set(alarms.values()) == {True, False}


def test_text_is_cut_to_the_length_of_its_point(meter: ModbusProfile, moment: Any) -> None:
    ProfileMemory("a-rather-long-name", meter, moment.world()).read("holding", 1, 4)
    assert moment.served[0].value == "SIM a-ra"


@pytest.mark.parametrize(
    "type_", ["u8h", "u8l", "i16", "u16", "i24", "u24", "i32", "u32", "i64", "u64", "bcd16", "bcd32"]
)
@pytest.mark.parametrize("unit", ["V", "Pa", "kW.h", "1"])
def test_every_integer_type_carries_every_value_that_it_is_given(
    type_: str, unit: str, make_profile: Make, moment: Any
) -> None:
    profile = make_profile(_point("value", 0, type_, unit=unit, scale=0.1))
    memory = ProfileMemory("m", profile, moment.world())
    for second in range(0, 3_600, 7):
        moment.elapsed_s = float(second)
        memory.read("holding", 0, profile.point[0].registers)
    assert len(moment.served) == len(range(0, 3_600, 7))


@pytest.mark.parametrize("type_", ["f16", "f32", "f64"])
def test_every_float_type_carries_every_value_that_it_is_given(type_: str, make_profile: Make, moment: Any) -> None:
    profile = make_profile(_point("voltage", 0, type_, unit="V", range=(0, 300)))
    memory = ProfileMemory("m", profile, moment.world())
    for second in range(200):
        moment.elapsed_s = float(second)
        memory.read("holding", 0, profile.point[0].registers)
    assert all(0 <= s.value <= 300 for s in moment.served)
    assert len(moment.served) == 200


def test_words_that_mean_no_value_are_not_served(make_profile: Make, moment: Any) -> None:
    profile = make_profile(_point("level", 0, unit="1", range=(0, 3), not_available=(1, 2)))
    memory = ProfileMemory("m", profile, moment.world())
    for second in range(100):
        moment.elapsed_s = float(second)
        memory.read("holding", 0, 1)
    assert {s.value for s in moment.served} == {0}


@pytest.mark.parametrize("name", _shipped())
def test_every_point_of_every_shipped_profile_is_served_with_a_good_value(name: str, moment: Any) -> None:
    profile = load_profile(shipped_profiles() / f"{name}.toml", KINDS)
    assert isinstance(profile, ModbusProfile)
    memory = ProfileMemory("m", profile, moment.world())
    counters: dict[str, float] = {}
    for second in range(0, 600, 3):
        moment.elapsed_s = float(second)
        moment.served.clear()
        for point in profile.point:
            words = memory.read(point.table, point.address, point.registers)
            value, quality = codec.decode(profile, point, words)
            assert (value is not None, quality) == (True, ""), f"{point.name} at {second}: {value} {quality}"
            if point.name.startswith("energy"):
                assert isinstance(value, int | float)
                assert value >= counters.get(point.name, 0)
                counters[point.name] = value
        assert {s.point for s in moment.served} == {p.name for p in profile.point}


@pytest.mark.parametrize("name", [n for n in _shipped() if "[[probe]]" in _text(n)])
def test_a_shipped_profile_with_probes_takes_its_simulated_device_for_its_model(name: str, moment: Any) -> None:
    profile = load_profile(shipped_profiles() / f"{name}.toml", KINDS)
    assert isinstance(profile, ModbusProfile)
    memory = ProfileMemory("m", profile, moment.world())
    for second in range(0, 600, 60):
        moment.elapsed_s = float(second)
        told = {p.name: codec.decode(profile, p, memory.read(p.table, p.address, p.registers)) for p in profile.point}
        assert probe_mismatch(profile, [Reading(n, v, 0, q) for n, (v, q) in told.items()]) == ""


@pytest.mark.parametrize("name", _shipped())
def test_the_words_are_the_same_whether_somebody_records_what_they_mean_or_not(name: str, moment: Any) -> None:
    profile = load_profile(shipped_profiles() / f"{name}.toml", KINDS)
    assert isinstance(profile, ModbusProfile)
    watched = ProfileMemory("m", profile, moment.world())
    alone = ProfileMemory("m", profile, replace(moment.world(), record=forget))
    for second in range(0, 100, 7):
        moment.elapsed_s = second + 0.3
        for point in profile.point:
            what = (point.table, point.address, point.registers)
            assert list(alone.read(*what)) == list(watched.read(*what)), point.name


@example("i16", (0.1, -40.0, None), "big", "big", (0.03, 0.38), 0.04)
@example("f32", (1.0, 0.0, None), "big", "big", (0.1, 0.4), 0.1)
@given(
    st.sampled_from(["u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64"]),
    st.sampled_from([(1.0, 0.0, None), (0.1, -40.0, None), (-0.01, 0.0, 1), (1e3, 5.0, None)]),
    st.sampled_from(["big", "little"]),
    st.sampled_from(["big", "little"]),
    st.sampled_from([None, (-50.0, 120.0), (0.03, 0.38), (0.0, 1e9)]),
    st.one_of(st.floats(0, 0.5), st.floats(-200, 200), st.floats(allow_nan=True), st.integers(-(2**66), 2**66)),
)
def test_plain_numbers_have_the_words_of_the_codec_and_are_always_good(
    type_: Any, scaling: Any, words: Order, bytes_: Order, range_: Any, value: float
) -> None:
    scale, offset, decimals = scaling
    keys = {"scale": scale, "offset": offset, "decimals": decimals, "range": range_}
    point = _point("v", 0, type_, word_order=words, byte_order=bytes_, **keys)
    profile = ModbusProfile(vendor="Test", model="M", kind="modbus", source="made for tests", point=(point,))
    encode = encoder(profile, point)
    assert encode
    if (found := encode(value)) is not None:
        assert tuple(found) == codec.encode(profile, point, value)
        assert codec.decode(profile, point, found)[1] is Quality.GOOD


@pytest.mark.parametrize("type_", ["u16", "i16", "f32"])
def test_ordinary_values_need_no_codec(type_: str, make_profile: Make) -> None:
    profile = make_profile(_point("v", 0, type_, scale=0.1, range=(0, 100)))
    encode = encoder(profile, profile.point[0])
    assert encode
    assert all(encode(value / 10) is not None for value in range(10, 990))


@pytest.mark.parametrize(
    "keys", [{"not_available": (0xFFFF,)}, {"bits": (0, 3)}, {"enum": {"0": "off"}}, {"type_": "bcd16"}]
)
def test_what_is_not_only_a_number_is_left_to_the_codec(keys: dict[str, Any], make_profile: Make) -> None:
    profile = make_profile(_point("v", 0, **keys))
    assert encoder(profile, profile.point[0]) is None


def test_an_instrument_takes_no_writes(meter: ModbusProfile, moment: Any) -> None:
    memory = ProfileMemory("m", meter, moment.world())
    for request_hex in ("050007ff00", "0600000001", "0f00070001" + "0101", "1000000001020001", "16000000000001"):
        request = bytes.fromhex(request_hex)
        assert respond(request, memory) == bytes((request[0] | 0x80, 1))


def test_a_device_says_what_its_profile_expects_it_to_say(make_profile: Make, moment: Any) -> None:
    request = bytes.fromhex("2b0e0100")
    bare = make_profile(_point("v", 0))
    assert respond(request, ProfileMemory("m", bare, moment.world())).hex() == "ab01"
    known = make_profile(_point("v", 0), identification=Identification(product="PM5"))
    answer = respond(request, ProfileMemory("m", known, moment.world()))
    assert answer == bytes.fromhex("2b0e0181000003") + b"\0\4Test\1\3PM5\2\x031.0"
