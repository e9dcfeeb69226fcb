"""The broker that a test plays, against a client that is a few bytes: what it says, and what it does not forgive."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator

import pytest
from processes import wait_until

from simulators.scripted_broker import packets
from simulators.testing import Bench, Connack, ScriptedBroker

CONNECT_5 = bytes.fromhex("10110004 4d515454 05 02 003c 00 0004 6777 2d31")
CONNECT_311 = bytes.fromhex("10100004 4d515454 04 02 003c 0004 6777 2d31")
WILL_311 = bytes.fromhex("10160004 4d515454 04 26 003c 0004 6777 2d31 0001 77 0001 78")


def publish(topic: str, payload: bytes, mid: int = 0, properties: bytes = b"", *, retain: bool = False) -> bytes:
    """A PUBLISH of MQTT 5, with QoS 1 where it has a packet identifier."""
    body = struct.pack("!H", len(topic)) + topic.encode() + (struct.pack("!H", mid) if mid else b"")
    body += bytes((len(properties),)) + properties + payload
    length = bytes((len(body),)) if len(body) < 128 else bytes((len(body) & 0x7F | 0x80, len(body) >> 7))
    return bytes((0x30 | (2 if mid else 0) | retain,)) + length + body


@pytest.fixture
def played(bench: Bench) -> ScriptedBroker:
    """One whose faults are looked at here."""
    return bench.scripted_broker()


@pytest.fixture
def dial(played: ScriptedBroker) -> Iterator[Callable[..., socket.socket]]:
    socks: list[socket.socket] = []

    def connected(connect: bytes = CONNECT_5, answer: bytes = b"\x20\x03\x00\x00\x00") -> socket.socket:
        sock = socket.create_connection((played.host, played.port), 5)
        socks.append(sock)
        sock.sendall(connect)
        assert sock.recv(len(answer), socket.MSG_WAITALL) == answer
        return sock

    yield connected
    for sock in socks:
        sock.close()


Dial = Callable[..., socket.socket]


def test_it_takes_what_is_published_and_says_what_came(played: ScriptedBroker, dial: Dial) -> None:
    sock = dial()
    sock.sendall(publish("a/b", b"hello", 7))
    assert sock.recv(4) == b"\x40\x02\x00\x07"
    (message,) = played.published
    assert (message.topic, message.payload, message.qos, message.name) == ("a/b", b"hello", 1, "b")
    assert (played.link.connect.client_id, played.link.connect.version) == ("gw-1", 5)
    assert played.errors == []


def test_it_answers_with_any_code_or_not_until_it_is_told_to(played: ScriptedBroker, dial: Dial) -> None:
    played.answer = lambda message: 0x97 if message.mid == 1 else None
    sock = dial()
    sock.sendall(publish("t", b"x", 1) + publish("t", b"x", 2))
    assert sock.recv(5) == b"\x40\x03\x00\x01\x97"
    wait_until(lambda: 2 in played.link.unanswered, 5, "the second came")
    played.link.puback(played.link.unanswered[2], 0x10)
    assert sock.recv(5) == b"\x40\x03\x00\x02\x10"
    played.link.end(0x8B)
    assert sock.recv(9) == b"\xe0\x02\x8b\x00"
    assert sock.recv(1) == b""
    wait_until(lambda: played.link.ended, 5, "the connection has ended")


def test_on_3_1_1_a_puback_has_no_code(played: ScriptedBroker, dial: Dial) -> None:
    played.answer = lambda message: 0x97
    sock = dial(CONNECT_311, b"\x20\x02\x00\x00")
    sock.sendall(bytes.fromhex("3206 0001 74 0001 78"))
    assert sock.recv(9) == b"\x40\x02\x00\x01"


def test_connacks_come_one_after_another_the_last_for_ever(played: ScriptedBroker, dial: Dial) -> None:
    played.connacks = [Connack(0x88), Connack(properties={"receive_maximum": 20})]
    assert dial(answer=b"\x20\x03\x00\x88\x00").recv(1) == b""
    for _ in range(2):
        dial(answer=b"\x20\x06\x00\x00\x03\x21\x00\x14")
    assert len(played.links) == 3


def test_who_subscribes_hears_what_is_retained_and_what_is_said(played: ScriptedBroker, dial: Dial) -> None:
    played.retained["t"] = b"old"
    sock = dial()
    sock.sendall(bytes.fromhex("8207 0005 00 0001 74 01"))
    assert sock.recv(6) == b"\x90\x04\x00\x05\x00\x01"
    assert sock.recv(11) == bytes.fromhex("3309 0001 74 0001 00") + b"old"
    played.link.say("t", b"new")
    assert sock.recv(11) == bytes.fromhex("3209 0001 74 0002 00") + b"new"
    played.link.say("u", b"nobody")
    sock.sendall(b"\xc0\x00")
    assert sock.recv(9) == b"\xd0\x00"
    assert len(played.link.pings_s) == 1


@pytest.mark.parametrize(
    ("limits", "sent", "error"),
    [
        ({"receive_maximum": 1}, publish("t", b"x", 1) + publish("t", b"x", 2), "2 in flight, where 1 are allowed"),
        ({}, publish("t", b"x", 1) + publish("t", b"y", 1), "packet id 1 is in use"),
        ({"maximum_packet_size": 100}, publish("t", b"x" * 200), "which is over the Maximum Packet Size"),
        ({}, publish("t", b"x", 0, b"\x23\x00\x01"), "topic alias 1, where 0 are allowed"),
        ({"topic_alias_maximum": 2}, publish("", b"x", 0, b"\x23\x00\x02"), "alias 2 was never set"),
        ({"topic_alias_maximum": 2}, publish("t", b"x", 0, b"\x23\x00\x00"), "topic alias 0"),
        ({}, publish("t", b"x", 0, b"\x23\x00\x01\x23\x00\x01"), "property topic_alias twice"),
        ({}, publish("t", b"x", 0, b"\x99\x00"), "property 0x99"),
        ({}, b"\x30\x03\x00\x09t", "a packet ends too early"),
        ({}, b"\x20\x00", "packet type 2 after CONNECT"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_a_client_may_not_do_is_an_error(
    played: ScriptedBroker, dial: Dial, limits: dict[str, int], sent: bytes, error: str
) -> None:
    played.answer = lambda message: None
    played.connacks = [Connack(properties=limits)]
    body = packets.packed_properties(limits)
    sock = dial(answer=bytes((0x20, 2 + len(body), 0, 0)) + body)
    sock.sendall(sent)
    wait_until(lambda: played.errors, 5, "the error")
    assert error in played.errors[0]


def test_the_contract_of_the_tester_is_held_against_messages_and_wills(played: ScriptedBroker, dial: Dial) -> None:
    threads: set[int] = set()

    def check(topic: str, payload: bytes, qos: int, *, retain: bool) -> list[str]:
        threads.add(threading.get_ident())
        return [f"{topic} {payload!r} {qos} {retain}"]

    played.check = check
    sock = dial(WILL_311, b"\x20\x02\x00\x00")
    sock.sendall(bytes.fromhex("3104 0001 74 79"))
    wait_until(lambda: len(played.errors) == 2, 5, "both are looked at")
    assert played.errors == ["w b'x' 0 True", "t b'y' 0 True"]
    assert threading.get_ident() not in threads
