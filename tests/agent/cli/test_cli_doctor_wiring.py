"""`oc-agent doctor` names each fault of the wiring that the simulators know: the table of docs/wiring.md is tried."""

import asyncio
from pathlib import Path

import pytest
from wiring_site import SITES, config, spoil

from agent.cli.doctor.devices import findings
from agent.cli.doctor.devices.polling import polled
from agent.cli.doctor.finding import Finding
from agent.configuration import load_configuration
from simulators.testing import Bench

LINK: dict[str, dict[str, float]] = dict.fromkeys(("instrument", "dust sensor"), {"timeout_s": 2.5})

TABLE = [
    ("no_reply", "one unit", "unit_silent"),
    ("no_reply", "bus", "line_silent"),
    ("no_reply", "TCP", "tcp_mute"),
    ("exception code=2", "one unit", "refused"),
    ("exception code=4", "one unit", "device_failure"),
    ("exception code=6", "one unit", "device_busy"),
    ("exception code=10", "TCP", "gateway_path"),
    ("exception code=11", "TCP", "gateway_target"),
    ("exception code=2 register=0", "one unit", "points_refused"),
    ("wrong_crc", "one unit", "reply_damaged"),
    ("wrong_crc", "bus", "line_damaged"),
    ("wrong_crc", "ASCII", "reply_damaged"),
    ("wrong_unit", "one unit", "other_unit"),
    ("wrong_unit", "TCP", "other_unit"),
    ("wrong_count", "one unit", "other_count"),
    ("wrong_count", "TCP", "other_count"),
    ("lost", "one unit", "reply_short"),
    ("truncated", "one unit", "reply_short"),
    ("doubled", "one unit", "reply_long"),
    ("echo", "bus", "echo"),
    ("noise_before", "one unit", "noise_around"),
    ("noise_after", "one unit", "noise_around"),
    ("late min_s=0.6 max_s=0.7", "one unit", "late"),
    ("torn min_s=0.1 max_s=0.12", "one unit", "reply_slow"),
    ("split gap_s=0.02", "one unit", "reply_slow"),
    ("reboot for=60", "one unit", "unit_silent"),
    ("babble", "bus", "babble"),
    ("baud baud=300", "bus", "reply_slow"),
    ("unplug for=60", "bus", "port_missing"),
    ("unplug for=60", "TCP", "tcp_mute"),
    ("refuse", "TCP", "tcp_refused"),
    ("blackhole", "TCP", "tcp_mute"),
    ("slow bytes_per_s=40", "TCP", "reply_slow"),
    ("no_reply", "instrument", "instrument_silent"),
    ("wrong_crc", "dust sensor", "no_frame"),
    ("no_reply", "camera", "instrument_silent"),
    ("exception code=2", "TCP", "refused"),
    ("stuck_picture", "camera", ""),
    ("frozen", "one unit", ""),
    ("reset", "TCP", ""),
    ("half_open", "TCP", ""),
    ("cut", "TCP", ""),
]


AT_ONCE = 12
Told = dict[tuple[str, str], list[Finding]]


async def examined(bench: Bench, folder: Path, fault: str, place: str) -> list[Finding]:
    devices = SITES[place](bench, folder.name)
    settings = load_configuration(config(folder, devices, **LINK.get(place, {}))).settings
    spoil(devices, fault, place)
    (link,) = settings.links
    return list(findings(await polled(link, settings.devices, 60)))


@pytest.fixture(scope="module")
def told(session_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Told:
    """What is said of each row: all are examined side by side, for each mostly waits."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(fault: str, place: str) -> list[Finding]:
        async with room:
            return await examined(session_bench, tmp_path_factory.mktemp("site"), fault, place)

    async def all_of_them() -> list[list[Finding]]:
        return await asyncio.gather(*(one(fault, place) for fault, place, _ in TABLE))

    found = asyncio.run(all_of_them())
    return {row[:2]: findings for row, findings in zip(TABLE, found, strict=True)}


@pytest.mark.parametrize(("fault", "place", "code"), TABLE)
def test_each_fault_of_the_wiring_is_named(told: Told, fault: str, place: str, code: str) -> None:
    assert code in {finding.code for finding in told[fault, place]}, told[fault, place]
