"""Simulated instruments that are asked: what they answer is understood, and each answers to its own address."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from serial_profiles import profile_file, shipped, shipped_names

from drivers.registry import driver_specs
from drivers.serial.driver import compile_plan, open_link
from drivers.serial.options import SerialOptions
from drivers.serial.requests import request_bytes
from simulators.captures.reading import capture_file
from simulators.faults.fault import parse_fault
from simulators.faults.schedule import Schedule
from simulators.lines.line import Members
from simulators.lines.opening import open_line
from simulators.lines.speaking import Deaf
from simulators.serial.answering import Answering
from simulators.serial.link import serve_serial
from simulators.site.reading import SiteDevice, SiteLink
from simulators.world import World

NOON_S = 43_200.0


def _instrument(name: str, unit: int | None = None) -> Answering:
    return Answering(
        "d", unit, shipped(name), driver_specs()["serial"], capture_file(profile_file(name)), World(1, start_s=NOON_S)
    )


@pytest.mark.parametrize("name", shipped_names(asked=True))
def test_every_answer_is_understood_and_its_values_move(name: str) -> None:
    profile, instrument = shipped(name), _instrument(name, 0)
    values: dict[str, set[Any]] = {}
    for second in range(100):
        for request in profile.request:
            for _, _, readings in instrument.hear(request_bytes(request, 0), float(second)):
                for reading in readings:
                    values.setdefault(reading.point, set()).add(reading.value)
    assert {p.name for p in profile.point if not p.optional} <= values.keys()
    numbers = [p for p in profile.point if p.wire_type in ("f64", "i64")]
    assert sum(len(seen) > 10 for seen in values.values()) >= min(2, len(numbers))


@pytest.mark.parametrize("name", shipped_names(asked=True))
async def test_the_driver_reads_what_was_recorded_as_served(name: str, moment: Any, tmp_path: Path) -> None:
    """On a real pty, with everything that is said before the first value: settings, waking up, starting."""
    profile = shipped(name)
    unit = 3 if profile.has_address else None
    options = SerialOptions(port=str(tmp_path / "port"), timeout_s=2.0, warm_up_s=0)
    link = SiteLink("l", "serial", options, (SiteDevice("d", unit, profile, profile_file(name)),))
    async with serve_serial(link, moment.world()), open_link(options) as opened:
        readings = await opened.read(unit, compile_plan(profile, profile.point))
    got = {(r.point, r.value) for r in readings if r.value is not None}
    assert got
    assert got <= {(s.point, s.value) for s in moment.served}
    assert {p.name for p in profile.point if not p.optional} <= {point for point, _ in got}


async def test_each_of_several_on_a_line_answers_to_its_own_address(moment: Any, tmp_path: Path) -> None:
    profile = shipped("vaisala/wxt530")
    options = SerialOptions(port=str(tmp_path / "port"), timeout_s=1.0)
    devices = tuple(SiteDevice(f"d{u}", u, profile, profile_file("vaisala/wxt530")) for u in (0, 5, 12))
    async with serve_serial(SiteLink("l", "serial", options, devices), moment.world()), open_link(options) as opened:
        for device in devices:
            for reading in await opened.read(device.unit, compile_plan(profile, profile.point)):
                assert (device.name, reading.point, reading.value) in {
                    (s.device, s.point, s.value) for s in moment.served
                }


def test_what_is_no_request_is_ignored() -> None:
    instrument = _instrument("winsen/mh-z19b")
    asked = request_bytes(shipped("winsen/mh-z19b").request[0], None)
    assert list(instrument.hear(b"\x00\xff\x01noise" + asked[:3], 0.0)) == []
    assert len(list(instrument.hear(asked[3:], 0.0))) == 1


async def test_an_unplugged_pty_comes_back_under_the_same_name(tmp_path: Path) -> None:
    options = SerialOptions(port=str(tmp_path / "port"))
    seen: set[str] = set()
    world = World(faults=Schedule([parse_fault("unplug every=0.05 for=0.5")], seed=1))
    async with open_line(options, Members("l", (), Deaf, world)):
        async with asyncio.timeout(20):
            while not (seen and not Path(options.port).is_symlink()):
                if Path(options.port).is_symlink():
                    seen.add(str(Path(options.port).readlink()))
                await asyncio.sleep(0.01)
            while not Path(options.port).is_symlink():
                await asyncio.sleep(0.01)
