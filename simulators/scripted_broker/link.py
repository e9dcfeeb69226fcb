"""One connection of a client to the broker that a test plays: what came on it, and what the test says on it."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from simulators.scripted_broker import packets as mqtt
from simulators.scripted_broker.packets import BadPacket, Connect, Published

MAX_RECEIVE = 65_535
"""What MQTT 5 allows where CONNACK names no Receive Maximum."""


class Listener(Protocol):
    """What a connection asks its broker, and tells it."""

    answers_pings: bool
    errors: list[str]
    retained: dict[str, bytes]

    def received(self, link: "Link", message: Published) -> None: ...

    def too_large(self, link: "Link", size: int, body: bytes) -> None: ...


class Link:
    """One connection of a client; its methods may be called from any thread.

    `published` is all that came on it, `unanswered` what waits for its PUBACK, by packet identifier; `pings_s` are the
    times of its PINGREQs in seconds since CONNECT, `disconnect` the body of its DISCONNECT.
    """

    def __init__(
        self, broker: Listener, writer: asyncio.StreamWriter, connect: Connect, limits: Mapping[str, Any]
    ) -> None:
        self.connect = connect
        self.published: list[Published] = []
        self.pings_s: list[float] = []
        self.disconnect: bytes | None = None
        self.subscriptions: list[str] = []
        self.unanswered: dict[int, Published] = {}
        self.ended = False
        self._connected_s = time.monotonic()
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._broker = broker
        self._writer = writer
        self._limits = limits
        self._aliases: dict[int, str] = {}
        self._mid = 0

    def puback(self, message: Published, code: int = 0) -> None:
        """Answer one message; a `code` other than 0 is said on MQTT 5 only."""
        self.unanswered.pop(message.mid, None)
        body = message.mid.to_bytes(2, "big") + (bytes((code,)) if self.connect.version == 5 and code else b"")
        self._write(mqtt.packet(mqtt.PUBACK, body))

    def end(self, code: int | None = None) -> None:
        """Close the connection: with a DISCONNECT that says `code`, or without a word."""
        if code is not None:
            self._write(mqtt.packet(mqtt.DISCONNECT, bytes((code, 0))))
        self._there(self._writer.close)

    def say(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish to this client where it subscribes to `topic`, with QoS 1."""
        if topic in self.subscriptions:
            self._mid += 1
            self._write(mqtt.publish(topic, payload, self._mid, retain=retain, version=self.connect.version))

    def take(self, type_: int, flags: int, body: bytes, size: int) -> None:
        """One packet of the client; raises `BadPacket`."""
        if size > self._limits.get("maximum_packet_size", size):
            self._broker.too_large(self, size, body)
        elif type_ == mqtt.PUBLISH:
            self._take_publish(mqtt.parse_publish(flags, body, size, self.connect.version))
        elif type_ == mqtt.SUBSCRIBE:
            self._take_subscribe(body)
        elif type_ == mqtt.PINGREQ:
            self.pings_s.append(time.monotonic() - self._connected_s)
            if self._broker.answers_pings:
                self._write(mqtt.packet(mqtt.PINGRESP))
        elif type_ == mqtt.DISCONNECT:
            self.disconnect = body
        elif type_ != mqtt.PUBACK:
            raise BadPacket(f"packet type {type_} after CONNECT")

    def _take_subscribe(self, body: bytes) -> None:
        mid, topics = mqtt.parse_subscribe(body, self.connect.version)
        self.subscriptions += topics
        properties = b"\x00" if self.connect.version == 5 else b""
        self._write(mqtt.packet(mqtt.SUBACK, mid.to_bytes(2, "big") + properties + b"\x01" * len(topics)))
        for topic in topics:
            if topic in self._broker.retained:
                self.say(topic, self._broker.retained[topic], retain=True)

    def _take_publish(self, message: Published) -> None:
        self._resolve(message)
        self.published.append(message)
        if message.qos:
            if message.mid in self.unanswered:
                self._broker.errors.append(f"packet id {message.mid} is in use")
            self.unanswered[message.mid] = message
        most = self._limits.get("receive_maximum", MAX_RECEIVE)
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
        def write() -> None:
            if not self._writer.is_closing():
                self._writer.write(data)

        self._there(write)

    def _there(self, work: Callable[[], None]) -> None:
        """At once where we are called by the broker itself: nothing of the client is read between."""
        if threading.get_ident() == self._thread:
            work()
        else:
            self._loop.call_soon_threadsafe(work)
