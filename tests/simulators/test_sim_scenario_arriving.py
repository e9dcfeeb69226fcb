"""How other gateways say what they have read: topics and JSON pointers, as they really write them."""

from typing import Any

import pytest

from simulators.scenario.arriving import Arrives, arrivals

CASES: list[tuple[str, dict[str, Any], str, bytes, list[tuple[Any, ...]]]] = [
    ("a value alone", {"topic": "t/{device}/{point}"}, "t/meter/v", b"231.5", [("meter", "v", 231.5, 9_000, "")]),
    ("text", {"topic": "t/{device}/{point}"}, "t/meter/v", b"on", [("meter", "v", "on", 9_000, "")]),
    ("an object", {"topic": "t/{device}/{point}", "value": "/v", "time": "/ts"}, "t/m/v", b'{"v":1,"ts":1795432800.5}',
     [("m", "v", 1, 1_795_432_800_500, "")]),
    ("ISO 8601", {"topic": "t/{device}/{point}", "value": "/v", "time": "/ts"}, "t/m/v",
     b'{"v":1,"ts":"2026-11-23T11:20:00Z"}', [("m", "v", 1, 1_795_432_800_000, "")]),
    ("ThingsBoard", {"topic": "v1/gateway/telemetry", "value": "/{device}/*/values/{point}", "time": "/{device}/*/ts"},
     "v1/gateway/telemetry",
     b'{"PLC":[{"ts":1795432800000,"values":{"a":1,"b":2}},{"ts":1795432801000,"values":{"a":3}}]}',
     [("PLC", "a", 1, 1_795_432_800_000, ""), ("PLC", "b", 2, 1_795_432_800_000, ""), ("PLC", "a", 3, 1_795_432_801_000, "")]),
    ("Telegraf", {"topic": "telegraf/+/modbus", "value": "/fields/{point}", "time": "/timestamp", "device": "meter"},
     "telegraf/host-1/modbus", b'{"fields":{"voltage":231.5},"name":"modbus","timestamp":1795432800}',
     [("meter", "voltage", 231.5, 1_795_432_800_000, "")]),
    ("names", {"topic": "a/{device}/{point}", "devices": {"plc 1": "meter"}, "points": {"U": "voltage", "plc 1.I": "current"}},
     "a/plc 1/I", b"2", [("meter", "current", 2, 9_000, "")]),
    ("quality", {"topic": "a/{device}", "point": "v", "value": "/v", "quality": "/q", "qualities": {"0": "com"}},
     "a/m", b'{"v":null,"q":0}', [("m", "v", None, 9_000, "com")]),
    ("good", {"topic": "a/{device}", "point": "v", "value": "/v", "quality": "/q"}, "a/m", b'{"v":1,"q":"GOOD"}',
     [("m", "v", 1, 9_000, "")]),
    ("another topic", {"topic": "a/{device}/{point}"}, "b/m/v", b"1", []),
    ("a longer topic", {"topic": "a/{device}/{point}"}, "a/m/v/w", b"1", []),
    ("something else", {"topic": "a/{device}/#", "point": "v", "value": "/v"}, "a/m/x/y", b'{"w":1}', []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "topic", "payload", "wanted"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_a_message_says_device_point_value_and_time(
    keys: dict[str, Any], topic: str, payload: bytes, wanted: list[tuple[Any, ...]]
) -> None:
    told = Arrives(**keys)
    assert told.problem() == ""
    found = arrivals(told, topic, payload, 9_000)
    assert [(one.device, one.point, one.value, one.time_ms, one.quality) for one in found] == wanted


@pytest.mark.parametrize("payload", [b'{"v":1}', b'{"v":1,"ts":"yesterday"}', b'{"v":1,"ts":null}'])
def test_a_message_whose_time_cannot_be_read_is_not_taken_for_a_message_of_now(payload: bytes) -> None:
    told = Arrives(topic="t/{device}/{point}", value="/v", time="/ts")
    with pytest.raises(ValueError, match=r"ts|time"):
        list(arrivals(told, "t/m/v", payload, 9_000))


def test_the_filter_takes_what_the_topic_means() -> None:
    assert Arrives(topic="a/{device}/+/{point}/#").filter == "a/+/+/+/#"


def test_device_and_point_must_be_said_somewhere() -> None:
    assert "{point}" in Arrives(topic="a/{device}").problem()
    assert "{device}" in Arrives(topic="a/{point}").problem()
    assert Arrives(topic="a", value="/{device}/{point}").problem() == ""
