"""Packets are found however the stream is cut, and read and made as paho and the standard have them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from simulators.proxy.packets import (
    CONNECT,
    MAX_PACKET_BYTES,
    PUBACK,
    PUBLISH,
    NotMqtt,
    Packets,
    Publish,
    Version,
    packet_type,
    puback,
    publish,
    read_publish,
    version_of,
)

VERSIONS: tuple[Version, ...] = (4, 5)
MESSAGES = st.builds(
    Publish,
    topic=st.text(max_size=20),
    payload=st.binary(max_size=300),
    qos=st.just(1),
    retain=st.booleans(),
    dup=st.booleans(),
    packet_id=st.integers(1, 65_535),
) | st.builds(Publish, topic=st.text(max_size=20), payload=st.binary(max_size=20_000))


@given(st.lists(MESSAGES, max_size=6), st.lists(st.integers(0, 100_000)), st.sampled_from(VERSIONS))
def test_packets_are_found_however_they_are_cut(messages: list[Publish], cuts: list[int], version: Version) -> None:
    stream = b"".join(publish(message, version) for message in messages)
    ends = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    packets = Packets()
    found = [packet for a, b in pairwise(ends) for packet in packets.feed(stream[a:b])]
    assert [read_publish(packet, version) for packet in found] == messages
    assert all(packet_type(packet) == PUBLISH for packet in found)


def test_of_the_properties_of_mqtt_5_the_topic_alias_is_found() -> None:
    properties = Properties(PacketTypes.PUBLISH)
    properties.MessageExpiryInterval = 604_800
    properties.PayloadFormatIndicator = 1
    properties.UserProperty = [("a", "b" * 200)]
    properties.SubscriptionIdentifier = 200
    properties.CorrelationData = b"\x23\x00\x09"
    properties.TopicAlias = 0x1234
    body = b"\x00\x03a/b" + b"\x01\x02" + properties.pack() + b"payload"
    packet = bytes((0x3A, 0x80 | len(body) % 128, len(body) // 128)) + body
    assert Packets().feed(packet) == [packet]
    assert read_publish(packet, 5) == Publish("a/b", b"payload", qos=1, dup=True, packet_id=0x0102, alias=0x1234)


def test_a_property_that_no_publish_has_is_refused_by_name() -> None:
    with pytest.raises(NotMqtt):
        read_publish(b"\x30\x07\x00\x01a\x03\x11\x00\x00", 5)


@pytest.mark.parametrize(("name", "level", "version"), [(b"MQTT", 4, 4), (b"MQTT", 5, 5)])
def test_a_connect_says_its_version(name: bytes, level: int, version: Version) -> None:
    connect = b"\x10\x10" + len(name).to_bytes(2, "big") + name + bytes((level, 2, 0, 60)) + b"\x00\x04gw-1"
    assert packet_type(connect) == CONNECT
    assert version_of(connect) == version


def test_a_puback_has_a_code_only_where_it_is_not_0() -> None:
    assert puback(0x1234).hex() == "40021234"
    assert puback(0x1234, 0x97).hex() == "4003123497"
    assert packet_type(puback(1)) == PUBACK


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\xff\xff\xff\xff\x01",
        b"\x30" + b"\xff\xff\xff\x7f",
        b"\x30" + bytes((0x80 | MAX_PACKET_BYTES + 1 & 0x7F, 0x80, 0x80, 0x02)),
    ],
    ids=["five length bytes", "256 MB", "one more than is allowed"],
)
def test_what_is_no_mqtt_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(NotMqtt):
        Packets().feed(data)


@pytest.mark.parametrize("packet", [b"\x10\x0c\x00\x06MQIsdp\x03\x02\x00\x3c", b"\x10\x00"])
def test_an_older_connect_is_refused_by_name(packet: bytes) -> None:
    with pytest.raises(NotMqtt):
        version_of(packet)


def test_a_publish_that_is_cut_off_is_refused_by_name() -> None:
    with pytest.raises(NotMqtt):
        read_publish(b"\x32\x04\x00\x05ab", 5)
