"""A small MQTT 5 and 3.1.1 broker in the hands of a test: it says what it is told to, and watches what the client does.

It answers with any reason code or none, ends connections when it likes, and does not forgive: more in flight than its
Receive Maximum, a packet over its Maximum Packet Size, an alias that it does not know, and what `check` forbids. Each
such fault is in `errors`.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from simulators.scripted_broker import packets as mqtt
from simulators.scripted_broker.link import Link
from simulators.scripted_broker.packets import BadPacket, Published, Will

HOST = "127.0.0.1"
Answer = Callable[[Published], int | None]
"""What the PUBACK of a message says, a reason code; None for none."""


class Check(Protocol):
    """What is wrong with a message, or a Will, by the contract of the one who tests; nothing where all is well."""

    def __call__(self, topic: str, payload: bytes, qos: int, *, retain: bool) -> Iterable[str]: ...


@dataclass
class Connack:
    """The answer to a CONNECT; `code` is a reason code of MQTT 5 or a return code of 3.1.1. None: no answer.

    `properties` by their names in `packets.PROPERTIES`, like `receive_maximum`; the limits among them are watched.
    """

    code: int | None = 0
    properties: Mapping[str, Any] = field(default_factory=dict)


class ScriptedBroker:
    """Listens while its context is open. `connacks` are used one after another, the last of them for ever.

    `answer` decides about PUBACKs; `on_too_large` what to do with a packet over Maximum Packet Size besides noting the
    fault; both are called in the broker's own thread. What is published retained is retained, and everything reaches
    those who subscribe to that very topic.
    """

    def __init__(self) -> None:
        self.host = HOST
        self.port = 0
        self.connacks: list[Connack] = [Connack()]
        self.answer: Answer = lambda _message: 0
        self.check: Check | None = None
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
        """The newest connection; raises `IndexError` where there was none."""
        return self.links[-1]

    @property
    def published(self) -> list[Published]:
        """All messages of all connections."""
        return [message for link in self.links for message in link.published]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._serving.values():
            writer.transport.abort()
        if self._serving:
            await asyncio.wait(self._serving)

    def received(self, link: Link, message: Published) -> None:
        """Check it, answer, pass it on."""
        self._check(message)
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

    def _check(self, said: Published | Will) -> None:
        if self.check is not None:
            self.errors += self.check(said.topic, said.payload, said.qos, retain=said.retain)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
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
        if will := link.connect.will:
            self._check(will)
        self.links.append(link)
        try:
            await self._answer(link, connack, writer)
            while not writer.is_closing():
                link.take(*await mqtt.read_packet(reader))
                await writer.drain()
        finally:
            link.ended = True

    async def _answer(self, link: Link, connack: Connack, writer: asyncio.StreamWriter) -> None:
        if connack.code is None:
            return
        properties = mqtt.packed_properties(connack.properties) if link.connect.version == 5 else b""
        writer.write(mqtt.packet(mqtt.CONNACK, bytes((0, connack.code)) + properties))
        await writer.drain()
        if connack.code:
            writer.close()
