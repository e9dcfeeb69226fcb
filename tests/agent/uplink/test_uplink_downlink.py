"""What the IOC says, well-formed and not."""

import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.uplink.downlink.messages import (
    Ack,
    Bad,
    Command,
    IocState,
    NoIocState,
    OwnStatus,
    Replay,
    acked_ranges,
)
from agent.uplink.formats.ocg1.reading import read_down
from agent.uplink.formats.ocg1.topics import IOC_STATE, Topics

TOPICS = Topics("dng-hc-01")
EPOCH = "9f3c1a7be2d04455"
ALL = TOPICS.subscriptions


def read(topic: str, message: Any) -> Any:
    return read_down(TOPICS, topic, json.dumps(message).encode())


def ack(cumulative: int, *selective: tuple[int, int]) -> Ack:
    return Ack(v=1, epoch=EPOCH, cumulative=cumulative, selective=selective)


def test_every_message_of_the_contract_is_read() -> None:
    said = {"v": 1, "epoch": EPOCH, "cumulative": 7, "selective": [[9, 9]], "time_ms": 1}
    assert read(TOPICS.ack, said) == Ack(v=1, epoch=EPOCH, cumulative=7, selective=((9, 9),), time_ms=1)
    assert isinstance(read(IOC_STATE, {"v": 1, "online": True, "time_ms": 1, "ack": True, "new": 1}), IocState)
    assert isinstance(read(TOPICS.replay, {"v": 1, "id": "a", "time_ms": 1, "from_ms": 1, "to_ms": 2}), Replay)
    assert isinstance(read(TOPICS.command, {"v": 1, "id": "a", "command": "ping"}), Command)
    own = {"v": 1, "online": True, "why": "connect", "epoch": EPOCH, "boot": 1, "connection": 1, "config": "x"}
    assert isinstance(read(TOPICS.status, own), OwnStatus)


def test_encodings_are_read_whatever_words_are_among_them() -> None:
    said = {"v": 1, "online": True, "time_ms": 1}
    assert read(IOC_STATE, said).encodings == ()
    assert read(IOC_STATE, said | {"encodings": ["json", "cbor", "rows"]}).encodings == ("json", "cbor", "rows")
    assert isinstance(read(IOC_STATE, said | {"encodings": "rows"}), Bad)


def test_compressed_messages_are_read() -> None:
    payload = zlib.compress(json.dumps({"v": 1, "online": False, "time_ms": 1}).encode())
    assert read_down(TOPICS, IOC_STATE, payload) == IocState(v=1, online=False, time_ms=1)


def test_an_empty_payload_takes_a_retained_message_away() -> None:
    assert read_down(TOPICS, IOC_STATE, b"") == NoIocState()
    assert read_down(TOPICS, TOPICS.ack, b"") is None


def test_a_compressed_message_that_unpacks_to_too_much_is_bad() -> None:
    assert isinstance(read_down(TOPICS, IOC_STATE, zlib.compress(b" " * 2**21)), Bad)


def test_a_message_that_is_too_long_is_bad() -> None:
    assert isinstance(read_down(TOPICS, IOC_STATE, b" " * 2**19), Bad)


def test_a_topic_that_nobody_asked_for_is_bad() -> None:
    assert read_down(TOPICS, "else/where", b"{}") == Bad("topic", "else/where")


def test_deep_nesting_is_bad() -> None:
    nested = b'{"v":1,"id":"a","command":"x","args":{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}}"
    assert isinstance(read_down(TOPICS, TOPICS.command, nested), Bad)


@given(st.sampled_from(ALL), st.binary(min_size=1))
def test_no_bytes_raise(topic: str, payload: bytes) -> None:
    assert isinstance(read_down(TOPICS, topic, payload), Bad)
    read_down(TOPICS, topic, b"\x78\x9c" + payload)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["v", "epoch", "cumulative", "selective"]), inner),
)


@given(st.sampled_from(ALL), JSON)
def test_no_json_raises(topic: str, message: Any) -> None:
    heard = read(topic, message)
    if isinstance(heard, Ack):
        acked_ranges(heard, EPOCH, 10)


def test_an_ack_is_ranges() -> None:
    assert acked_ranges(ack(7, (9, 9), (11, 12)), EPOCH, 12) == [(1, 7), (9, 9), (11, 12)]
    assert acked_ranges(ack(0), EPOCH, 12) == []


def test_an_ack_of_another_epoch_says_nothing() -> None:
    assert acked_ranges(ack(7), "0" * 16, 12) == ()


@pytest.mark.parametrize("message", [ack(13), ack(1, (5, 13)), ack(1, (6, 5))])
def test_an_ack_that_cannot_be_true_is_bad(message: Ack) -> None:
    assert isinstance(acked_ranges(message, EPOCH, 12), Bad)
