"""`oc-agent doctor` names each fault of the wiring that the simulators know: the table of docs/wiring.md is tried."""

import asyncio
from pathlib import Path

import pytest
from wiring_site import LINK, ROWS, SITES, config, spoil

from agent.cli.doctor.devices import findings
from agent.cli.doctor.devices.polling import polled
from agent.cli.doctor.finding import Finding
from agent.configuration import load_configuration
from simulators.testing import Bench

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
        return await asyncio.gather(*(one(fault, place) for fault, place, _ in ROWS))

    found = asyncio.run(all_of_them())
    return {row[:2]: findings for row, findings in zip(ROWS, found, strict=True)}


@pytest.mark.parametrize(("fault", "place", "code"), ROWS)
def test_each_fault_of_the_wiring_is_named(told: Told, fault: str, place: str, code: str) -> None:
    assert code in {finding.code for finding in told[fault, place]}, told[fault, place]
