"""A reload of the real agent, with simulated devices, a real broker and the reference IOC.

What a device served is known value by value, so a reading that is missing at the IOC, or is there twice, is seen.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from processes import Popen, closed_port, python_module, started, stop, wait_until

from agent.control import AgentNotRunning, OrderRefused, ask_agent, order_agent
from drivers.catalogue import shipped_profiles
from simulators.testing import Bench, BenchBroker, BenchIoc, BrokerOptions, MakeModbusDevice, SimulatedDevice

HEAD = """\
[gateway]
id = "dng-hc-01"
data_dir = "data"
runtime_dir = "{run}"
[site]
oc = "oc-haichau"
[uplink]
host = "127.0.0.1"
port = {port}
tls = false
connect_timeout_s = 1
[clock]
hold_unsynced_s = 0
[outbox]
batch_interval_s = 0.2
"""
PATIENCE_S = 1.5
AGENT = f"""\
import os
import agent.reload
from agent.links import Links
agent.reload.COMES_BACK_S = {PATIENCE_S}
if "CRASH" in os.environ:
    async def change(self, *_):
        for poller in self.pollers:
            await self._end(poller)
        1 / 0
    Links.change = change
from agent.cli import main
main()
"""


class Gateway:
    """The agent as a process, its configuration, and what it says."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.config = folder / "agent.toml"
        self.run = Path(tempfile.mkdtemp(prefix="oc-reload-", dir="/dev/shm"))
        self.port = port

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8")

    def write(self, *tables: str, port: int | None = None, more: str = "") -> None:
        head = HEAD.format(run=self.run, port=port or self.port)
        self.config.write_text(head + more + "".join(tables), encoding="utf-8")

    @contextmanager
    def running(self, **environment: str) -> Iterator[Popen]:
        command = [sys.executable, "-c", AGENT, "--lang", "en", "--config", str(self.config), "run"]
        with started(command, self.folder / "log", env=os.environ | environment) as process:
            wait_until(lambda: (self.run / "control.sock").exists(), 20, "the agent runs")
            yield process

    def reload(self) -> Any:
        return order_agent(self.run, "reload", {"file": str(self.config.resolve())})

    def status(self) -> Any:
        return ask_agent(self.run, "status")

    def asked(self, verb: str, *more: str) -> "subprocess.CompletedProcess[str]":
        command = python_module("agent", "--lang", "en", "--config", self.config, verb, *more)
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def gateway(tmp_path: Path, broker: BenchBroker) -> Iterator[Gateway]:
    made = Gateway(tmp_path, broker.port)
    yield made
    for path in sorted(made.run.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    made.run.rmdir()


def meter(modbus_device: MakeModbusDevice, name: str, **more: Any) -> SimulatedDevice:
    return modbus_device("eastron/sdm120", name=name, **more)


def table(device: SimulatedDevice, interval_s: float = 0.2) -> str:
    return device.toml(interval_s=interval_s, points=["voltage"])


def second(device: SimulatedDevice) -> str:
    """Only its `[[device]]`: its link is there already."""
    text = table(device, 0.4)
    return text[text.index("[[device]]") :]


def served(device: SimulatedDevice) -> list[Any]:
    return [one.value for one in device.served if one.point == "voltage"]


def arrived(ioc: BenchIoc, name: str) -> list[Any]:
    return [one.value for one in ioc.readings(name, "voltage")]


def goes_on(ioc: BenchIoc, *names: str) -> None:
    for name in names:
        ioc.wait_for_readings(len(ioc.readings(name)) + 3, name)


def birth(ioc: BenchIoc, name: str) -> dict[str, Any]:
    rows = ioc.query("SELECT payload FROM retained WHERE topic LIKE ?", f"%/up/birth/{name}")
    return dict(json.loads(rows[0][0])) if rows and rows[0][0] else {}


def end(agent: Popen) -> Any:
    account = json.loads(stop(agent).splitlines()[-1])
    assert account["lost"] == {}
    assert account["accepted"] == account["delivered"] + account["stored"]
    return account


def check(ioc: BenchIoc, *devices: SimulatedDevice) -> None:
    """All that was served is there once, in order; the last read may have been broken off by the stop."""
    for device in devices:
        there = arrived(ioc, device.name)
        assert there == served(device)[: len(there)]
        assert len(served(device)) - len(there) <= 1


def test_a_device_is_added_and_taken_away_while_others_are_read(
    gateway: Gateway, modbus_device: MakeModbusDevice, ioc: BenchIoc
) -> None:
    kept, changed = meter(modbus_device, "kept"), meter(modbus_device, "changed")
    new = meter(modbus_device, "new", unit=2, on=changed)
    alone = meter(modbus_device, "alone")
    gateway.write(table(kept), table(changed, 0.4))
    with gateway.running() as agent:
        goes_on(ioc, "kept", "changed")
        links = {link["link"]: link for link in gateway.status()["links"]}
        gateway.write(table(kept), table(changed, 0.4), second(new), table(alone))
        outcome = gateway.reload()
        assert (outcome["result"], outcome["uplink"]) == ("applied", "kept")
        assert outcome["change"]["devices"] == {
            "added": ["new", "alone"], "removed": [], "changed": [], "kept": ["kept", "changed"],
        }  # fmt: skip
        assert outcome["change"]["links"]["kept"] == [kept.link["name"]]
        assert outcome["change"]["reopened"] == []
        goes_on(ioc, "kept", "changed", "new", "alone")
        assert birth(ioc, "new")["config"] == birth(ioc, "kept")["config"]
        status = gateway.status()
        after = {link["link"]: link for link in status["links"]}
        assert status["uplink"]["connection"] == 1
        assert len(after) == 3
        assert all(after[name]["requests"] > link["requests"] for name, link in links.items())
        gateway.write(table(kept), table(changed, 0.4))
        assert gateway.reload()["change"]["devices"]["removed"] == ["new", "alone"]
        ioc.wait_for(lambda ioc: not birth(ioc, "new") and not birth(ioc, "alone"), what="births taken away")
        goes_on(ioc, "kept", "changed")
        assert gateway.asked("reload").stdout == "Nothing has changed: what is in the files runs already.\n"
        end(agent)
    assert ioc.stop().malformed == {}
    check(ioc, kept, changed, new, alone)
    assert len(ioc.events("config.changed")) == 2
    assert not ioc.query("SELECT * FROM duplicate")


def test_every_batch_is_explained_by_births_that_were_there_before_it(
    gateway: Gateway, modbus_device: MakeModbusDevice, ioc: BenchIoc, broker: BenchBroker
) -> None:
    heard = broker.subscribe("ocg/v1/dng-hc-01/up/#")
    one, two = meter(modbus_device, "one"), meter(modbus_device, "two")
    gateway.write(table(one))
    with gateway.running() as agent:
        goes_on(ioc, "one")
        gateway.write(table(one), table(two))
        gateway.reload()
        goes_on(ioc, "one", "two")
        end(agent)
    known, named = set(), []
    for message in heard.messages:
        if message.topic.endswith(("/birth", "/birth/one", "/birth/two")):
            known.add((message.topic.rpartition("/")[2], message.json()["config"]))
        elif message.topic.endswith("/up/data"):
            batch = message.json()
            named += [batch["config"]]
            assert {(scan["device"], batch["config"]) for scan in batch["scans"]} | {
                ("birth", batch["config"])
            } <= known
    assert len(set(named)) == 2
    assert named == sorted(named, key=named.index)  # first all of the one, then all of the other


def test_an_uplink_that_does_not_come_back_is_rolled_back(
    gateway: Gateway, modbus_device: MakeModbusDevice, ioc: BenchIoc
) -> None:
    one, two = meter(modbus_device, "one"), meter(modbus_device, "two")
    gateway.write(table(one))
    with gateway.running() as agent, closed_port() as port:
        goes_on(ioc, "one")
        requests = gateway.status()["links"][0]["requests"]
        gateway.write(table(one), table(two), port=port)
        text = gateway.config.read_bytes()
        done = gateway.asked("reload")
        assert done.returncode == 1
        assert f"127.0.0.1:{port}" in done.stderr
        assert "a restart would take the file" in done.stderr
        assert max(map(len, done.stderr.splitlines())) <= 80
        goes_on(ioc, "one")
        assert gateway.config.read_bytes() == text
        status = gateway.status()
        assert [link["link"] for link in status["links"]] == [one.link["name"]]
        assert status["links"][0]["requests"] > requests
        assert f"127.0.0.1:{port}" in status["configuration"]["rolled_back"]
        shown = gateway.asked("status").stdout.splitlines()
        about = [line for line in shown if "another configuration" in line or "rolled back" in line]
        assert len(about) == 2
        assert max(map(len, about)) <= 80
        ioc.wait_for(lambda ioc: ioc.events("config.changed"), what="the event")
        end(agent)
    assert "reload rolled back: the new uplink does not come back" in gateway.log
    (event,) = ioc.events("config.changed")
    assert (event.severity, event.body["reason"]) == ("major", "rolled_back")
    assert ioc.stop().malformed == {}
    check(ioc, one)
    assert served(two) == []


def test_a_broker_that_does_not_take_our_births_is_no_uplink(
    gateway: Gateway, modbus_device: MakeModbusDevice, ioc: BenchIoc, bench: Bench
) -> None:
    closed = bench.broker(BrokerOptions(acl="topic readwrite nothing/#\n"))
    one = meter(modbus_device, "one")
    gateway.write(table(one))
    with gateway.running() as agent:
        goes_on(ioc, "one")
        gateway.write(table(one), port=closed.port)
        outcome = gateway.reload()
        assert outcome["result"] == "rolled_back"
        assert "not_authorised" in outcome["why"]
        goes_on(ioc, "one")
        end(agent)
    check(ioc, one)


def test_the_uplink_moves_to_another_broker_and_what_waits_goes_with_it(
    gateway: Gateway, modbus_device: MakeModbusDevice, bench: Bench, broker: BenchBroker
) -> None:
    heard = broker.subscribe("ocg/v1/+/up/status")
    ioc = bench.ioc(broker, ack_every_s=1.0)  # there is always something that it has not acknowledged yet
    there = bench.broker()
    other = bench.ioc(there)
    one, two = meter(modbus_device, "one"), meter(modbus_device, "two")
    gateway.write(table(one))
    with gateway.running() as agent:
        goes_on(ioc, "one")
        gateway.write(table(one), table(two), port=there.port)
        assert gateway.reload()["uplink"] == "replaced"
        goes_on(other, "one", "two")
        assert "another configuration" not in gateway.asked("status").stdout
        end(agent)
    assert [message.json()["why"] for message in heard.messages][-1] == "stop"
    values = arrived(ioc, "one") + arrived(other, "one")
    assert values == served(one)[: len(values)]
    assert len(served(one)) - len(values) <= 1
    check(other, two)


def test_without_a_connection_before_there_is_nothing_to_compare_with(
    gateway: Gateway, modbus_device: MakeModbusDevice, ioc: BenchIoc
) -> None:
    one = meter(modbus_device, "one")
    with closed_port() as port, closed_port() as another:
        gateway.write(table(one), port=port)
        with gateway.running() as agent:
            wait_until(lambda: served(one), 10, "it is read")
            gateway.write(table(one), port=another)
            assert gateway.reload()["uplink"] == "untried"
            gateway.write(table(one))
            assert gateway.reload()["result"] == "applied"
            goes_on(ioc, "one")
            end(agent)
    check(ioc, one)


def test_what_has_problems_or_needs_a_restart_is_told_and_nothing_of_it_is_applied(
    gateway: Gateway, modbus_device: MakeModbusDevice, ioc: BenchIoc
) -> None:
    one, two = meter(modbus_device, "one"), meter(modbus_device, "two")
    gateway.write(table(one))
    with gateway.running() as agent, closed_port() as port:
        goes_on(ioc, "one")
        gateway.write(table(one), table(two).replace("interval_s", "intervall_s"), more="[log]\nlevel = 'loud'\n")
        done = gateway.asked("reload", "--json")
        assert done.returncode == 78
        assert [problem["key"] for problem in json.loads(done.stdout)["problems"]] == [
            "log.level",
            "device[2].intervall_s",
        ]
        assert "reloading" not in gateway.log  # it was not even asked
        agent.send_signal(signal.SIGHUP)
        wait_until(lambda: "not reloaded: mend these 2 problem(s)" in gateway.log, 10, "the log tells")
        assert "ERROR" in next(line for line in gateway.log.splitlines() if "intervall_s" in line)
        assert len(gateway.reload()["problems"]) == 2

        gateway.write(table(one), table(two), port=port)
        text = gateway.config.read_text(encoding="utf-8")
        gateway.config.write_text(text.replace('"dng-hc-01"', '"dng-hc-02"'), encoding="utf-8")
        outcome = gateway.reload()
        assert (outcome["result"], outcome["refused"]) == ("refused", ["gateway.id"])
        done = gateway.asked("reload")
        assert done.returncode == 1
        assert "gateway.id: cannot change" in done.stderr
        assert "systemctl restart oc-agent" in done.stderr
        assert gateway.status()["uplink"]["connection"] == 1
        goes_on(ioc, "one")
        end(agent)
    check(ioc, one)
    assert served(two) == []


def test_cheap_settings_and_profiles_are_taken_over(
    gateway: Gateway, modbus_device: MakeModbusDevice, ioc: BenchIoc
) -> None:
    one = meter(modbus_device, "one")
    own = gateway.folder / "profiles" / "eastron"
    own.mkdir(parents=True)
    text = (shipped_profiles() / "eastron" / "sdm120.toml").read_text(encoding="utf-8")
    (own / "sdm120.toml").write_text(text, encoding="utf-8")
    gateway.write(table(one))
    with gateway.running() as agent:
        goes_on(ioc, "one")
        (own / "sdm120.toml").write_text(text.replace('unit = "V"', 'unit = "kV"'), encoding="utf-8")
        gateway.write(table(one), more="archive_interval_s = 5\n[log]\nlevel = 'error'\n")
        outcome = gateway.reload()
        assert outcome["change"]["keys"] == ["outbox.archive_interval_s", "log.level"]
        assert outcome["change"]["devices"]["changed"] == ["one"]
        ioc.wait_for(lambda ioc: birth(ioc, "one")["points"][0]["unit"] == "kV", what="the new birth")
        assert gateway.reload()["result"] == "unchanged"
        with pytest.raises(OrderRefused, match=f"it runs by {gateway.config}"):
            order_agent(gateway.run, "reload", {"file": "/etc/another.toml"})
        assert gateway.log.count("reloading") == 1  # INFO is not written any more
        goes_on(ioc, "one")
        end(agent)
    check(ioc, one)


def test_a_stop_in_the_middle_of_a_reload_is_clean(
    gateway: Gateway, modbus_device: MakeModbusDevice, ioc: BenchIoc
) -> None:
    one = meter(modbus_device, "one")
    gateway.write(table(one))
    with gateway.running() as agent, closed_port() as port:
        goes_on(ioc, "one")
        gateway.write(table(one), port=port)
        with started(python_module("agent", "--config", gateway.config, "reload"), gateway.folder / "second") as asked:
            wait_until(lambda: "reloading" in gateway.log, 10, "it has begun")
            with pytest.raises(OrderRefused, match="a reload is under way"):
                gateway.reload()
            new = f"mqtt://127.0.0.1:{port}"
            wait_until(lambda: gateway.status()["uplink"]["broker"] == new, 10, "the old connection has ended")
            before = len(served(one))
            wait_until(lambda: len(served(one)) > before, 10, "reading goes on")
            account = end(agent)
            asked.communicate(timeout=20)
            assert asked.returncode == 1
    assert account["stored"] > 0
    gateway.write(table(one))
    with gateway.running() as agent:
        goes_on(ioc, "one")
        end(agent)
    assert "Traceback" not in gateway.log


def test_a_kill_in_the_middle_of_a_reload_loses_nothing(
    gateway: Gateway, modbus_device: MakeModbusDevice, ioc: BenchIoc
) -> None:
    one, two = meter(modbus_device, "one"), meter(modbus_device, "two")
    gateway.write(table(one))
    with gateway.running() as agent, closed_port() as port:
        goes_on(ioc, "one")
        gateway.write(table(one), table(two), port=port)
        agent.send_signal(signal.SIGHUP)
        wait_until(lambda: "reloading" in gateway.log, 10, "it has begun")
        new = f"mqtt://127.0.0.1:{port}"
        wait_until(lambda: gateway.status()["uplink"]["broker"] == new, 10, "the new uplink is waited for")
        agent.kill()
        agent.wait(10)
    gateway.write(table(one))
    (gateway.run / "control.sock").unlink(missing_ok=True)
    with gateway.running() as agent:
        goes_on(ioc, "one")
        end(agent)
    there, all_served = arrived(ioc, "one"), served(one)
    lacking = [index for index, value in enumerate(all_served) if value not in there]
    assert len(lacking) <= 2, lacking  # the reads that the kill and the stop broke off


def test_a_crash_in_the_middle_of_a_reload_ends_the_process_and_loses_nothing(
    gateway: Gateway, modbus_device: MakeModbusDevice, ioc: BenchIoc
) -> None:
    one, two = meter(modbus_device, "one"), meter(modbus_device, "two")
    gateway.write(table(one))
    with gateway.running(CRASH="1") as agent:
        goes_on(ioc, "one")
        gateway.write(table(one), table(two))
        with pytest.raises((AgentNotRunning, OrderRefused)):
            gateway.reload()
        assert agent.wait(20) == 1
    assert "ZeroDivisionError" in gateway.log
    with gateway.running() as agent:
        goes_on(ioc, "one", "two")
        end(agent)
    check(ioc, one, two)
