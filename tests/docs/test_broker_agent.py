"""docs/broker/: the agent's own uplink and the reference IOC do everything that the contract has, each with its certificate."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from broker_kit import KIT, Certificates, KitBroker, script
from counting import PROFILE
from gateway_site import GatewaySite, gateway_site
from picture_samples import PRIVACY, taken

from agent.clock import SystemClock
from agent.configuration import load_configuration
from agent.model import Event, Result
from agent.settings import Settings
from agent.uplink.downlink.messages import Command
from simulators.testing import Bench, BenchIoc

pytestmark = pytest.mark.skipif(not KIT.is_dir(), reason="no checkout")

PICTURE = bytes(range(256)) * 400
CONFIG = """\
[gateway]
id = "prove-a"
data_dir = "{folder}/data"
runtime_dir = "{folder}/run"
[site]
oc = "oc-haichau"
[uplink]
host = "localhost"
port = {port}
ca_file = "{own}/ca.pem"
cert_file = "{own}/cert.pem"
key_file = "{own}/key.pem"
[clock]
hold_unsynced_s = 0
[[link]]
name = "counters"
kind = "modbus"
transport = "tcp"
host = "127.0.0.1"
tcp_port = 502
[[device]]
name = "counter"
link = "counters"
profile = "./counter.toml"
unit = 1
"""


@pytest.fixture
def settings(tmp_path: Path, broker: KitBroker, certificates: Certificates) -> Settings:
    own = certificates.pki / "gateways" / "prove-a"
    (tmp_path / "counter.toml").write_text(PROFILE, encoding="utf-8")
    file = tmp_path / "agent.toml"
    file.write_text(CONFIG.format(folder=tmp_path, port=broker.port, own=own), encoding="utf-8")
    return load_configuration(file).settings


@pytest.fixture
async def gateway(settings: Settings, ioc: BenchIoc) -> AsyncIterator[GatewaySite]:
    async with gateway_site(settings) as site:
        await until(lambda: site.ready, "the gateway has heard the state of the IOC")
        yield site


@pytest.fixture
def ioc(bench: Bench, broker: KitBroker, certificates: Certificates) -> BenchIoc:
    return broker.ioc(bench, certificates.pki)


async def until(condition: Any, what: str, seconds: float = 20.0) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what}") from None


async def test_the_whole_contract_goes_through_the_kits_broker(
    gateway: GatewaySite, ioc: BenchIoc, broker: KitBroker, certificates: Certificates, tmp_path: Path
) -> None:
    commands: list[Command] = []
    gateway.publisher.notices.command = commands.append
    now_ns = SystemClock().mono_ns()
    gateway.read(20)
    gateway.store.append_event(Event(type="device.down", severity="major", mono_ns=now_ns, message={"en": "No reply"}))
    snapshot, path = gateway.shelf.keep("cam-01", taken(PICTURE, now_ns), PRIVACY, "schedule")
    gateway.store.append_snapshot(snapshot)
    gateway.shelf.announced(path)
    assert gateway.publisher.pictures
    gateway.publisher.pictures.poke()
    await gateway.publisher.publish_health({"uptime_s": 1})
    await asyncio.to_thread(_command, broker, certificates)
    await until(lambda: commands, "the command")
    gateway.store.append_result(Result(id=commands[0].id, mono_ns=SystemClock().mono_ns(), ok=True))
    await until(lambda: not gateway.shelf.waiting(), "the picture is sent")
    await until(lambda: gateway.account()["stored"] == gateway.store.stats().undelivered == 0, "all is acknowledged")
    assert gateway.publisher.state().ack == "ioc"
    assert (gateway.publisher.state().alarm, gateway.publisher.state().rejected) == ("", {})
    await until(lambda: len(_retained(ioc)) == 4, "births, status and health")
    report = await asyncio.to_thread(ioc.stop)
    (one,) = report.gateways
    assert (one.readings, one.messages) == (20, {"data": 1, "event": 1, "snapshot": 1, "result": 1})
    assert (one.online, one.epochs[0].cumulative) == (True, gateway.store.high)
    assert report.pictures is not None
    assert (report.pictures.complete, report.malformed) == (1, {})
    assert _retained(ioc) == ["birth", "birth/counter", "health", "status"]


def _command(broker: KitBroker, certificates: Certificates) -> None:
    prove = script("prove")
    site = prove.Site(broker.address, certificates.pki, ("prove-a", "prove-b"))
    with site.client(prove.COMMAND) as client:
        command = {"v": 1, "id": "c-1", "command": "ping", "time_ms": 1}
        assert client.publish(site.down("prove-a", "cmd"), json.dumps(command).encode()) == 0


def _retained(ioc: BenchIoc) -> list[str]:
    return [topic.partition("/up/")[2] for (topic,) in ioc.query("SELECT topic FROM retained ORDER BY topic")]
