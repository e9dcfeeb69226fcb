"""The agent on a machine of which everything goes wrong: it goes on, says what is wrong, and loses nothing.

Its device counts its answers, so a reading that is missing shows at the IOC.
"""

import asyncio
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from agent_config import HEAD
from counting import PROFILE, CountingDevices, counting_devices
from host_needs import lacking

from simulators.host import FAULTS, Machine, host
from simulators.testing import Bench, BenchBroker, BenchIoc, MakeModbusDevice

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking())
MIB = 1024 * 1024
SOON_S = 30.0
JUMP_S = 7_200
UNIT = 1
SETTINGS = """
[outbox]
commit_interval_s = 0.5
batch_interval_s = 0.1
archive_interval_s = 1.0
[clock]
hold_unsynced_s = 0
[[link]]
name = "plc"
kind = "modbus"
transport = "tcp"
host = "127.0.0.1"
tcp_port = {port}
[[device]]
name = "counter"
link = "plc"
profile = "./counter.toml"
unit = 1
interval_s = 0.1
"""


class Site:
    """A broker, the reference IOC and a device that counts."""

    def __init__(self, folder: Path, broker: BenchBroker, ioc: BenchIoc, devices: CountingDevices) -> None:
        self._folder = folder
        self._broker = broker
        self._devices = devices
        self.ioc = ioc

    def config(self, machine: Machine) -> Path:
        """A configuration whose folders are those of the machine."""
        (self._folder / "counter.toml").write_text(PROFILE, encoding="utf-8")
        head = HEAD.replace('"data"', f'"{machine.data}"').replace('"run"', f'"{machine.run_dir}"')
        text = f"{head}port = {self._broker.port}\ndrain_s = 3\n{SETTINGS.format(port=self._devices.port)}"
        file = self._folder / "agent.toml"
        file.write_text(text, encoding="utf-8")
        return file

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.ioc.query(sql)

    @property
    def served(self) -> set[int]:
        return {answer.number for answer in list(self._devices.counters[UNIT].served)}

    @property
    def arrived(self) -> set[int]:
        return {int(json.loads(value)) for (value,) in self.query("SELECT value FROM reading WHERE point = 'n'")}

    def events(self, type_: str) -> list[dict[str, Any]]:
        return [json.loads(body) for (body,) in self.query(f"SELECT body FROM event WHERE type = '{type_}'")]

    async def goes_on(self, machine: Machine) -> None:
        """What is served from now on arrives."""
        now = max(self.served, default=0)
        await until(lambda: len([n for n in self.arrived if n > now]) > 5, machine, "readings arrive")


async def until(condition: Callable[[], Any], machine: Machine, what: str) -> None:
    end_s = time.monotonic() + SOON_S
    while not condition():
        said = machine.stderr.read_text().splitlines()[-20:]
        assert time.monotonic() < end_s, "\n".join((f"not within {SOON_S:g} s: {what}", *said))
        await asyncio.sleep(0.05)


@pytest.fixture
def site(tmp_path: Path, bench: Bench, broker: BenchBroker, modbus_device: MakeModbusDevice) -> Site:
    devices = counting_devices(modbus_device, [UNIT])
    return Site(tmp_path, broker, bench.ioc(broker, ack_every_s=0.2), devices)


async def test_the_agent_outlives_every_fault_of_its_machine_and_loses_nothing(
    tmp_path: Path, site: Site, oc_agent: list[str]
) -> None:
    async with host(tmp_path / "host", disk_bytes=32 * MIB, clock=True) as machine:
        await machine.start([*oc_agent, "--config", str(site.config(machine)), "run"], restart_s=0.2)
        await site.goes_on(machine)
        async with FAULTS["disk_full"](machine):
            await until(lambda: site.events("disk.low"), machine, "disk.low")
            await site.goes_on(machine)
        await site.goes_on(machine)
        async with FAULTS["read_only"](machine):
            await until(lambda: "disk I/O error" in machine.stderr.read_text(), machine, "the agent meets it")
            await site.goes_on(machine)
            async with FAULTS["sigkill"](machine):
                pass
        await site.goes_on(machine)
        async with FAULTS["clock_jump"](machine, seconds=JUMP_S):
            await until(lambda: site.events("clock.step"), machine, "clock.step")
            await site.goes_on(machine)
        assert abs(site.events("clock.step")[0]["offset_ms"] - JUMP_S * 1_000) < 1_000
        await machine.stop_and_continue(0.5)
        await site.goes_on(machine)
        code = await machine.terminate(30)
    await until(lambda: len(site.arrived) >= len(site.served) - 1, machine, "all is at the IOC")
    assert (code, machine.exit_codes.count(-signal.SIGKILL)) == (0, 1), machine.stderr.read_text()
    assert len(site.served - site.arrived) <= 1, "more is missing than the poll in flight at the SIGKILL"
    account = machine.output[-1]
    assert (account["lost"], account["stored"]) == ({}, 0)
