"""The broker's limits are obeyed: Receive Maximum, Maximum Packet Size, Topic Alias Maximum, Server Keep Alive."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uplink_helpers import GATEWAY, MemorySource, listener, ready, running, until

from agent.uplink.errors import MessageRejected
from agent.uplink.formats.ocg1.topics import Topics
from agent.uplink.mqtt import MqttOptions, MqttSession, Will, connect
from agent.uplink.mqtt.options import LARGEST_HEAD_BYTES
from agent.uplink.mqtt.wire import Wire
from simulators.scripted_broker import Connack, Published, ScriptedBroker
from simulators.testing import BenchBroker

UP = f"ocg/v1/{GATEWAY}/up/"
FREQUENT = Topics(GATEWAY).frequent
NEVER_DELIVERED = {"ack": "ioc"}


def options(broker: Any, **changes: Any) -> MqttOptions:
    given: dict[str, Any] = {"host": "127.0.0.1", "port": broker.port, "client_id": GATEWAY, "tls": False}
    return MqttOptions(**given | {"will": Will("bye", b""), "frequent": ("t", "u"), "connect_timeout_s": 3.0} | changes)


def nothing(topic: str, payload: bytes) -> None:
    pass


def data(scripted_broker: ScriptedBroker) -> list[Published]:
    return [message for message in scripted_broker.published if message.name in ("data", "backfill")]


@pytest.mark.parametrize("most", [1, 2, 20])
async def test_never_more_is_in_flight_than_the_receive_maximum(
    scripted_broker: ScriptedBroker, tmp_path: Path, most: int
) -> None:
    scripted_broker.connacks = [Connack(properties={"receive_maximum": most})]
    scripted_broker.answer = lambda message: 0 if message.retain else None
    source = MemorySource()
    for _ in range(30):
        source.seal()
    async with running(scripted_broker, source, tmp_path, **NEVER_DELIVERED) as publisher:
        await until(lambda: ready(publisher))
        for _ in range(30):
            source.seal("event")
        await until(lambda: len(scripted_broker.link.unanswered) == most)
        await asyncio.sleep(0.05)
        assert len(scripted_broker.link.unanswered) == most
        for _ in range(60):
            await until(lambda: scripted_broker.link.unanswered)
            scripted_broker.link.puback(next(iter(scripted_broker.link.unanswered.values())))
        await until(lambda: publisher.state().acked == 60)


async def test_a_birth_that_is_too_large_is_said_by_name_and_nothing_else_stops(
    scripted_broker: ScriptedBroker, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scripted_broker.connacks = [Connack(properties={"maximum_packet_size": 270})]
    source = MemorySource()
    async with running(scripted_broker, source, tmp_path, ack="broker") as publisher:
        await until(lambda: ready(publisher))
        source.seal()
        await until(lambda: source.delivered == [1])
        assert f"{UP}birth cannot be published" in caplog.text
        assert {"status", "data"} <= {message.name for message in scripted_broker.published}


async def test_a_packet_may_be_as_large_as_the_maximum_packet_size_and_not_a_byte_larger(
    scripted_broker: ScriptedBroker,
) -> None:
    scripted_broker.connacks = [Connack(properties={"maximum_packet_size": 1_000, "topic_alias_maximum": 5})]
    async with connect(options(scripted_broker), nothing) as session:
        for expiry_s in (None, 60):
            for topic in ("t", "other"):
                size = 1_000
                while not (future := _sent(session, topic, b"x" * size, expiry_s)):
                    size -= 1
                await future
                assert scripted_broker.published[-1].packet_bytes == 1_000


def _sent(session: MqttSession, topic: str, payload: bytes, expiry_s: int | None) -> asyncio.Future[int] | None:
    try:
        return session.send(topic, payload, expiry_s=expiry_s)
    except MessageRejected as err:
        if err.reason_code != 0x95:
            raise
        return None


@given(
    topic=st.sampled_from([*FREQUENT, UP + "birth", "ế/" * 9]), size=st.integers(0, 40_000), qos=st.sampled_from([0, 1]),
    expiry_s=st.sampled_from([None, 604_800]), aliases=st.integers(0, 5),
)  # fmt: skip
def test_what_a_publish_has_beside_topic_and_payload_is_bounded(
    topic: str, size: int, qos: int, expiry_s: int | None, aliases: int
) -> None:
    form = Wire("5", aliases, FREQUENT).form(topic, b"x" * size, qos, retain=False, expiry_s=expiry_s)
    assert size + len(topic.encode()) < form.bytes <= size + len(topic.encode()) + LARGEST_HEAD_BYTES


@pytest.mark.parametrize("allowed", [0, 1, 3, 10])
async def test_no_alias_is_above_the_topic_alias_maximum_and_births_have_none(
    scripted_broker: ScriptedBroker, tmp_path: Path, allowed: int
) -> None:
    aliases = {"topic_alias_maximum": allowed} if allowed else {}
    scripted_broker.connacks = [Connack(properties={"receive_maximum": 1, **aliases})]
    source = MemorySource()
    for _ in range(3):
        source.seal()
    async with running(scripted_broker, source, tmp_path, ack="broker") as publisher:
        await until(lambda: ready(publisher))
        await until(lambda: len(source.delivered) == 3)
        for number in range(4, 10):
            source.seal("data" if number % 2 else "event")
            await until(lambda number=number: len(source.delivered) == number)  # type: ignore[misc]
        for count in (1, 2):
            await publisher.publish_health({"uptime_s": count})
            await until(lambda count=count: [m.name for m in scripted_broker.published].count("health") == count)  # type: ignore[misc]
    used = {message.properties.get("topic_alias") for message in scripted_broker.published} - {None}
    assert used == set(range(1, min(allowed, 4) + 1))
    by_alias = {message.topic for message in scripted_broker.published if not message.sent_topic}
    assert by_alias == set(FREQUENT[:allowed])
    assert not any("topic_alias" in message.properties for message in scripted_broker.published if message.retain)


def test_what_is_retained_is_never_sent_by_an_alias() -> None:
    wire = Wire("5", 4, FREQUENT)
    wire.taken(FREQUENT[0])
    assert wire.form(FREQUENT[0], b"", 1, retain=False, expiry_s=None).name == ""
    named = wire.form(FREQUENT[0], b"", 1, retain=True, expiry_s=None)
    assert (named.name, named.properties) == (FREQUENT[0], None)


async def test_an_alias_is_set_anew_on_each_connection(scripted_broker: ScriptedBroker, tmp_path: Path) -> None:
    scripted_broker.connacks = [Connack(properties={"topic_alias_maximum": 4})]
    source = MemorySource()
    async with running(scripted_broker, source, tmp_path, ack="broker") as publisher:
        for connection in (1, 2, 3):
            await until(lambda connection=connection: ready(publisher) and len(scripted_broker.links) == connection)  # type: ignore[misc]
            for _ in range(2):
                source.seal()
                await until(lambda: not source.batches)
            sent = [m.sent_topic for m in scripted_broker.link.published if m.name == "data"]
            assert sent == [UP + "data", ""]
            scripted_broker.link.end()


async def test_after_a_refusal_the_topic_is_sent_by_its_name_again(scripted_broker: ScriptedBroker) -> None:
    """A broker that refuses a message need not have learnt the alias in it."""
    scripted_broker.connacks = [Connack(properties={"topic_alias_maximum": 1})]
    codes = iter([0x87, 0x00, 0x00])
    scripted_broker.answer = lambda message: next(codes)
    async with connect(options(scripted_broker), nothing) as session:
        for _ in range(3):
            await session.publish("t", b"x", timeout_s=5)
    assert [message.sent_topic for message in scripted_broker.published] == ["t", "t", ""]


async def test_on_3_1_1_there_are_no_aliases(scripted_broker: ScriptedBroker) -> None:
    async with connect(options(scripted_broker, protocol="3.1.1"), nothing) as session:
        for _ in range(3):
            await session.publish("t", b"x", timeout_s=5)
    assert [message.sent_topic for message in scripted_broker.published] == ["t"] * 3


async def test_an_alias_saves_the_bytes_of_the_topic(scripted_broker: ScriptedBroker) -> None:
    scripted_broker.connacks = [Connack(), Connack(properties={"topic_alias_maximum": 4})]
    sizes = []
    for _ in range(2):
        async with connect(options(scripted_broker, frequent=FREQUENT), nothing) as session:
            for _ in range(2):
                await session.send(UP + "backfill", _batch(), expiry_s=604_800)
        sizes.append([m.packet_bytes for m in scripted_broker.link.published if m.name == "backfill"])
    (named, again), (first, by_alias) = sizes
    assert named == again
    assert first == named + 3
    assert named - by_alias == len(UP + "backfill") - 3 == 25


def _batch() -> bytes:
    return MemorySource().seal().payload


async def test_mosquitto_takes_aliases_and_passes_on_the_topic(broker: BenchBroker, tmp_path: Path) -> None:
    ioc, source = await listener(broker), MemorySource()
    async with running(broker, source, tmp_path, ack="broker") as publisher:
        await until(lambda: ready(publisher))
        assert publisher._session
        assert publisher._session.limits.topic_alias_maximum >= 4
        for number in range(1, 7):
            source.seal("data" if number % 2 else "event")
            await until(lambda number=number: len(source.delivered) == number)  # type: ignore[misc]
        await until(lambda: (ioc.seqs("data"), ioc.seqs("event")) == ([1, 3, 5], [2, 4, 6]))
    ioc.close()


async def test_the_shorter_keep_alive_of_the_server_is_the_one_that_counts(scripted_broker: ScriptedBroker) -> None:
    """A server waits one and a half times the interval (MQTT 5, 3.1.2.10), here 1.5 s; we look when it is over."""
    scripted_broker.connacks = [Connack(properties={"server_keep_alive_s": 1})]
    async with connect(options(scripted_broker, keepalive_s=60), nothing) as session:
        assert scripted_broker.link.connect.keepalive_s == 60
        assert (timer := session._attachment._timer)
        assert timer.when() - asyncio.get_running_loop().time() <= 1.0
        await until(lambda: scripted_broker.link.pings_s)
        assert scripted_broker.link.pings_s[0] >= 0.9


@pytest.mark.parametrize("servers_s", [60, 0])
async def test_the_longer_keep_alive_of_the_server_is_the_one_that_counts(
    scripted_broker: ScriptedBroker, servers_s: int
) -> None:
    """With 0 it wants none at all."""
    scripted_broker.connacks = [Connack(properties={"server_keep_alive_s": servers_s}), Connack()]
    async with (
        connect(options(scripted_broker, keepalive_s=1), nothing),
        connect(options(scripted_broker, keepalive_s=1), nothing),
    ):
        await until(lambda: scripted_broker.links[1].pings_s)
        await asyncio.sleep(0.3)
        assert scripted_broker.links[0].pings_s == []


async def test_a_connection_on_which_words_go_both_ways_is_left_alone(
    scripted_broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither paho's timers nor the socket wake an agent that has nothing to hear of them."""
    looks: list[str] = []
    loop = asyncio.get_running_loop()
    async with connect(options(scripted_broker, keepalive_s=60), nothing) as session:
        monkeypatch.setattr(session._client, "loop_misc", lambda: looks.append("misc"))
        monkeypatch.setattr(loop, "add_writer", lambda *_: looks.append("writer"))
        for _ in range(4):
            assert await asyncio.wait_for(session.send("t", b"x"), 10) == 0
            await asyncio.sleep(0.3)
        assert looks == []
        monkeypatch.undo()


async def test_a_broker_that_does_not_answer_a_ping_is_given_up(scripted_broker: ScriptedBroker) -> None:
    scripted_broker.connacks = [Connack(properties={"server_keep_alive_s": 1})]
    scripted_broker.answers_pings = False
    async with connect(options(scripted_broker), nothing) as session:
        future = session.send("t", b"x")
        down = await asyncio.wait_for(asyncio.shield(session.closed), 5)
        assert "is silent" in down.reason
        assert future.done()
