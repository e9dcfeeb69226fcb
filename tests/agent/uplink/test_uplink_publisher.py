"""The publisher against a real broker, with a store in memory."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from itertools import repeat
from pathlib import Path

import pytest
from fake_clock import FakeClock
from processes import closed_port
from uplink_helpers import (
    EPOCH,
    GATEWAY,
    MemorySource,
    at_work,
    listener,
    ready,
    running,
    settings,
    until,
)

from agent.model import Event
from agent.uplink.publisher import Publisher
from simulators.testing import Bench, BenchBroker, BrokerOptions, self_signed

STATUS = f"ocg/v1/{GATEWAY}/up/status"


async def test_in_mode_broker_a_puback_marks_delivered(broker: BenchBroker, tmp_path: Path) -> None:
    ioc, source = await listener(broker), MemorySource()
    async with running(broker, source, tmp_path, ack="broker") as publisher:
        await until(lambda: ready(publisher))
        source.seal()
        source.seal("event")
        await until(lambda: source.delivered == [1, 2])
        await until(lambda: ioc.seqs("data") == [1] and ioc.seqs("event") == [2])
        assert publisher.state().ack == "broker"
    ioc.close()


async def test_in_mode_ioc_only_the_iocs_ack_marks_delivered(broker: BenchBroker, tmp_path: Path) -> None:
    ioc, source = await listener(broker), MemorySource()
    async with running(broker, source, tmp_path, ack="ioc") as publisher:
        await until(lambda: ready(publisher))
        for _ in range(4):
            source.seal()
        await until(lambda: publisher.state().acked == 4)
        assert source.delivered == []
        await asyncio.to_thread(ioc.ack, 1, [(3, 4)])
        await until(lambda: source.delivered == [1, 3, 4])
        assert publisher.state().last_ack_ms
    ioc.close()


async def test_auto_follows_the_retained_state_of_the_ioc(broker: BenchBroker, tmp_path: Path) -> None:
    ioc, source = await listener(broker), MemorySource()
    await asyncio.to_thread(ioc.state)
    async with running(broker, source, tmp_path) as publisher:
        await until(lambda: ready(publisher))
        assert publisher.state().ack == "ioc"
        source.seal()
        await until(lambda: publisher.state().acked == 1)
        assert source.delivered == []
        await asyncio.to_thread(ioc.say, "ocg/v1/ioc/state", b"")
        await until(lambda: source.delivered == [1])
        assert publisher.state().ack == "broker"
    ioc.close()


async def test_a_new_process_takes_no_puback_for_delivery_before_it_knows_the_ioc(
    broker: BenchBroker, tmp_path: Path
) -> None:
    ioc, source = await listener(broker), MemorySource()
    async with running(broker, source, tmp_path, decide_s=60) as publisher:
        await until(lambda: ready(publisher))
        source.seal()
        await until(lambda: publisher.state().acked == 1)
        assert (publisher.state().ack, source.delivered) == ("undecided", [])
        await asyncio.to_thread(ioc.state)
        await until(lambda: ioc.seqs("backfill") == [1], what="it is sent again to the IOC that has come up")
        assert source.delivered == []
    ioc.close()


async def test_on_3_1_1_the_iocs_ack_is_required(broker: BenchBroker, tmp_path: Path) -> None:
    ioc, source = await listener(broker), MemorySource()
    async with running(broker, source, tmp_path, protocol="3.1.1") as publisher:
        await until(lambda: ready(publisher))
        source.seal()
        await until(lambda: publisher.state().acked == 1)
        assert source.delivered == []
        await asyncio.to_thread(ioc.ack, 1)
        await until(lambda: source.delivered == [1])
    ioc.close()


async def test_nothing_is_sent_while_the_ioc_is_offline(broker: BenchBroker, tmp_path: Path) -> None:
    ioc, source = await listener(broker), MemorySource()
    await asyncio.to_thread(ioc.state, online=False)
    async with running(broker, source, tmp_path, ack="broker") as publisher:
        await until(lambda: ready(publisher))
        source.seal()
        await publisher.publish_health({"uptime_s": 1})
        await until(lambda: ioc.said("health"))
        assert publisher.state().published == 0
        await asyncio.to_thread(ioc.state)
        await until(lambda: source.delivered == [1])
        await until(lambda: ioc.seqs("backfill") == [1])
    ioc.close()


async def test_without_a_subscriber_nothing_is_delivered_and_it_is_tried_again(
    broker: BenchBroker, tmp_path: Path
) -> None:
    source = MemorySource()
    async with running(broker, source, tmp_path, ack="broker") as publisher:
        await until(lambda: ready(publisher))
        source.seal()
        await until(lambda: publisher.state().rejected.get("no_subscriber"))
        assert source.delivered == []
        ioc = await listener(broker)
        await until(lambda: source.delivered == [1])
        ioc.close()


async def test_a_forbidden_topic_raises_an_alarm_drops_nothing_and_recovers(bench: Bench, tmp_path: Path) -> None:
    common = f"topic write {STATUS}\ntopic read ocg/v1/#\ntopic write ocg/v1/{GATEWAY}/up/birth/#\n"
    broker = bench.broker(BrokerOptions(acl=common))
    source = MemorySource()
    ioc = await listener(broker)
    async with running(broker, source, tmp_path, ack="broker") as publisher:
        await until(lambda: ready(publisher))
        source.seal()
        await until(lambda: publisher.state().alarm)
        assert "not_authorised (0x87)" in publisher.state().alarm
        assert source.delivered == []
        broker.change(BrokerOptions(acl="topic readwrite #\n"))
        await until(lambda: source.delivered == [1])
        source.seal()
        await until(lambda: publisher.state().alarm == "")
    ioc.close()


async def test_nothing_is_lost_when_the_broker_is_killed_with_publishes_in_flight(
    broker: BenchBroker, tmp_path: Path
) -> None:
    source = MemorySource()
    for _ in range(200):
        source.seal(size=20_000)
    ioc = await listener(broker)
    async with running(broker, source, tmp_path, ack="ioc") as publisher:
        await until(lambda: publisher.state().published >= 50)
        broker.kill()
        await until(lambda: not publisher.state().connected)
        assert len(source.batches) == 200
        assert publisher.state().in_flight == 0
        broker.start()
        await until(lambda: set(ioc.seqs("backfill")) >= set(range(1, 201)), 20)
        await asyncio.to_thread(ioc.ack, 200)
        await until(lambda: not source.batches)
    ioc.close()


async def test_the_uplink_resumes_within_a_second_of_the_brokers_return(broker: BenchBroker, tmp_path: Path) -> None:
    source = MemorySource()
    async with running(broker, source, tmp_path, ack="broker") as publisher:
        await until(lambda: ready(publisher))
        broker.kill()
        await until(lambda: not publisher.state().connected)
        assert publisher.state().error
        source.seal()
        await asyncio.to_thread(broker.start)
        ioc = await listener(broker)
        await until(lambda: ioc.seqs("backfill") == [1], 1.0)
        assert publisher.state().connection == 2
        ioc.close()


async def test_live_goes_before_the_backlog_and_the_backlog_goes_oldest_first(
    broker: BenchBroker, tmp_path: Path
) -> None:
    source = MemorySource()
    for _ in range(300):
        source.seal(readings=100)
    ioc = await listener(broker)
    async with running(broker, source, tmp_path, ack="broker", backfill_readings_per_s=5_000) as publisher:
        await until(lambda: len(ioc.seqs("backfill")) > 5)
        late = source.seal()
        await until(lambda: ioc.seqs("data") == [late.seq], 1.0)
        assert len(ioc.seqs("backfill")) < 250
        assert publisher.state().connected
        backfill = ioc.seqs("backfill")
        assert backfill == sorted(backfill)
    ioc.close()


async def test_what_is_not_acknowledged_is_sent_again_with_the_same_bytes(broker: BenchBroker, tmp_path: Path) -> None:
    ioc, source = await listener(broker), MemorySource()
    async with running(broker, source, tmp_path, ack="ioc", resend_s=0.5) as publisher:
        await until(lambda: ready(publisher))
        source.seal()
        await until(lambda: ioc.seqs("data") == [1] and len(ioc.seqs("backfill")) >= 1)
        sent = {payload for topic, payload in ioc.messages if topic.endswith(("/data", "/backfill"))}
        assert len(sent) == 1
    ioc.close()


async def test_an_ack_that_cannot_be_true_changes_nothing(broker: BenchBroker, tmp_path: Path) -> None:
    ioc, source = await listener(broker), MemorySource()
    async with running(broker, source, tmp_path, ack="ioc") as publisher:
        await until(lambda: ready(publisher))
        source.seal()
        await asyncio.to_thread(ioc.ack, 5)
        await asyncio.to_thread(ioc.ack, 1, epoch="0" * 16)
        for nonsense in (b"\xff", b"[]", b'{"v":2}', b"x\x9c\x00", b"{" * 5_000):
            await asyncio.to_thread(ioc.say, f"ocg/v1/{GATEWAY}/down/ack", nonsense, retain=False)
            await asyncio.to_thread(ioc.say, "ocg/v1/ioc/state", nonsense, retain=False)
            await asyncio.to_thread(ioc.say, f"ocg/v1/{GATEWAY}/down/cmd", nonsense, retain=False)
        await until(lambda: publisher.state().ignored.get("bad_payload") == 10)
        await until(lambda: publisher.state().ignored.get("bad_command") == 5)
        assert publisher.state().ignored["bad_ack"] == 1
        assert source.delivered == []
        await asyncio.to_thread(ioc.ack, 1)
        await until(lambda: source.delivered == [1])
    ioc.close()


async def test_status_and_births_are_said_at_each_connection(broker: BenchBroker, tmp_path: Path) -> None:
    source = MemorySource()
    (tmp_path / "announced.json").write_text('{"devices":["gone-1"],"config":"00000000"}', encoding="utf-8")
    ioc = await listener(broker)
    events: list[Event] = []
    async with running(broker, source, tmp_path) as publisher:
        publisher.notices.event = events.append
        await until(lambda: ready(publisher))
        await until(lambda: (f"ocg/v1/{GATEWAY}/up/birth/gone-1", b"") in ioc.messages)
    assert ioc.said("status")[0] | {"time_ms": 0, "config": ""} == {
        "v": 1, "gateway": GATEWAY, "online": True, "why": "connect", "epoch": EPOCH, "boot": 3, "connection": 1,
        "time_ms": 0, "config": "",
    }  # fmt: skip
    assert ioc.said("birth")[0]["site"] == {"oc": "oc-haichau"}
    config = ioc.said("birth")[0]["config"]
    assert json.loads((tmp_path / "announced.json").read_bytes()) == {"devices": [], "config": config}
    assert [(event.type, event.message["en"]) for event in events] == [
        ("config.changed", f"Changed from 00000000 to {config}")
    ]
    ioc.close()


async def test_a_changed_configuration_is_told_once_also_where_that_cannot_be_remembered(
    broker: BenchBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "announced.json").write_text('{"devices":[],"config":"00000000"}', encoding="utf-8")
    monkeypatch.setattr("agent.uplink.remembered.write_durably", _no_room)
    events, ioc = list[Event](), await listener(broker)
    async with running(broker, MemorySource(), tmp_path) as publisher:
        publisher.notices.event = events.append
        for connection in (1, 2):
            await until(lambda count=connection: ready(publisher) and publisher.state().connection >= count)  # type: ignore[misc]
            await until(lambda: [event.type for event in events] == ["config.changed"])
            broker.kill()
            broker.start()
            await until(lambda count=connection: publisher.state().connection > count)  # type: ignore[misc]
        await until(lambda: ready(publisher))
    assert [event.type for event in events] == ["config.changed"]
    ioc.close()


def _no_room(path: Path, data: bytes) -> None:
    raise OSError(28, "No space left on device")


async def test_a_late_will_is_answered_by_saying_online_again(broker: BenchBroker, tmp_path: Path) -> None:
    ioc, source = await listener(broker, STATUS), MemorySource()
    async with running(broker, source, tmp_path) as publisher:
        await until(lambda: ready(publisher))
        late = {"v": 1, "gateway": GATEWAY, "online": False, "why": "will", "epoch": EPOCH, "boot": 2, "connection": 9}
        await asyncio.to_thread(ioc.say, STATUS, late)
        await until(lambda: [m["online"] for m in ioc.said("status")] == [True, False, True])
    ioc.close()


async def test_a_second_gateway_with_our_id_is_a_security_event(broker: BenchBroker, tmp_path: Path) -> None:
    ioc, source, events = await listener(broker, STATUS), MemorySource(), list[Event]()
    async with running(broker, source, tmp_path) as publisher:
        publisher.notices.event = events.append
        await until(lambda: ready(publisher))
        clone = {
            "v": 1,
            "gateway": GATEWAY,
            "online": True,
            "why": "connect",
            "epoch": "0" * 16,
            "boot": 1,
            "connection": 1,
        }
        await asyncio.to_thread(ioc.say, STATUS, clone)
        await until(lambda: events)
        assert events[0].type == "security.takeover"
        assert not publisher.state().connected
        assert publisher.is_alive()
    ioc.close()


async def test_drain_delivers_says_offline_and_disconnects(broker: BenchBroker, tmp_path: Path) -> None:
    ioc, source = await listener(broker), MemorySource()
    async with running(broker, source, tmp_path, ack="broker") as publisher:
        await until(lambda: ready(publisher))
        for _ in range(50):
            source.seal()
        await publisher.drain()
        assert len(source.delivered) == 50
        await until(lambda: ioc.said("status")[-1]["why"] == "stop")
        assert not ioc.said("status")[-1]["online"]
        await until(lambda: not publisher.state().connected)
    ioc.close()


async def test_drain_takes_no_longer_than_it_may(broker: BenchBroker, tmp_path: Path) -> None:
    ioc, source = await listener(broker), MemorySource()
    async with running(broker, source, tmp_path, ack="ioc", drain_s=0.3) as publisher:
        await until(lambda: ready(publisher))
        source.seal()
        async with asyncio.timeout(2):
            await publisher.drain()
        assert list(source.batches) == [1]
        await until(lambda: ioc.said("status")[-1]["why"] == "stop")
    ioc.close()


async def test_drain_without_a_broker_returns_at_once(broker: BenchBroker, tmp_path: Path) -> None:
    source = MemorySource()
    broker.kill()
    async with running(broker, source, tmp_path) as publisher:
        await until(lambda: publisher.state().error)
        async with asyncio.timeout(1):
            await publisher.drain()


async def test_health_without_a_connection_waits_for_one_and_only_the_newest_goes(
    broker: BenchBroker, tmp_path: Path
) -> None:
    source = MemorySource()
    ioc = await listener(broker)
    broker.kill()
    async with running(broker, source, tmp_path) as publisher:
        await until(lambda: publisher.state().error)
        for uptime_s in (1, 2, 3):
            await publisher.publish_health({"uptime_s": uptime_s})
        await asyncio.to_thread(broker.start)
        ioc.close()
        ioc = await listener(broker)
        await until(lambda: ready(publisher))
        await publisher.publish_health({"uptime_s": 4})
        await until(lambda: ioc.said("health") and ioc.said("health")[-1]["uptime_s"] == 4)
        assert {m["uptime_s"] for m in ioc.said("health")} <= {3, 4}
        assert publisher.state().ignored["health"] == 2
    ioc.close()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_cancelled_publisher_never_leaves_an_online_status(
    broker: BenchBroker, tmp_path: Path, protocol: str
) -> None:
    ioc, source = await listener(broker, STATUS), MemorySource()
    async with running(broker, source, tmp_path, protocol=protocol) as publisher:
        await until(lambda: ready(publisher))
    if protocol == "3.1.1":
        await until(lambda: [m["why"] for m in ioc.said("status")] == ["connect", "will"])
    assert not publisher.state().connected
    ioc.close()


async def test_a_certificate_refused_for_its_dates_is_said_with_the_clock_and_taken_when_the_time_has_come(
    bench: Bench, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    pair = self_signed(tmp_path / "tls", now + timedelta(seconds=3), now + timedelta(days=1))
    broker = bench.broker(BrokerOptions(certificate=pair))
    async with running(broker, MemorySource(), tmp_path, tls=True, ca_file=str(pair.certificate)) as publisher:
        error = await until(lambda: publisher.state().error)
        assert "certificate is not yet valid; the clock of this gateway says 2" in error
        assert datetime.now(UTC) < now + timedelta(seconds=4)
        await until(lambda: ready(publisher))


async def test_batches_that_are_there_again_are_sent_at_once(broker: BenchBroker, tmp_path: Path) -> None:
    ioc, source = await listener(broker), MemorySource()
    async with running(broker, source, tmp_path, ack="broker", resend_s=600) as publisher:
        await until(lambda: ready(publisher))
        for _ in range(6):
            source.seal()
        hidden = {seq: source.batches.pop(seq) for seq in (2, 3)}
        await until(lambda: source.delivered == [1, 4, 5, 6])
        source.batches.update(hidden)
        publisher.on_salvaged(2)
        await until(lambda: sorted(source.delivered) == [1, 2, 3, 4, 5, 6])
        await until(lambda: ioc.seqs("backfill") == [2, 3])
    ioc.close()


async def test_a_broker_that_is_away_is_no_reason_to_restart_and_lanes_that_stop_are(
    broker: BenchBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    with closed_port() as port:
        source = MemorySource()
        publisher = Publisher(settings(port, tmp_path), source, clock, lambda: repeat(0.001))
        async with at_work(publisher, source):
            for _ in range(10):
                clock.advance(30.0)
                await asyncio.sleep(0.05)
                await until(publisher.is_alive)
            assert not publisher.state().connected
    async with running(broker, MemorySource(), tmp_path) as publisher:
        await until(lambda: ready(publisher))
        assert publisher.is_alive()
        assert publisher._hearing.sender
        monkeypatch.setattr(publisher._hearing.sender, "is_alive", lambda: False)
        assert not publisher.is_alive()
