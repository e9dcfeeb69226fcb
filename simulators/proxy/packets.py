"""MQTT packets on the wire: found in a stream, read as far as a proxy must, and made. MQTT 3.1.1 and 5. Pure.

Written apart from paho, which both ends use: a mistake that they share would show in no test. Raises `NotMqtt`.
"""

from dataclasses import dataclass
from typing import Final, Literal

Version = Literal[4, 5]
"""The protocol level of CONNECT: 4 is MQTT 3.1.1."""

CONNECT: Final = 1
CONNACK: Final = 2
PUBLISH: Final = 3
PUBACK: Final = 4
MAX_PACKET_BYTES: Final = 4 * 1024 * 1024
_MAX_LENGTH_BYTES: Final = 4
_TOPIC_ALIAS: Final = 0x23
_SUBSCRIPTION_IDENTIFIER: Final = 0x0B
_FIXED: Final = {0x01: 1, 0x02: 4}
"""Payload Format Indicator, Message Expiry Interval; how many bytes each has."""
_STRINGS: Final = {0x03: 1, 0x08: 1, 0x09: 1, 0x26: 2}
"""Content Type, Response Topic, Correlation Data, User Property; of how many strings each consists."""


class NotMqtt(Exception):
    """These bytes are no MQTT, or longer than anything that should be here."""


@dataclass(frozen=True)
class Publish:
    """A PUBLISH, with the topic alias of its MQTT 5 properties and no other; what it does not have is 0."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    alias: int = 0


class Packets:
    """The whole packets in a stream of bytes, however it is cut."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The packets that `data` completes, each with its fixed header."""
        self._buffer += data
        found: list[bytes] = []
        while (size := _size(self._buffer)) and len(self._buffer) >= size:
            found.append(bytes(self._buffer[:size]))
            del self._buffer[:size]
        return found


def packet_type(packet: bytes) -> int:
    """The control packet type, from 1."""
    return packet[0] >> 4


def version_of(connect: bytes) -> Version:
    """Which MQTT a CONNECT speaks."""
    body = _body(connect)
    level = body[6] if body[:6] == b"\x00\x04MQTT" and len(body) > 6 else 0
    if level not in (4, 5):
        raise NotMqtt(f"a CONNECT of neither MQTT 3.1.1 nor 5: {connect[:16].hex()}")
    return 5 if level == 5 else 4


def read_publish(packet: bytes, version: Version) -> Publish:
    """What a PUBLISH says."""
    flags, body = packet[0] & 0x0F, _body(packet)
    qos = flags >> 1 & 3
    end = 2 + int.from_bytes(body[:2], "big")
    at = end + (2 if qos else 0)
    if len(body) < at:
        raise NotMqtt(f"a PUBLISH that is cut off: {packet[:16].hex()}")
    packet_id = int.from_bytes(body[end:at], "big")
    alias = 0
    if version == 5:
        length, used = _length(body[at:])
        alias = _topic_alias(body[at + used : at + used + length])
        at += used + length
    topic = body[2:end].decode("utf-8", "replace")
    return Publish(topic, body[at:], qos, bool(flags & 1), bool(flags & 8), packet_id, alias)


def publish(message: Publish, version: Version) -> bytes:
    """A PUBLISH without properties, by the name of its topic."""
    flags = message.dup << 3 | message.qos << 1 | message.retain
    topic = message.topic.encode()
    body = len(topic).to_bytes(2, "big") + topic
    if message.qos:
        body += message.packet_id.to_bytes(2, "big")
    return _packet(PUBLISH << 4 | flags, body + (b"\x00" if version == 5 else b"") + message.payload)


def puback(packet_id: int, code: int = 0) -> bytes:
    """A PUBACK; a `code` other than 0 exists in MQTT 5 only."""
    return _packet(PUBACK << 4, packet_id.to_bytes(2, "big") + (bytes((code,)) if code else b""))


def _topic_alias(properties: bytes) -> int:
    """The topic alias among the properties of a PUBLISH (MQTT 5, 3.3.2.3); 0 for none."""
    at = 0
    while at < len(properties):
        identifier, at = properties[at], at + 1
        if identifier == _TOPIC_ALIAS:
            return int.from_bytes(properties[at : at + 2], "big")
        if identifier == _SUBSCRIPTION_IDENTIFIER:
            at += _length(properties[at:])[1]
        elif identifier in _FIXED:
            at += _FIXED[identifier]
        elif identifier in _STRINGS:
            for _ in range(_STRINGS[identifier]):
                at += 2 + int.from_bytes(properties[at : at + 2], "big")
        else:
            raise NotMqtt(f"a PUBLISH has no property 0x{identifier:02X}: {properties[:16].hex()}")
    return 0


def _packet(first: int, body: bytes) -> bytes:
    length, left = bytearray(), len(body)
    while True:
        left, digit = left >> 7, left & 0x7F
        length.append(digit | (0x80 if left else 0))
        if not left:
            return bytes((first, *length)) + body


def _body(packet: bytes) -> bytes:
    _, used = _length(packet[1:])
    return packet[1 + used :]


def _size(data: bytes | bytearray) -> int:
    """How long the packet is that begins here; 0 where that is not known yet."""
    header = data[1 : 1 + _MAX_LENGTH_BYTES]
    if all(byte & 0x80 for byte in header) and len(header) < _MAX_LENGTH_BYTES:
        return 0
    length, used = _length(header)
    if length > MAX_PACKET_BYTES:
        raise NotMqtt(f"a packet of {length} bytes: {bytes(data[:16]).hex()}")
    return 1 + used + length


def _length(data: bytes | bytearray) -> tuple[int, int]:
    """A Variable Byte Integer (MQTT 5, 1.5.5) and how many bytes it takes."""
    value = 0
    for index, byte in enumerate(data[:_MAX_LENGTH_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value, index + 1
    raise NotMqtt(f"no length: {bytes(data[:8]).hex()}")
