"""Which profile fits, and in what order a bus is scanned: the pure parts of `oc-agent scan`."""

from pathlib import Path

import pytest

from agent.cli.scan.choosing import all_profiles
from agent.cli.scan.course import (
    LineSetting,
    first_round,
    in_likely_order,
    longest_s,
    second_round,
    unit_list,
)
from agent.cli.scan.finding import FoundUnit, unit_lines
from agent.cli.scan.fitting import Candidate, Registers, candidate, candidates, telling_blocks, to_ask
from agent.cli.scan.hearing import heard_profiles
from drivers.modbus.codec import encode
from drivers.modbus.pdu import Request
from drivers.modbus.profile import ModbusProfile
from drivers.serial.profile import SerialProfile

PROFILES = all_profiles(Path("/nonexistent"))
MODBUS = {name: one for name, one in PROFILES.items() if isinstance(one, ModbusProfile)}
SERIAL = {name: one for name, one in PROFILES.items() if isinstance(one, SerialProfile)}
SDM = MODBUS["eastron/sdm120"]
PM = MODBUS["schneider/pm5000"]
GEOLUX = MODBUS["geolux/rss-2-300w"]


def known(profile: ModbusProfile, **values: float | str) -> Registers:
    """Registers that say `values`, and 0 elsewhere."""
    registers = Registers()
    for block in telling_blocks(profile):
        words = [0] * block.count
        for point in block.points:
            if point.name in values:
                at = point.address - block.address
                words[at : at + point.registers] = encode(profile, point, values[point.name])
        registers.answered(Request(1, block.table, block.address, block.count), tuple(words))
    return registers


def fit(name: str, registers: Registers) -> Candidate:
    return candidate(name, MODBUS[name], registers)


def test_a_text_that_the_device_says_of_itself_is_a_proof() -> None:
    found = fit("schneider/pm5000", known(PM, manufacturer="Schneider Electric"))
    assert found.fit == "fits"
    assert "Schneider Electric" in found.why
    assert fit("schneider/pm5000", known(PM, manufacturer="Other")).fit == "no"


def test_a_probed_number_is_no_proof() -> None:
    found = fit("geolux/rss-2-300w", known(GEOLUX, speed_unit="mm/s"))
    assert found.fit == "may_fit"
    assert "probe is right (speed_unit mm/s" in found.why


def test_plausible_values_prove_nothing_and_say_so() -> None:
    found = fit("eastron/sdm120", known(SDM, voltage=231.5))
    assert (found.fit, found.plausible) == ("may_fit", 1)
    assert "proves nothing" in found.why
    assert "voltage 231.5 V" in found.why


@pytest.mark.parametrize("voltage", [9000.0, 1e-30])
def test_a_value_that_cannot_be_rules_a_profile_out(voltage: float) -> None:
    found = fit("eastron/sdm120", known(SDM, voltage=voltage))
    assert found.fit == "no"
    assert "voltage would be" in found.why


def test_registers_that_are_all_zero_tell_nothing() -> None:
    assert fit("eastron/sdm120", known(SDM)).fit == "untold"


def test_what_is_refused_or_silent_rules_a_profile_out_with_the_reason() -> None:
    (block, *_) = telling_blocks(SDM)
    for code, why in ((2, "exception 2"), (0, "silent on")):
        registers = Registers()
        registers.failed(Request(1, block.table, block.address, block.count), code)
        found = fit("eastron/sdm120", registers)
        assert found.fit == "no"
        assert why in found.why


def test_few_requests_tell_of_all_profiles_and_none_is_asked_twice() -> None:
    registers, asked = Registers(), []
    while request := to_ask(MODBUS.values(), registers, 1):
        asked.append(request)
        if request.table in ("holding", "input"):
            registers.answered(request, (0,) * request.count)
        else:
            registers.failed(request, 1)
    assert len(set(asked)) == len(asked)
    assert sum(one.table in ("coil", "discrete") for one in asked) == 2, "a function that it does not know, once each"
    assert len(asked) < sum(len(telling_blocks(one)) for one in MODBUS.values())
    assert len(candidates(MODBUS, registers)) == len(MODBUS)


def test_the_best_profile_stands_first() -> None:
    found = candidates({"eastron/sdm120": SDM, "schneider/pm5000": PM}, known(PM, manufacturer="Schneider Electric"))
    assert [one.fit for one in found] == ["fits", "no"]


def test_profiles_that_are_mostly_chance_are_told_last() -> None:
    held = [("a/a", "may_fit", 6), ("b/b", "may_fit", 3), ("c/c", "may_fit", 2), ("d/d", "untold", 0), ("e/e", "no", 0)]
    profiles = [Candidate(profile=name, fit=fit, why="", plausible=count) for name, fit, count in held]  # type: ignore[arg-type]
    found = FoundUnit(
        unit=1, setting=LineSetting(9600, "N"), answer="values", reply_ms=5, device="m", profiles=profiles
    )
    assert [one.profile for one in found.possible] == ["a/a", "b/b", "c/c"]
    assert [one.profile for one in found.likely] == ["a/a", "b/b"]
    lines = unit_lines(found)
    assert lines[0].endswith('("m")')
    assert lines[-1].strip().startswith("1 more")


def test_likely_settings_go_first_and_each_combination_once() -> None:
    order = in_likely_order((2400, 9600, 19200, 57600), ("E", "N"), 1)
    assert list(map(str, order[:3])) == ["9600 8N1", "19200 8E1", "2400 8N1"]
    assert len(set(order)) == len(order) == 8


def test_the_second_round_goes_on_where_devices_are() -> None:
    one, other = LineSetting(9600, "N"), LineSetting(19200, "E")
    units = (1, 2, 40)
    assert [leg.units for leg in first_round([one, other], units)] == [(1, 2), (1, 2)]
    legs = second_round([one, other], units, {(one, 2)})
    assert {leg.setting for leg in legs} == {one}
    assert [(leg.table, leg.units) for leg in legs] == [("input", (1,)), ("holding", (40,))]
    assert {leg.setting for leg in second_round([one, other], units, ())} == {one, other}


def test_the_longest_time_is_that_of_silence() -> None:
    one = [LineSetting(9600, "N")]
    assert longest_s(one, (1, 2), 0.2, 2.0) == pytest.approx(2.0 + 4 * 0.22, abs=0.02)


@pytest.mark.parametrize("text", ["0", "248", "5-3", "a", "1-300", ""])
def test_units_that_there_are_not(text: str) -> None:
    with pytest.raises(ValueError, match=r"unit|int"):
        unit_list(text)
    assert unit_list("3, 1-2,3") == (3, 1, 2)


def test_frames_of_instruments_are_known_in_the_midst_of_a_stream() -> None:
    frame = bytes.fromhex(
        "42 4D 00 1C 00 00 00 08 00 08 00 00 00 08 00 08 00 D2 00 46 00 2D 00 1E 00 00 00 00 97 00 02 C5"
    )
    (found, *_) = heard_profiles(frame[9:] + frame + frame[:7], SERIAL)
    assert (found.profile, found.frames, found.checked) == ("plantower/pms5003", 1, True)
    assert found.values["pm25"] == 8
    assert heard_profiles(frame[:-1] + b"\x00", SERIAL) == []
