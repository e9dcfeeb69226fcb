"""The whole chain as processes of their own: six devices, a real broker, the reference IOC, the agent.

The broker is killed for a while, the agent is killed with SIGKILL once, and at the end the account must be exact.
"""

import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from contract_check import decoded, definitions_of
from processes import Popen, python_module, started, stop, wait_until

from simulators.endpoints import free_port
from simulators.testing import Bench, BenchBroker, Message

CONFIG = """\
[gateway]
id = "dng-hc-01"
data_dir = "{data}"
runtime_dir = "{runtime}"
[site]
oc = "oc-haichau"
name = {{ vi = "OC quận Hải Châu", en = "Hai Chau OC" }}
location = [108.2208, 16.0678]
[uplink]
host = "127.0.0.1"
port = {mqtt}
tls = false
protocol = "{protocol}"
[outbox]
commit_interval_s = 1.0
batch_interval_s = 0.5
archive_interval_s = 3.0
[clock]
hold_unsynced_s = 0
[[link]]
name = "bus-1"
kind = "modbus"
transport = "rtu"
port = "{ports}/bus-1"
[[link]]
name = "ups"
kind = "modbus"
transport = "tcp"
host = "127.0.0.1"
tcp_port = {tcp}
[[link]]
name = "thermal"
kind = "modbus"
transport = "rtu-over-tcp"
host = "127.0.0.1"
tcp_port = {rtu_tcp}
[[link]]
name = "mast"
kind = "serial"
port = "{ports}/mast"
baud = 4800
[[link]]
name = "dust"
kind = "serial"
port = "{ports}/dust"
warm_up_s = 0
[[device]]
name = "meter-1"
link = "bus-1"
profile = "eastron/sdm120"
unit = 1
interval_s = 0.5
[[device]]
name = "room-1"
link = "bus-1"
profile = "xy/md02"
unit = 2
interval_s = 0.5
[[device]]
name = "ups-1"
link = "ups"
profile = "apc/smart-ups"
unit = 1
interval_s = 0.5
[[device]]
name = "cam-1"
link = "thermal"
profile = "infiray/at20"
unit = 1
interval_s = 0.5
[[device]]
name = "mast-1"
link = "mast"
profile = "nmea/weather-station"
interval_s = 1.0
[[device]]
name = "dust-1"
link = "dust"
profile = "plantower/pms5003"
interval_s = 1.0
"""

DEVICES = {"meter-1", "room-1", "ups-1", "cam-1", "mast-1", "dust-1"}
POLLED_EACH_HALF_SECOND = [
    ("meter-1", "voltage"), ("meter-1", "power"), ("room-1", "temperature"), ("room-1", "humidity"),
    ("ups-1", "input_voltage"), ("ups-1", "battery_charge"), ("cam-1", "temperature_max"),
]  # fmt: skip


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    """A folder on a RAM disk where the machine has one."""
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else None) as folder:
        yield Path(folder)


class Site:
    """Everything that runs in this test, and what it left behind."""

    def __init__(self, folder: Path, runtime: Path, bench: Bench, broker: BenchBroker, protocol: str) -> None:
        self.config = folder / "agent.toml"
        self.log = folder / "log.txt"
        self.disturbed: list[tuple[int, int]] = []
        self.broker = broker
        text = CONFIG.format(
            data=folder / "data", runtime=runtime, ports=folder, mqtt=broker.port, tcp=free_port(),
            rtu_tcp=free_port(), protocol=protocol,
        )  # fmt: skip
        self.config.write_text(text, encoding="utf-8")
        self.ioc = bench.ioc(broker)
        self.devices = bench.site_process(self.config, "--seed", "7")

    def events(self, type_: str) -> set[str | None]:
        """The devices of which the IOC has an event of this type."""
        return {event.device for event in self.ioc.events(type_)}

    def agent(self, *arguments: str | Path) -> AbstractContextManager[Popen]:
        return started(python_module("agent", "--config", self.config, *arguments), self.log)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.ioc.query(sql)

    def devices_at_ioc(self, since_ms: int) -> set[str]:
        sql = f"SELECT DISTINCT device FROM reading WHERE time_ms > {since_ms} AND quality = ''"
        return {device for (device,) in self.query(sql)}


def _all_devices_after(site: Site, moment_ms: int) -> None:
    wait_until(lambda: site.devices_at_ioc(moment_ms) == DEVICES, 30, "all devices are at the IOC")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.mark.parametrize(("kind", "protocol"), [("mosquitto", "5"), ("mosquitto", "3.1.1"), ("amqtt", "3.1.1")])
def test_every_reading_arrives_once_in_order_and_valid_through_outage_and_crash(
    tmp_path: Path, runtime_dir: Path, bench: Bench, kind: str, protocol: str
) -> None:
    broker = bench.broker(embedded=kind == "amqtt")
    assert broker.name == kind
    site = Site(tmp_path, runtime_dir, bench, broker, protocol)
    recorder = broker.record()
    account = _agent_through_outage_and_crash(site)
    wait_until(lambda: _arrived(site) >= account["accepted"], 15, "the IOC has everything")
    messages = recorder.stop()
    site.ioc.stop()
    _check_account(site, account)
    _check_values(site)
    _check_order(site)
    kinds = definitions_of(messages, version_5=broker.protocol == "5")
    assert kinds >= {"birth", "device_birth", "status", "data", "event", "health", "ack", "ioc_state"}
    _check_health(messages)
    _check_config(messages)


def _agent_through_outage_and_crash(site: Site) -> dict[str, Any]:
    with site.agent("run") as agent:
        _all_devices_after(site, 0)
        gone_ms = _now_ms()
        site.devices.stop()
        wait_until(lambda: site.events("device.down") == DEVICES, 15, "all devices are said to be down")
        site.devices.start()
        _all_devices_after(site, _now_ms())
        site.disturbed.append((gone_ms, _now_ms()))  # what is asked after a failure, to be sure, is no reading
        wait_until(lambda: site.events("device.up") == DEVICES, 15, "all devices are said to be up")
        site.broker.kill()
        cut_ms = _now_ms()
        wait_until(lambda: _served_since(site, cut_ms) > 100, 30, "readings during the outage")
        agent.send_signal(signal.SIGKILL)
        killed_ms = _now_ms()
        site.disturbed.append((killed_ms, killed_ms))
        agent.wait(10)
        with site.agent("run") as agent_again:
            wait_until(lambda: _served_since(site, killed_ms + 1_000) > 50, 30, "readings after the crash")
            site.broker.start()
            _all_devices_after(site, _now_ms())
            status = json.loads(_run_status(site))
            assert {d["device"] for link in status["links"] for d in link["devices"]} == DEVICES
            assert status["uplink"]["connected"]
            out = stop(agent_again)
        site.devices.stop()
    return dict(json.loads(out.splitlines()[-1]))


def _run_status(site: Site) -> str:
    with site.agent("status", "--json") as process:
        out, _ = process.communicate(timeout=20)
        assert process.returncode == 0
        return out


def _served_since(site: Site, moment_ms: int) -> int:
    return sum(one.time_ms > moment_ms for one in site.devices.served())


def _arrived(site: Site) -> int:
    rows = site.query("SELECT count(*) FROM reading")
    return int(rows[0][0]) if rows else 0


def _check_account(site: Site, account: dict[str, Any]) -> None:
    assert account["lost"] == {}
    assert account["stored"] == 0
    assert account["accepted"] == account["delivered"] == _arrived(site)
    assert site.query("SELECT count(*) FROM reading WHERE changed > 0") == [(0,)]


def _check_values(site: Site) -> None:
    """Nothing wrong at the IOC; and of the polled devices, nothing that was served is missing there."""
    served: dict[tuple[str, str], list[tuple[int, Any]]] = {}
    for one in site.devices.served():
        served.setdefault((one.device, one.point), []).append((one.time_ms, one.value))
    arrived: dict[tuple[str, str], list[tuple[int, Any]]] = {}
    rows = site.query("SELECT device, point, time_ms, value, quality FROM reading ORDER BY time_ms")
    for device, point, time_ms, value, quality in rows:
        if not quality:
            arrived.setdefault((device, point), []).append((time_ms, json.loads(value)))
    for key, readings in arrived.items():
        for time_ms, value in readings:
            near = [v for at, v in served[key] if abs(at - time_ms) <= 1_500]
            assert value in near, f"{key} at {time_ms}: {value} was never served"
    for key in POLLED_EACH_HALF_SECOND:
        times = [at for at, _ in arrived[key]]
        for at, value in served[key]:
            calm = not any(first - 1_000 <= at <= last + 500 for first, last in site.disturbed)
            if times[0] <= at <= times[-1] and calm:
                assert any(abs(at - t) <= 400 for t in times), f"{key} {value} served at {at} is missing"


def _check_order(site: Site) -> None:
    for lane in ("data", "backfill"):
        seqs = [seq for (seq,) in site.query(f"SELECT seq FROM message WHERE lane = '{lane}' ORDER BY id")]
        assert seqs, f"nothing came on {lane}"
        assert seqs == sorted(seqs), f"{lane} is out of order"


def _check_health(messages: list[Message]) -> None:
    accounts = [decoded(m.payload)["outbox"]["account"] for m in messages if m.topic.endswith("/up/health")]
    for account in accounts:
        assert account["accepted"] == account["delivered"] + account["stored"] + sum(account["lost"].values())
    assert accounts


def _check_config(messages: list[Message]) -> None:
    """Every batch belongs to the births beside it."""
    said = {"birth": set[str](), "late or live": set[str](), "event": set[str](), "status": set[str]()}
    kinds = {"data": "late or live", "backfill": "late or live"}
    for message in messages:
        name = message.topic.rpartition("/")[2]
        if "/up/" in message.topic and (kind := kinds.get(name, name)) in said:
            said[kind].add(decoded(message.payload)["config"])
    assert len(said["birth"]) == 1
    assert all(configs == said["birth"] for configs in said.values()), said
