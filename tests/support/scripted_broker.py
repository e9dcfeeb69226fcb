"""A small MQTT 5 and 3.1.1 broker in the hands of a test: it says what it is told to, and watches what the client does.

It answers with any reason code or none, ends connections when it likes, and does not forgive: more in flight than its
Receive Maximum, a packet over its Maximum Packet Size, an alias that it does not know, a message that the contract
forbids. Each such fault is in `errors`; the fixture `scripted` makes it the test's failure.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

import mqtt_packets as mqtt
from contract_check import faults_of
from mqtt_packets import BadPacket, Connect, Published

Answer = Callable[[Published], int | None]
"""What the PUBACK of a message says; None for none."""


@dataclass
class Connack:
    """The answer to a CONNECT; `code` is a reason code of MQTT 5 or a return code of 3.1.1. None: no answer."""

    code: int | None = 0
    properties: dict[str, Any] = field(default_factory=dict)


def takes_all(message: Published) -> int | None:
    return 0


class Link:
    """One connection of a client."""

    def __init__(
        self, broker: "ScriptedBroker", writer: asyncio.StreamWriter, connect: Connect, limits: dict[str, Any]
    ):
        self.connect = connect
        self.published: list[Published] = []
        self.pings_s: list[float] = []
        self.disconnect: bytes | None = None
        self.subscriptions: list[str] = []
        self.unanswered: dict[int, Published] = {}
        self.ended = asyncio.Event()
        self.connected_s = time.monotonic()
        self._broker = broker
        self._writer = writer
        self._limits = limits
        self._aliases: dict[int, str] = {}
        self._mid = 0

    def puback(self, message: Published, code: int = 0) -> None:
        """Answer one message."""
        self.unanswered.pop(message.mid, None)
        body = message.mid.to_bytes(2, "big") + (bytes((code,)) if self.connect.version == 5 and code else b"")
        self._write(mqtt.packet(mqtt.PUBACK, body))

    def end(self, code: int | None = None) -> None:
        """Close the connection: with a DISCONNECT that says `code`, or without a word."""
        if code is not None:
            self._write(mqtt.packet(mqtt.DISCONNECT, bytes((code, 0))))
        if not self._writer.is_closing():
            self._writer.close()

    def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish to this client where it subscribes to `topic`."""
        if topic in self.subscriptions:
            self._mid += 1
            self._write(mqtt.publish(topic, payload, self._mid, retain=retain, version=self.connect.version))

    def take(self, type_: int, flags: int, body: bytes, size: int) -> None:
        """One packet of the client."""
        if size > self._limits.get("maximum_packet_size", size):
            self._broker.too_large(self, size, body)
        elif type_ == mqtt.PUBLISH:
            self._take_publish(mqtt.parse_publish(flags, body, size, self.connect.version))
        elif type_ == mqtt.SUBSCRIBE:
            mid, topics = mqtt.parse_subscribe(body, self.connect.version)
            self.subscriptions += topics
            properties = b"\x00" if self.connect.version == 5 else b""
            self._write(mqtt.packet(mqtt.SUBACK, mid.to_bytes(2, "big") + properties + b"\x01" * len(topics)))
            for topic in topics:
                if topic in self._broker.retained:
                    self.say(topic, self._broker.retained[topic], retain=True)
        elif type_ == mqtt.PINGREQ:
            self.pings_s.append(time.monotonic() - self.connected_s)
            if self._broker.answers_pings:
                self._write(mqtt.packet(mqtt.PINGRESP))
        elif type_ == mqtt.DISCONNECT:
            self.disconnect = body
        elif type_ != mqtt.PUBACK:
            raise BadPacket(f"packet type {type_} after CONNECT")

    def _take_publish(self, message: Published) -> None:
        self._resolve(message)
        self.published.append(message)
        if message.qos:
            if message.mid in self.unanswered:
                self._broker.errors.append(f"packet id {message.mid} is in use")
            self.unanswered[message.mid] = message
        most = self._limits.get("receive_maximum", 65_535)
        if len(self.unanswered) > most:
            self._broker.errors.append(f"{len(self.unanswered)} in flight, where {most} are allowed")
        self._broker.received(self, message)

    def _resolve(self, message: Published) -> None:
        alias, name = message.properties.get("topic_alias"), message.sent_topic
        if alias is not None and not 0 < alias <= self._limits.get("topic_alias_maximum", 0):
            raise BadPacket(f"topic alias {alias}, where {self._limits.get('topic_alias_maximum', 0)} are allowed")
        if alias is not None and name:
            self._aliases[alias] = name
        if not name and alias not in self._aliases:
            raise BadPacket(f"no topic, and alias {alias} was never set on this connection")
        message.topic = name or self._aliases[alias]  # type: ignore[index] # looked for a line above

    def _write(self, data: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(data)


class ScriptedBroker:
    """Listens while its context is open. `connacks` are used one after another, the last of them for ever.

    `answer` decides about PUBACKs; `on_too_large` what to do with a packet over Maximum Packet Size besides noting the
    fault. What is published retained is retained, and everything reaches those who subscribe to that very topic.
    """

    def __init__(self) -> None:
        self.port = 0
        self.connacks: list[Connack] = [Connack()]
        self.answer: Answer = takes_all
        self.answers_pings = True
        self.on_too_large: Callable[[Link], None] = lambda link: link.end(0x95)
        self.links: list[Link] = []
        self.errors: list[str] = []
        self.retained: dict[str, bytes] = {}
        self._attempts = 0
        self._server: asyncio.Server | None = None
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def link(self) -> Link:
        """The newest connection."""
        return self.links[-1]

    @property
    def published(self) -> list[Published]:
        """All messages of all connections."""
        return [message for link in self.links for message in link.published]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server
        self._server.close()
        for writer in self._serving.values():
            writer.transport.abort()
        if self._serving:
            await asyncio.wait(self._serving)

    def received(self, link: Link, message: Published) -> None:
        """Check it against the contract, answer, pass it on."""
        self.errors += faults_of(message.topic, message.payload, message.qos, retain=message.retain)
        if message.retain:
            self.retained[message.topic] = message.payload
        code = self.answer(message)
        if message.qos and code is not None:
            link.puback(message, code)
        for other in self.links:
            other.say(message.topic, message.payload)

    def too_large(self, link: Link, size: int, body: bytes) -> None:
        self.errors.append(f"a packet of {size} bytes, which is over the Maximum Packet Size: {body[:60]!r}")
        self.on_too_large(link)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._serving[task] = writer
        try:
            await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        except (BadPacket, UnicodeDecodeError) as err:
            self.errors.append(str(err))
        finally:
            del self._serving[task]
            if not writer.is_closing():
                writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        type_, flags, body, _ = await mqtt.read_packet(reader)
        if (type_, flags) == mqtt.TLS_HELLO:
            return  # the client looks whether this is a port for TLS
        if type_ != mqtt.CONNECT:
            raise BadPacket("the first packet is no CONNECT")
        connack = self.connacks[min(self._attempts, len(self.connacks) - 1)]
        self._attempts += 1
        link = Link(self, writer, mqtt.parse_connect(body), connack.properties)
        will = link.connect.will
        if will:
            self.errors += faults_of(will.topic, will.payload, will.qos, retain=will.retain)
        self.links.append(link)
        try:
            await self._answer(link, connack, writer)
            while not writer.is_closing():
                link.take(*await mqtt.read_packet(reader))
                await writer.drain()
        finally:
            link.ended.set()

    async def _answer(self, link: Link, connack: Connack, writer: asyncio.StreamWriter) -> None:
        if connack.code is None:
            return
        properties = mqtt.packed_properties(connack.properties) if link.connect.version == 5 else b""
        writer.write(mqtt.packet(mqtt.CONNACK, bytes((0, connack.code)) + properties))
        await writer.drain()
        if connack.code:
            writer.close()
