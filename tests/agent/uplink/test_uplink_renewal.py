"""Certificates that are replaced on disk while readings flow: real brokers, mutual TLS."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tls_lab import GATEWAY, HERE, PASSWORD, TlsLab
from uplink_helpers import Ioc, MemorySource, at_work, listener, quick, ready, settings, until

from agent.clock import SystemClock
from agent.uplink.errors import UplinkDown
from agent.uplink.lanes.queues import MAX_WINDOW
from agent.uplink.mqtt import MqttOptions, Will, connect
from agent.uplink.mqtt import credentials as mqtt_credentials
from agent.uplink.mqtt.credentials import credentials, renewed
from agent.uplink.mqtt.tls import trial as trials
from agent.uplink.publisher import Publisher
from agent.uplink.state import Tuning
from simulators.testing import Authority, Bench, BenchBroker, Pair


@pytest.fixture
def lab(bench: Bench, tmp_path: Path) -> TlsLab:
    return TlsLab(bench, tmp_path)


class Desk:
    """The files of one gateway and of its broker, which a person replaces."""

    def __init__(self, lab: TlsLab) -> None:
        self.folder = lab.folder / "desk"
        self.folder.mkdir()
        self.gateway = Pair(self.folder / "gw.key", self.folder / "gw.pem")
        self.broker = Pair(self.folder / "broker.key", self.folder / "broker.pem")
        self.trusted = self.folder / "ca.pem"
        self.trusted_by_broker = self.folder / "broker-ca.pem"

    def put(self, path: Path, *sources: Path) -> None:
        """By renaming, as tools do it."""
        new = path.with_suffix(".new")
        new.write_bytes(b"".join(source.read_bytes() for source in sources))
        new.chmod(0o600)
        new.replace(path)

    def put_pair(self, place: Pair, pair: Pair) -> None:
        self.put(place.key, pair.key)
        self.put(place.certificate, pair.certificate)

    @property
    def uplink(self) -> dict[str, object]:
        files = {"cert_file": self.gateway.certificate, "key_file": self.gateway.key, "ca_file": self.trusted}
        return {"tls": True, **{key: str(path) for key, path in files.items()}}


@pytest.fixture
def desk(lab: TlsLab) -> Desk:
    desk = Desk(lab)
    desk.put_pair(desk.gateway, lab.own)
    desk.put_pair(desk.broker, lab.server)
    desk.put(desk.trusted, lab.city.certificate)
    desk.put(desk.trusted_by_broker, lab.city.certificate, lab.stranger.certificate)
    return desk


def _broker(lab: TlsLab, desk: Desk) -> BenchBroker:
    """Mutual TLS for gateways, and a plain port for the IOC of the test."""
    return lab.broker(desk.broker, client_ca=desk.trusted_by_broker)


@asynccontextmanager
async def _running(
    port: int, source: MemorySource, folder: Path, uplink: dict[str, object]
) -> AsyncIterator[Publisher]:
    given = settings(port, folder, **uplink)
    tuning = Tuning(decide_s=0.5, barrier_s=1.0, silence_s=5.0, renewal_s=0.1)
    publisher = Publisher(given, source, SystemClock(), quick, tuning=tuning)
    async with at_work(publisher, source):
        yield publisher


def options(port: int, desk: Desk) -> MqttOptions:
    will = Will(f"ocg/v1/{GATEWAY}/up/status", b"{}")
    return MqttOptions(host="127.0.0.1", port=port, client_id=GATEWAY, will=will, **desk.uplink)  # type: ignore[arg-type]


async def _seal(source: MemorySource) -> None:
    while True:
        source.seal()
        await asyncio.sleep(0.01)


async def _acknowledge(ioc: Ioc, end: asyncio.Event) -> None:
    """As the IOC of the contract: cumulative, at most every so often."""
    while not end.is_set():
        heard = {*ioc.seqs("data", "backfill")}
        cumulative = next(number for number in range(len(heard) + 1) if number + 1 not in heard)
        await asyncio.to_thread(ioc.ack, cumulative)
        await asyncio.sleep(0.3)


async def _renewed(publisher: Publisher, connection: int) -> None:
    await until(lambda: publisher.state().connection == connection and ready(publisher), 20, f"connection {connection}")


async def test_certificates_and_authorities_are_renewed_without_losing_a_message(
    lab: TlsLab, desk: Desk, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trials, "ALERT_S", 0.2)
    caplog.set_level(logging.INFO)
    source = MemorySource()
    broker = _broker(lab, desk)
    ioc = await listener(broker)
    await asyncio.to_thread(ioc.state)
    async with _running(broker.port, source, desk.folder, desk.uplink) as publisher:
        end = asyncio.Event()
        sealing, acknowledging = (asyncio.create_task(work) for work in (_seal(source), _acknowledge(ioc, end)))
        await _renewed(publisher, 1)
        second = lab.city.issue(GATEWAY, file="second")
        desk.put(desk.gateway.key, second.key)
        await until(lambda: "not taken up yet" in caplog.text, what="half of a pair is seen")
        assert "is not the key of the certificate" in caplog.text
        assert publisher.state().connection == 1
        desk.put(desk.gateway.certificate, second.certificate)
        await _renewed(publisher, 2)
        desk.put(desk.trusted, lab.city.certificate, lab.stranger.certificate)
        await _renewed(publisher, 3)
        desk.put_pair(desk.gateway, lab.stranger.issue(GATEWAY))
        await _renewed(publisher, 4)
        sealing.cancel()
        await until(lambda: not source.batches, 20, "all is delivered")
        end.set()
        await acknowledging
        heard = ioc.seqs("data", "backfill")
        assert {*heard} == {*source.delivered} == {*range(1, source.high + 1)}
        print(f"{source.high} batches, {len(heard) - source.high} twice")
        assert len(heard) - source.high <= 3 * MAX_WINDOW
        assert [said["why"] for said in ioc.said("status")] == ["connect"] * 4
        assert not [record for record in caplog.records if record.levelno > logging.WARNING]
        ioc.close()
        desk.put_pair(desk.broker, lab.stranger.issue("broker", names=HERE))
        broker.kill()
        broker.start()  # mosquitto 2.0.11 takes up a new certificate in no other way
        await _renewed(publisher, 5)


async def test_a_new_certificate_that_the_broker_refuses_costs_no_connection(
    lab: TlsLab, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    source = MemorySource()
    broker = _broker(lab, desk)
    async with _running(broker.port, source, desk.folder, desk.uplink) as publisher:
        await _renewed(publisher, 1)
        desk.put_pair(desk.gateway, Authority(lab.folder / "third").issue(GATEWAY))
        await until(lambda: "it does not know who signed it" in caplog.text, what="the refusal is said")
        assert publisher.state().connected
        assert source.connections == 1
        desk.put_pair(desk.gateway, lab.city.issue(GATEWAY, file="good"))
        await _renewed(publisher, 2)
    assert caplog.text.count("not taken up yet") <= 2  # the mismatch of a moment may be seen as well


async def test_files_that_are_written_again_as_they_were_are_not_new(lab: TlsLab, desk: Desk) -> None:
    given = options(1, desk)
    before = credentials(given)
    assert credentials(given, before) is before
    desk.put_pair(desk.gateway, lab.own)
    assert credentials(given, before) != before
    assert credentials(given, before).digest == before.digest
    desk.gateway.key.unlink()
    assert credentials(given, before).digest != before.digest


async def test_a_trial_takes_over_no_connection(lab: TlsLab, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "ALERT_S", 0.2)
    broker = _broker(lab, desk)
    given = options(broker.port, desk)
    async with connect(given, lambda topic, payload: None) as session:
        assert await asyncio.to_thread(trials.trial, given) == (None, "TLSv1.3")
        assert await session.publish("t", b"still here", timeout_s=5) == 0x10
        assert not session.closed.done()


async def test_a_password_ends_before_its_newline_and_a_new_one_is_taken_up(
    lab: TlsLab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(trials, "ALERT_S", 0.2)
    broker = lab.broker(lab.server, users={GATEWAY: PASSWORD})
    file = lab.text("password", f"{PASSWORD}\r\n")
    uplink = {"tls": True, "ca_file": str(lab.city.certificate), "username": GATEWAY, "password_file": str(file)}
    async with _running(broker.port, MemorySource(), lab.folder, uplink) as publisher:
        await _renewed(publisher, 1)
        file.chmod(0o644)
        file.write_text("Phuong-Hoa-1976\n")
        await until(lambda: "everybody on this machine may read" in caplog.text, what="the open file is refused")
        assert publisher.state().connected
        broker.change(replace(broker.options, users={GATEWAY: "Phuong-Hoa-1976"}))
        file.chmod(0o600)
        await _renewed(publisher, 2)
    assert "1975" not in caplog.text
    assert "1976" not in caplog.text


async def test_the_same_bytes_are_never_tried(lab: TlsLab, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[MqttOptions] = []
    monkeypatch.setattr(mqtt_credentials, "trial", lambda given: tried.append(given) or trials.Trial(None))
    given = options(1, desk)
    watching = asyncio.create_task(renewed(given, credentials(given), 0.01))
    for _ in range(5):
        desk.put_pair(desk.gateway, lab.own)
        await asyncio.sleep(0.05)
    assert not tried
    desk.put_pair(desk.gateway, lab.city.issue(GATEWAY, file="second"))
    async with asyncio.timeout(10):
        await watching
    assert tried


async def test_a_pause_lets_nothing_new_go_and_opens_when_all_is_answered(broker: BenchBroker) -> None:
    will = Will(f"ocg/v1/{GATEWAY}/up/status", b"{}")
    given = MqttOptions(host="127.0.0.1", port=broker.port, client_id=GATEWAY, will=will, tls=False)
    async with connect(given, lambda topic, payload: None) as session:
        broker.pause()
        futures = [session.send("t", b"x") for _ in range(5)]
        resuming = asyncio.get_running_loop().call_later(0.2, broker.resume)
        async with session.paused(10):
            assert all(future.done() for future in futures)
            assert session.limits.receive_maximum == 0
            with pytest.raises(UplinkDown):
                await session.publish("t", b"later", timeout_s=0.1)
        resuming.cancel()
        assert await session.publish("t", b"later", timeout_s=5) == 0x10


async def test_another_fault_is_said_in_the_log_though_the_connection_never_came(
    lab: TlsLab, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.put_pair(desk.broker, lab.expired("broker", HERE))
    broker = _broker(lab, desk)
    async with _running(broker.port, MemorySource(), desk.folder, desk.uplink) as publisher:
        await until(lambda: publisher.state().fault, what="the first fault")
        broker.kill()
        await until(lambda: "Connection refused" in publisher.state().error, what="the second fault")
    said = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == 2
    assert "certificate has expired" in said[0]
    assert "uplink: now mqtts://127.0.0.1" in said[1]
