"""The profiles that are shipped: what can be held of each by its own numbers, whatever its manual says.

A range that is too narrow calls good values doubtful, one that a broken value fits into calls nothing doubtful.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.catalogue import load_profile, profile_names, shipped_profiles
from drivers.modbus.codec import raw_limits
from drivers.modbus.profile import BIT_TABLES, ModbusPoint, ModbusProfile
from drivers.profile import Point, Profile
from drivers.registry import driver_specs
from drivers.scaling import scaled

FOLDER = shipped_profiles()
NAMES = profile_names([FOLDER])
LEAST = 80
UNITS = {
    "1", "%", "/cm3", "/dL", "/h", "/mL", "A", "Cel", "Hz", "V", "V.A", "V.A.h", "W", "W.h", "W/m2", "[ppb]", "[ppm]", "cm",
    "dB", "deg", "hPa", "kV.A", "kV.A.h", "kW", "kW.h", "lx", "m", "m/s", "mm", "mm/h", "s", "ug/m3", "um",
}  # fmt: skip
"""Spelt one way only: a rule or a picture at the IOC is written for `Cel`, not for `°C` too."""
ROUND = {"deg": (-180, 360), "[ppm]": (1, 50_000), "Hz": (0, 70), "dB": (0, 140), "hPa": (300, 1250)}
"""No quantity of these goes beyond, wherever it is measured; 0 ppm of CO2 is a sensor that is broken."""
RARELY_S = 60.0
"""A counter of energy, rain or starts moves slowly, and nobody's name changes."""
BINARY = {"u8": (0, 255), "i8": (-128, 127), "u16": (0, 65_535), "i16": (-32_768, 32_767)}


def profile(name: str) -> Profile:
    return load_profile(FOLDER / f"{name}.toml", driver_specs())


def limits(point: Point) -> tuple[int, int] | None:
    """The least and the greatest raw number of a point that is a whole number on the wire."""
    if isinstance(point, ModbusPoint):
        return None if point.table in BIT_TABLES or point.type == "bool" else raw_limits(point)
    return BINARY.get(getattr(point, "type", "")) if getattr(point, "at", None) is not None else None


def fraction(point: Point) -> int:
    return 1 << (getattr(point, "fraction_bits", None) or 0)


def ranged(found: Profile) -> Iterator[tuple[Point, tuple[float, float]]]:
    return ((point, point.range) for point in found.point if point.range is not None)


def said_to_be_none(point: Point, number: int) -> bool:
    """Whether `not_available` names this raw number, by all its words."""
    nothing = getattr(point, "not_available", ())
    words = tuple(number >> shift & 0xFFFF for shift in range(16 * getattr(point, "registers", 1) - 16, -16, -16))
    return words in nothing or any(all(word == one for word in words) for one in nothing)


def exchanges(name: str) -> list[dict[str, Any]]:
    return list(tomllib.loads(Path(FOLDER / f"{name}.capture.toml").read_text(encoding="utf-8"))["exchange"])


def test_the_library_is_there() -> None:
    assert len(NAMES) >= LEAST


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_says_where_it_is_from_and_what_to_beware_of_in_both_languages(name: str) -> None:
    found = profile(name)
    assert len(found.source) > len("a manual")
    assert found.caveats
    assert {*found.label} == {"vi", "en"}
    assert [point.name for point in found.point if {*point.label} != {"vi", "en"}] == []
    assert len({point.label["en"] for point in found.point}) == len(found.point), "two points of one name"
    assert len({point.label["vi"] for point in found.point}) == len(found.point), "two points of one name"


@pytest.mark.parametrize("name", NAMES)
def test_a_technician_reads_there_how_the_line_is_to_be_set(name: str) -> None:
    """Speed and parity, or the port on a network."""
    assert re.search(
        r"\b8[NEO][12]\b|\bparity\b|\bport 1?502\b|baud|RS-232 or RS-485|of the line", " ".join(profile(name).caveats)
    )


@pytest.mark.parametrize("name", NAMES)
def test_units_are_spelt_one_way(name: str) -> None:
    assert {point.unit for point in profile(name).point} <= UNITS


@pytest.mark.parametrize("name", NAMES)
def test_a_range_is_within_what_the_registers_can_carry(name: str) -> None:
    """Beyond that it would never call anything doubtful, and is a slip of the pen."""
    for point, (low, high) in ranged(profile(name)):
        assert low < high, point.name
        raw = limits(point)
        if raw:
            least, greatest = sorted(end / fraction(point) * point.scale + point.offset for end in raw)
            slack = abs(point.scale)
            assert least - slack <= low, f"{point.name}: {least} to {greatest}"
            assert high <= greatest + slack, f"{point.name}: {least} to {greatest}"


@pytest.mark.parametrize("name", NAMES)
def test_the_words_that_devices_send_for_no_value_are_no_plausible_value(name: str) -> None:
    """FFFF, and 7FFF and 8000 where there is a sign: out of the range, or named as no value."""
    for point, _ in ranged(profile(name)):
        raw = limits(point)
        if raw is None or (isinstance(point, ModbusPoint) and point.bits):
            continue
        for number in {*raw} - {0}:
            sent, doubtful = scaled(point, number if fraction(point) == 1 else number / fraction(point))
            assert doubtful or said_to_be_none(point, number), f"{point.name}: {number} is {sent}"


@pytest.mark.parametrize("name", NAMES)
def test_percents_degrees_and_the_like_have_the_range_that_they_have_everywhere(name: str) -> None:
    for point in profile(name).point:
        if point.unit == "%":
            assert point.range is not None, point.name
            assert point.range[0] == 0, point.name
            assert point.range[1] == 100 or (re.search("load|thd", point.name) and point.range[1] <= 255), point.name
        if point.unit in ROUND and point.range is not None:
            assert ROUND[point.unit][0] <= point.range[0], point.name
            assert point.range[1] <= ROUND[point.unit][1], point.name


@pytest.mark.parametrize("name", NAMES)
def test_what_a_device_was_seen_to_send_is_not_called_doubtful(name: str) -> None:
    seen = [one for one in exchanges(name) if one["origin"] == "device" and not one.get("error")]
    assert [one["quality"] for one in seen if "rng" in one.get("quality", {}).values()] == []


@pytest.mark.parametrize("name", NAMES)
def test_what_hardly_ever_changes_is_asked_for_rarely(name: str) -> None:
    """Names, serial numbers, versions and energies; a bus of 9600 baud has no time to give away."""
    found = profile(name)
    if not isinstance(found, ModbusProfile):
        return
    for point in found.point:
        fixed = point.type == "string" or re.fullmatch(r"serial|firmware|model|.*energy.*", point.name)
        if fixed:
            assert (point.interval_s or 0) >= RARELY_S, point.name
