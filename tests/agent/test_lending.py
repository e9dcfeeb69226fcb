"""Lending a line of the running agent: real processes on both sides of the control socket."""

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import pytest
from processes import Popen, started
from running_agent import HEAD, RunningAgent, running_agent

from agent.cli import main
from agent.cli.borrowing import borrowed
from agent.cli.messages import set_language
from agent.cli.output import Failed
from agent.configuration import load_configuration
from agent.control import control_server
from agent.polling.lending import VERB
from simulators.testing import MakeModbusDevice

BORROWER = """\
import sys, time
from pathlib import Path
from agent.cli.borrowing import borrowed
from agent.configuration import load_configuration
settings = load_configuration(Path(sys.argv[1])).settings
link = next(link for link in settings.links if link.name == sys.argv[2])
with borrowed(settings, link, "scan") as lent:
    print(lent, flush=True)
    time.sleep(60)
"""
FAST = {"interval_s": 0.5, "points": ["voltage"]}


@contextmanager
def _borrower(agent: RunningAgent, link: str) -> Iterator[Popen]:
    command = [sys.executable, "-c", BORROWER, str(agent.config), link]
    with started(command, agent.config.parent / "borrower.log") as process:
        assert process.stdout
        assert process.stdout.readline() == "True\n"
        yield process


@pytest.fixture(autouse=True)
def english() -> None:
    set_language("en")


def test_a_line_that_is_lent_is_ours_alone_and_polled_again_afterwards(
    tmp_path: Path, modbus_device: MakeModbusDevice
) -> None:
    lent, other = (
        modbus_device("eastron/sdm120", name="m1", transport="rtu"),
        modbus_device("eastron/sdm120", name="m2"),
    )
    with running_agent(tmp_path, lent, other, **FAST) as agent:
        for device in (lent, other):
            agent.wait_for_link(device.link["name"])
        link = agent.link_settings(lent.link["name"])
        with borrowed(agent.settings, link, "scan") as ours:
            assert ours
            asked, asked_other = len(lent.requests), len(other.requests)
            assert asyncio.run(_voltage(agent, link))
            other.wait_for_requests(asked_other + 3)
            assert len(lent.requests) == asked + 1
            state = agent.link(link.name)
            assert (state["up"], state["error"]) == (False, f"lent to pid {os.getpid()} (uid {os.getuid()}, scan)")
            assert agent.link(other.link["name"])["up"]
        lent.wait_for_requests(asked + 3)
        agent.wait_for_link(link.name)
        agent.stop()
        raised, cleared = agent.events()
    assert (raised["type"], raised["severity"], raised["reason"], raised["devices"]) == (
        "alarm.raise", "minor", "lent", ["m1"]
    )  # fmt: skip
    assert (cleared["type"], cleared["reason"], cleared["devices"]) == ("alarm.clear", "lent", ["m1"])
    assert 0 < cleared["held_s"] < 60
    assert f"is lent to pid {os.getpid()} (uid {os.getuid()}, scan)" in agent.log


async def _voltage(agent: RunningAgent, link: Any) -> Any:
    (device,) = agent.settings.on_link(link.name)
    async with link.spec.open_link(link.options) as opened:
        plan = link.spec.compile_plan(device.profile, [p.point for p in device.points])
        return await opened.read(device.unit, plan)


def test_a_borrower_that_is_killed_has_given_back(tmp_path: Path, modbus_device: MakeModbusDevice) -> None:
    meter = modbus_device("eastron/sdm120", name="m1", transport="rtu")
    with running_agent(tmp_path, meter, **FAST) as agent, _borrower(agent, meter.link["name"]) as borrower:
        asked = len(meter.requests)
        borrower.kill()
        meter.wait_for_requests(asked + 3)
        agent.wait_for_link(meter.link["name"])


def test_a_second_borrower_is_told_who_has_the_line(tmp_path: Path, modbus_device: MakeModbusDevice) -> None:
    meter = modbus_device("eastron/sdm120", name="m1")
    name = meter.link["name"]
    with running_agent(tmp_path, meter, **FAST) as agent, _borrower(agent, name) as borrower:
        refused = pytest.raises(Failed, match=f"{name} is lent already: to scan, pid {borrower.pid}, for ")
        with refused, borrowed(agent.settings, agent.link_settings(name)):
            pass
        assert borrower.poll() is None
        assert not agent.link(name)["up"]
        borrower.kill()
        agent.wait_for_link(name)
        with borrowed(agent.settings, agent.link_settings(name)) as ours:
            assert ours


def test_a_stop_does_not_wait_for_a_borrower_who_goes_on(tmp_path: Path, modbus_device: MakeModbusDevice) -> None:
    meter = modbus_device("eastron/sdm120", name="m1", transport="rtu")
    with running_agent(tmp_path, meter, **FAST) as agent, _borrower(agent, meter.link["name"]) as borrower:
        begun_s = time.monotonic()
        account = agent.stop()
        assert time.monotonic() - begun_s < 10
        assert account["lost"] == {}
        assert [event["type"] for event in agent.events()] == ["alarm.raise", "alarm.clear"]
        assert borrower.poll() is None
        assert "Traceback" not in agent.log


def test_a_line_that_the_agent_cannot_open_is_lent_too(tmp_path: Path, modbus_device: MakeModbusDevice) -> None:
    meter = modbus_device("eastron/sdm120", name="m1")
    meter.line.fault("refuse")
    with running_agent(tmp_path, meter, **FAST) as agent, _borrower(agent, meter.link["name"]) as borrower:
        assert "lent to" in agent.link(meter.link["name"])["error"]
        meter.line.heal()
        borrower.kill()
        agent.wait_for_link(meter.link["name"])


def test_nothing_is_borrowed_where_no_agent_has_the_line(tmp_path: Path, modbus_device: MakeModbusDevice) -> None:
    meter, newer = (modbus_device("eastron/sdm120", name=name) for name in ("m1", "m2"))
    with running_agent(tmp_path, meter, **FAST) as agent:
        agent.wait_for_link(meter.link["name"])
        agent.config.write_text(agent.config.read_text(encoding="utf-8") + newer.toml(), encoding="utf-8")
        with borrowed(agent.settings, agent.link_settings(newer.link["name"])) as lent:
            assert not lent
            assert agent.link(meter.link["name"])["up"]
        agent.stop()
        with borrowed(agent.settings, agent.link_settings(meter.link["name"])) as lent:
            assert not lent


def test_a_port_is_found_by_any_of_its_names(tmp_path: Path, modbus_device: MakeModbusDevice) -> None:
    meter = modbus_device("eastron/sdm120", name="m1", transport="rtu")
    with running_agent(tmp_path, meter, **FAST) as agent:
        alias = tmp_path / "usb-adapter"
        alias.symlink_to(meter.port)
        agent.config.write_text(
            agent.config.read_text(encoding="utf-8").replace(meter.port, str(alias)), encoding="utf-8"
        )
        with borrowed(agent.settings, agent.link_settings(meter.link["name"])) as lent:
            assert lent


class Lending:
    """A control server in a thread that lends something, and what became of it."""

    def __init__(self, folder: Path) -> None:
        self.back = threading.Event()
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    @asynccontextmanager
    async def _lend(self, _arguments: Any, _peer: Any) -> AsyncIterator[Any]:
        yield {"state": "lent"}
        self.back.set()

    async def _run(self) -> None:
        async with control_server(self._folder, {}, {}, {VERB: self._lend}):
            self._ready.set()
            await self._stop.wait()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()


def test_a_borrower_who_never_ends_is_interrupted_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, modbus_device: MakeModbusDevice, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("agent.control.LEASE_MAX_S", 0.2)
    meter = modbus_device("eastron/sdm120", name="m1")
    config = tmp_path / "agent.toml"
    config.write_text(HEAD.format(port=1) + meter.toml(), encoding="utf-8")
    settings = load_configuration(config).settings
    (tmp_path / "run").mkdir()
    with Lending(tmp_path / "run") as lending:
        with pytest.raises(Failed, match="the agent took the line back after"), borrowed(settings, settings.links[0]):
            time.sleep(20)
        assert lending.back.wait(10)
        lending.back.clear()
        with borrowed(settings, settings.links[0]), suppress(KeyboardInterrupt):  # as who shows what was found so far
            time.sleep(20)
        assert "the agent took the line back after" in capsys.readouterr().err


def test_a_scan_of_a_line_that_the_agent_polls_finds_its_devices(
    tmp_path: Path, modbus_device: MakeModbusDevice, capsys: pytest.CaptureFixture[str]
) -> None:
    meter = modbus_device("eastron/sdm120", name="m1", unit=3, transport="rtu")
    with running_agent(tmp_path, meter, **FAST) as agent:
        agent.wait_for_link(meter.link["name"])
        arguments = ["scan", "--link", meter.link["name"], "--baud", "9600", "--parity", "N", "--units", "3", "--json"]
        with pytest.raises(SystemExit) as caught:
            main(["--lang", "en", "--config", str(agent.config), *arguments])
        out, err = capsys.readouterr()
        assert (caught.value.code, [unit["unit"] for unit in json.loads(out)["found"]]) == (0, [3]), err
        assert "lends" in err
        assert f"uid {os.getuid()}, scan)" in agent.log
        agent.wait_for_link(meter.link["name"])
