"""Every reason code that a broker may send: said by name, with what to try, and tried again as fast as makes sense."""

import asyncio
import itertools
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from uplink_helpers import GATEWAY, MemorySource, ready, running, until

from agent.model import Event
from agent.uplink import publisher as publisher_module
from agent.uplink.errors import UplinkDown, UplinkRefused
from agent.uplink.mqtt import MqttOptions, Will, connect
from agent.uplink.reasons import end_text
from simulators.scripted_broker import Connack, ScriptedBroker

SLOW, SOON = UplinkRefused, UplinkDown
CONNACKS = [
    (0x80, "Unspecified error", "log"),
    (0x81, "Malformed packet", "report"),
    (0x82, "Protocol error", "report"),
    (0x83, "Implementation specific error", "log"),
    (0x84, "Unsupported protocol version", 'set uplink.protocol = "3.1.1"'),
    (0x85, "Client identifier not valid", "gateway.id"),
    (0x86, "Bad user name or password", "uplink.password_file"),
    (0x87, "Not authorized", "access rules"),
    (0x88, "Server unavailable", "tried again"),
    (0x89, "Server busy", "tried again"),
    (0x8A, "Banned", "lift it"),
    (0x8C, "Bad authentication method", "ask"),
    (0x90, "Topic name invalid", "topics"),
    (0x95, "Packet too large", "maximum packet size"),
    (0x97, "Quota exceeded", "tried again"),
    (0x99, "Payload format invalid", "put aside"),
    (0x9A, "Retain not supported", "retains"),
    (0x9B, "QoS not supported", "QoS 1"),
    (0x9C, "Use another server", "uplink.host"),
    (0x9D, "Server moved", "uplink.host"),
    (0x9F, "Connection rate exceeded", "tried again"),
    (0xEE, "A code that MQTT does not know", "log"),
]
DISCONNECTS = [
    (0x00, "Normal disconnection", "", SOON),
    (0x80, "Unspecified error", "log", SLOW),
    (0x81, "Malformed packet", "report", SLOW),
    (0x82, "Protocol error", "report", SLOW),
    (0x83, "Implementation specific error", "log", SLOW),
    (0x87, "Not authorized", "access rules", SLOW),
    (0x89, "Server busy", "tried again", SLOW),
    (0x8A, "Banned", "lift it", SLOW),
    (0x8B, "Server shutting down", "until it is back", SOON),
    (0x8C, "Bad authentication method", "ask", SLOW),
    (0x8D, "Keep alive timeout", "line", SOON),
    (0x8E, "Session taken over", "two gateways", SOON),
    (0x8F, "Topic filter invalid", "report", SLOW),
    (0x90, "Topic name invalid", "topics", SLOW),
    (0x93, "Receive maximum exceeded", "report", SLOW),
    (0x94, "Topic alias invalid", "report", SLOW),
    (0x95, "Packet too large", "put aside", SOON),
    (0x96, "Message rate too high", "tried again", SLOW),
    (0x97, "Quota exceeded", "tried again", SLOW),
    (0x98, "Administrative action", "ask", SOON),
    (0x99, "Payload format invalid", "put aside", SOON),
    (0x9A, "Retain not supported", "retains", SLOW),
    (0x9B, "QoS not supported", "QoS 1", SLOW),
    (0x9C, "Use another server", "uplink.host", SLOW),
    (0x9D, "Server moved", "uplink.host", SLOW),
    (0x9E, "Shared subscriptions not supported", "report", SLOW),
    (0x9F, "Connection rate exceeded", "tried again", SLOW),
    (0xA0, "Maximum connect time", "", SOON),
    (0xA1, "Subscription identifiers not supported", "report", SLOW),
    (0xA2, "Wildcard subscriptions not supported", "report", SLOW),
    (0xEE, "A code that MQTT does not know", "log", SLOW),
]
RETURN_CODES = [
    (1, 0x84, 'set uplink.protocol = "5"'),
    (2, 0x85, "gateway.id"),
    (3, 0x88, "tried again"),
    (4, 0x86, "uplink.password_file"),
    (5, 0x87, "access rules"),
]


def options(scripted_broker: ScriptedBroker, protocol: Any = "5") -> MqttOptions:
    return MqttOptions(
        host="127.0.0.1",
        port=scripted_broker.port,
        client_id=GATEWAY,
        will=Will("bye", b""),
        tls=False,
        protocol=protocol,
    )


def nothing(topic: str, payload: bytes) -> None:
    pass


@pytest.mark.parametrize(
    ("code", "name", "advice"), CONNACKS, ids=lambda given: f"{given:#x}" if isinstance(given, int) else ""
)
async def test_a_refusal_is_said_by_name_with_what_to_try(
    scripted_broker: ScriptedBroker, code: int, name: str, advice: str
) -> None:
    scripted_broker.connacks = [Connack(code)]
    with pytest.raises(UplinkRefused, match=rf"refuses us: {name} \(0x{code:02X}\)") as err:
        async with connect(options(scripted_broker), nothing):
            pass
    assert advice in err.value.reason
    assert err.value.code == code


@pytest.mark.parametrize(("said", "code", "advice"), RETURN_CODES)
async def test_a_return_code_of_3_1_1_is_said_by_name_with_what_to_try(
    scripted_broker: ScriptedBroker, said: int, code: int, advice: str
) -> None:
    scripted_broker.connacks = [Connack(said)]
    with pytest.raises(UplinkRefused, match=f"refuses us: .*0x{code:02X}.*") as err:
        async with connect(options(scripted_broker, "3.1.1"), nothing):
            pass
    assert advice in err.value.reason
    assert err.value.code == code


async def test_a_broker_that_knows_3_1_1_only_is_said_with_what_to_set(scripted_broker: ScriptedBroker) -> None:
    """Such a broker answers a CONNECT of MQTT 5 as it would one of its own time: return code 1, no properties."""
    scripted_broker.connacks = [Connack(1)]
    with pytest.raises(UplinkRefused, match=r'Unsupported protocol version .* set uplink\.protocol = "3\.1\.1"'):
        async with connect(options(scripted_broker), nothing):
            pass


@pytest.mark.parametrize(
    ("code", "name", "advice", "kind"), DISCONNECTS, ids=lambda given: f"{given:#x}" if isinstance(given, int) else ""
)
async def test_an_end_is_said_by_name_and_tried_again_as_fast_as_makes_sense(
    scripted_broker: ScriptedBroker, code: int, name: str, advice: str, kind: type[UplinkDown]
) -> None:
    async with connect(options(scripted_broker), nothing) as session:
        future = session.send("t", b"x")
        scripted_broker.link.end(code)
        down = await asyncio.wait_for(asyncio.shield(session.closed), 5)
    assert f"ended the connection: {name} (0x{code:02X})" in down.reason
    assert advice in down.reason
    assert (type(down), down.code) == (kind, code)
    assert future.done()


def test_every_code_that_a_server_may_send_is_known() -> None:
    """MQTT 5, table 3-1 (CONNACK) and table 3-10 (DISCONNECT, column Server)."""
    from paho.mqtt.packettypes import PacketTypes
    from paho.mqtt.reasoncodes import ReasonCode

    def standard(packet: int) -> set[int]:
        named = {code: names for code, names in ReasonCode.names.items() if code not in (0, 4)}
        return {c for c, names in named.items() for n, ps in names.items() if packet in ps and "reason code" not in n}

    for packet, tested in ((PacketTypes.CONNACK, CONNACKS), (PacketTypes.DISCONNECT, DISCONNECTS)):
        assert standard(packet) <= {row[0] for row in tested}


async def test_what_the_broker_adds_in_words_is_said(scripted_broker: ScriptedBroker) -> None:
    said = {"reason": "moving house", "server_reference": "ioc2.example.vn:8883"}
    scripted_broker.connacks = [Connack(0x9C, said)]
    with pytest.raises(UplinkRefused, match=r"it says: moving house, ioc2\.example\.vn:8883"):
        async with connect(options(scripted_broker), nothing):
            pass


@pytest.mark.parametrize("code", [0x00, 0x10, 0x80, 0x83, 0x87, 0x89, 0x90, 0x91, 0x95, 0x96, 0x97, 0x99, 0xEE])
async def test_every_code_of_a_puback_is_heard_and_ends_no_connection(
    scripted_broker: ScriptedBroker, code: int
) -> None:
    """0x89, 0x95 and 0x96 are not listed for PUBACK (MQTT 5, 3.4.2.1), and brokers send them all the same."""
    scripted_broker.answer = lambda message: code
    async with connect(options(scripted_broker), nothing) as session:
        assert await session.publish("t", b"x", timeout_s=5) == code
        assert await session.publish("t", b"x", timeout_s=5) == code


async def test_what_answers_and_is_no_mqtt_is_said(scripted_broker: ScriptedBroker) -> None:
    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await reader.readexactly(2)
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 200\r\n\r\n" + b"x" * 200)
            await writer.drain()

    server = await asyncio.start_server(play, "127.0.0.1", 0)
    async with server:
        scripted_broker.port = server.sockets[0].getsockname()[1]
        with pytest.raises(UplinkRefused, match="no MQTT 5"):
            async with connect(options(scripted_broker), nothing):
                pass


async def test_a_broker_that_closes_instead_of_answering_is_said_with_what_to_look_at(
    scripted_broker: ScriptedBroker,
) -> None:
    scripted_broker.connacks = [Connack(None)]
    opening = asyncio.ensure_future(connect(options(scripted_broker), nothing).__aenter__())
    await until(lambda: scripted_broker.links)
    scripted_broker.link.end()
    with pytest.raises(UplinkDown, match=r"before it answered: .*an MQTT port, and does the broker speak MQTT 5\?"):
        await opening


async def test_the_state_says_why_there_is_no_connection(scripted_broker: ScriptedBroker, tmp_path: Path) -> None:
    scripted_broker.connacks = [Connack(0x84)]
    async with running(scripted_broker, MemorySource(), tmp_path) as publisher:
        await until(lambda: 'set uplink.protocol = "3.1.1"' in publisher.state().error)
        assert not publisher.state().connected


async def test_after_a_takeover_a_minute_passes_and_the_ioc_is_told(
    scripted_broker: ScriptedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def counted(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0.01 if seconds > 1 else seconds)

    monkeypatch.setattr(publisher_module.asyncio, "sleep", counted)
    events: list[Event] = []
    async with running(scripted_broker, MemorySource(), tmp_path) as publisher:
        publisher.notices.event = events.append
        await until(lambda: ready(publisher))
        scripted_broker.link.end(0x8E)
        await until(lambda: events)
        await until(lambda: len(scripted_broker.links) == 2)
    assert 60.0 in waits
    assert [event.type for event in events] == ["security.takeover"]


async def test_a_busy_broker_is_asked_more_slowly_each_time(
    scripted_broker: ScriptedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    sleep = asyncio.sleep

    async def counted(seconds: float) -> None:
        waits.append(seconds)
        await sleep(0)

    monkeypatch.setattr(publisher_module.asyncio, "sleep", counted)
    scripted_broker.connacks = [Connack(code) for code in (0x88, 0x89, 0x97, 0x9F) * 3]
    async with running(scripted_broker, MemorySource(), tmp_path):
        await until(lambda: len(scripted_broker.links) >= 10)
    backoff = [seconds for seconds in waits if seconds >= 0.5][:10]
    assert all(0.5 * min(60, 2**n) <= s <= min(60, 2**n) for n, s in enumerate(backoff))


def test_the_version_to_set_is_the_other_one() -> None:
    texts = [end_text(0x84, protocol) for protocol in ("5", "3.1.1")]  # type: ignore[arg-type]
    assert [text.partition("=")[2] for text in texts] == [' "3.1.1"', ' "5"']
    assert all(end_text(code, "5") for code in itertools.chain(range(256)))
