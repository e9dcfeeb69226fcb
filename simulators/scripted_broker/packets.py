"""MQTT 5 and 3.1.1 packets as bytes, for the broker that tests play. Knows no library.

Strict on what a client sends: whatever the standard (OASIS MQTT 5.0 and 3.1.1) forbids raises `BadPacket`. That is why
it shares nothing with `simulators.proxy.packets`, which lets pass what it does not have to understand.
"""

import asyncio
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 8, 9
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14
TLS_HELLO: Final = (1, 6)
"""Type and flags of a packet that is the beginning of a TLS handshake (0x16)."""

PROPERTIES: Final = {
    "payload_format": (0x01, "B"),
    "message_expiry_s": (0x02, "I"),
    "content_type": (0x03, "s"),
    "session_expiry_s": (0x11, "I"),
    "assigned_client_id": (0x12, "s"),
    "server_keep_alive_s": (0x13, "H"),
    "will_delay_s": (0x18, "I"),
    "server_reference": (0x1C, "s"),
    "reason": (0x1F, "s"),
    "receive_maximum": (0x21, "H"),
    "topic_alias_maximum": (0x22, "H"),
    "topic_alias": (0x23, "H"),
    "maximum_qos": (0x24, "B"),
    "retain_available": (0x25, "B"),
    "maximum_packet_size": (0x27, "I"),
}
"""Names of the properties that this broker knows (MQTT 5, 2.2.2.2)."""
_BY_ID = {number: (name, form) for name, (number, form) in PROPERTIES.items()}


class BadPacket(Exception):
    """The client sent what the standard forbids."""


class _Reader:
    """The body of a packet, read from its beginning."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise BadPacket("a packet ends too early")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, form: str) -> int:
        return int(struct.unpack("!" + form, self.take(struct.calcsize("!" + form)))[0])

    def text(self) -> str:
        return self.take(self.number("H")).decode()

    def rest(self) -> bytes:
        return self.take(self.left)

    def properties(self) -> dict[str, Any]:
        length = shift = 0
        while True:
            byte = self.number("B")
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        inner, found = _Reader(self.take(length)), dict[str, Any]()
        while inner.left:
            number = inner.number("B")
            if number not in _BY_ID:
                raise BadPacket(f"property 0x{number:02X}, which no test expects")
            name, form = _BY_ID[number]
            if name in found:
                raise BadPacket(f"property {name} twice")
            found[name] = inner.text() if form == "s" else inner.number(form)
        return found


def packed_properties(properties: Mapping[str, Any]) -> bytes:
    """Properties of MQTT 5 by their names in `PROPERTIES`; raises `KeyError`."""
    body = b""
    for name, value in properties.items():
        number, form = PROPERTIES[name]
        body += bytes((number,)) + (_text(value) if form == "s" else struct.pack("!" + form, value))
    return _length(len(body)) + body


def packet(type_: int, body: bytes = b"", flags: int = 0) -> bytes:
    """A whole packet."""
    return bytes((type_ << 4 | flags,)) + _length(len(body)) + body


def publish(topic: str, payload: bytes, mid: int, *, retain: bool, version: int) -> bytes:
    """A PUBLISH of the broker with QoS 1."""
    properties = b"\x00" if version == 5 else b""
    return packet(PUBLISH, _text(topic) + struct.pack("!H", mid) + properties + payload, 0x02 | retain)


async def read_packet(reader: asyncio.StreamReader) -> tuple[int, int, bytes, int]:
    """Type, flags, body, and how many bytes it had on the wire; raises `IncompleteReadError` at the end."""
    first = (await reader.readexactly(1))[0]
    length = shift = 0
    head_bytes = 1
    while True:
        byte = (await reader.readexactly(1))[0]
        head_bytes += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return first >> 4, first & 0x0F, await reader.readexactly(length), head_bytes + length


@dataclass
class Will:
    """What the client leaves behind."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: dict[str, Any]


@dataclass
class Connect:
    """A CONNECT as it came."""

    version: int
    client_id: str
    clean_start: bool
    keepalive_s: int
    properties: dict[str, Any]
    will: Will | None
    username: str | None
    password: str | None


@dataclass
class Published:
    """A PUBLISH as it came; `topic` is what an alias stands for, `sent_topic` what was on the wire."""

    sent_topic: str
    payload: bytes
    qos: int
    retain: bool
    mid: int
    packet_bytes: int
    properties: dict[str, Any] = field(default_factory=dict)
    topic: str = ""

    @property
    def name(self) -> str:
        """The last level of the topic."""
        return self.topic.rpartition("/")[2]


def parse_connect(body: bytes) -> Connect:
    """The body of a CONNECT."""
    reader = _Reader(body)
    if reader.text() != "MQTT":
        raise BadPacket("the protocol is not MQTT")
    version, flags, keepalive_s = reader.number("B"), reader.number("B"), reader.number("H")
    properties = reader.properties() if version == 5 else {}
    client_id = reader.text()
    will = None
    if flags & 0x04:
        will_properties = reader.properties() if version == 5 else {}
        topic, payload = reader.text(), reader.take(reader.number("H"))
        will = Will(topic, payload, flags >> 3 & 3, bool(flags & 0x20), will_properties)
    username = reader.text() if flags & 0x80 else None
    password = reader.text() if flags & 0x40 else None
    return Connect(version, client_id, bool(flags & 0x02), keepalive_s, properties, will, username, password)


def parse_publish(flags: int, body: bytes, packet_bytes: int, version: int) -> Published:
    """The body of a PUBLISH; its alias is not looked up yet."""
    reader, qos = _Reader(body), flags >> 1 & 3
    topic = reader.text()
    mid = reader.number("H") if qos else 0
    properties = reader.properties() if version == 5 else {}
    return Published(topic, reader.rest(), qos, bool(flags & 1), mid, packet_bytes, properties)


def parse_subscribe(body: bytes, version: int) -> tuple[int, list[str]]:
    """The packet identifier and the topics of a SUBSCRIBE."""
    reader = _Reader(body)
    mid = reader.number("H")
    if version == 5:
        reader.properties()
    topics = []
    while reader.left:
        topics.append(reader.text())
        reader.number("B")
    return mid, topics


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("!H", len(data)) + data


def _length(value: int) -> bytes:
    encoded = bytearray()
    while True:
        value, byte = value >> 7, value & 0x7F
        encoded.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(encoded)
