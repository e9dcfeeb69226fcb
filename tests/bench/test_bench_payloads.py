"""Each gateway's messages are read as that gateway writes them."""

import json
import zlib

import pytest
from gateways import payloads
from gateways.serials import Block
from gateways.subscriber import packet, published, text
from hypothesis import given
from hypothesis import strategies as st

BATCH = json.dumps(
    {
        "v": 1, "gateway": "bench", "seq": 7,
        "scans": [
            {"device": "d3", "time_ms": 1, "values": {"r0": 11, "r1": 12, "r5": None}, "quality": {"r5": "com"}},
            {"device": "_gateway", "time_ms": 1, "values": {"uptime_s": 4}},
        ],
    }
).encode()  # fmt: skip
IN_ROWS = json.dumps(
    {
        "v": 1, "gateway": "bench", "seq": 7, "shapes": [["uptime_s"], ["r0", "r1", "r5"]],
        "scans": [
            {"device": "d3", "time_ms": 1, "shape": 1, "row": [11, 12, None], "quality": {"r5": "com"}},
            {"device": "_gateway", "time_ms": 1, "shape": 0, "row": [4]},
        ],
    }
).encode()  # fmt: skip
SCANS = [Block(3, 0, [11, 12]), Block(3, 5, [None])]


@pytest.mark.parametrize("topic", ["ocg/v1/bench/up/data", "ocg/v1/bench/up/backfill"])
@pytest.mark.parametrize(
    "payload", [BATCH, zlib.compress(BATCH), IN_ROWS, zlib.compress(IN_ROWS)], ids=["json", "zlib", "rows", "rows-zlib"]
)
def test_a_batch_of_ours_is_read_in_both_lanes_and_encodings(topic: str, payload: bytes) -> None:
    assert list(payloads.oc_agent(topic, payload)) == SCANS


def test_what_is_no_batch_of_ours_has_no_values() -> None:
    assert list(payloads.oc_agent("ocg/v1/bench/up/status", b'{"online":true}')) == []
    assert list(payloads.oc_agent("ocg/v1/bench/up/data", b'{"v":1,"event":{"type":"device.up"}}')) == []


def test_telemetry_of_thingsboard_is_read_with_and_without_times() -> None:
    message = b'{"d0":[{"ts":1,"values":{"r0":1,"r1":2}},{"r0":3}],"d1":[]}'
    assert list(payloads.thingsboard("v1/gateway/telemetry", message)) == [Block(0, 0, [1, 2]), Block(0, 0, [3])]
    assert list(payloads.thingsboard("v1/gateway/connect", b'{"device":"d0"}')) == []


def test_a_bare_array_of_node_red_is_a_device() -> None:
    assert list(payloads.node_red("bench/d12", b"[5,6]")) == [Block(12, 0, [5, 6])]


def test_a_value_of_collectd_is_a_register() -> None:
    message = b"1795432800.101:40503\0"
    assert list(payloads.collectd("bench/d2/modbus-d2/gauge-r41", message)) == [Block(2, 41, [40503])]


@pytest.mark.parametrize(("value", "word"), [("7.0", 7), ("7.5", -1), ("true", None), ('"7"', None), ("null", None)])
def test_only_a_whole_number_is_a_word(value: str, word: int | None) -> None:
    assert list(payloads.node_red("bench/d0", f"[{value}]".encode())) == [Block(0, 0, [word])]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.binary(max_size=400)), max_size=6), st.integers(1, 50))
def test_packets_are_read_however_the_stream_is_cut(messages: list[tuple[str, bytes]], step: int) -> None:
    stream = b"\x20\x02\0\0" + b"".join(packet(0x30, text(topic) + payload) for topic, payload in messages)
    heard, found = bytearray(), []
    for at in range(0, len(stream), step):
        heard += stream[at : at + step]
        used = 0
        for topic, payload, used in published(heard):  # noqa: B007  # where the last whole packet ends
            found += [(topic, payload)] if topic else []
        del heard[:used]
    assert (found, heard) == (messages, b"")
