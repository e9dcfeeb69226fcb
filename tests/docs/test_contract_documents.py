"""The contract's documents: every example is valid, what is broken is rejected, and the documents agree."""

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from contract_check import CONTRACT, README, SCHEMA, faults_of, validator, with_names

EXAMPLES = [(name, json.loads(text)) for name, text in re.findall(r"```json (\w+)\n(.*?)```", README, re.DOTALL)]
MESSAGES = {
    "birth", "device_birth", "status", "data", "event", "snapshot", "result", "health", "ack", "replay", "cmd",
    "ioc_state",
}  # fmt: skip


def example(name: str) -> Any:
    return copy.deepcopy(next(message for known, message in EXAMPLES if known == name))


def in_rows() -> Any:
    """The example of a batch in rows."""
    return copy.deepcopy(next(message for _, message in EXAMPLES if "shapes" in message))


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_message_has_an_example() -> None:
    assert {name for name, _ in EXAMPLES} == MESSAGES


@pytest.mark.parametrize(("name", "message"), EXAMPLES)
def test_every_example_is_valid(name: str, message: Any) -> None:
    validator(name).validate(message)


@pytest.mark.parametrize(("name", "message"), EXAMPLES)
def test_a_field_that_the_contract_does_not_know_is_rejected_at_the_producer(name: str, message: Any) -> None:
    assert not validator(name).is_valid({**message, "surprise": 1})


@pytest.mark.parametrize(("name", "message"), EXAMPLES)
def test_another_version_is_rejected(name: str, message: Any) -> None:
    assert not validator(name).is_valid({**message, "v": 2})


@pytest.mark.parametrize(("name", "message"), EXAMPLES)
def test_every_field_has_its_type(name: str, message: Any) -> None:
    for key in message:
        assert not validator(name).is_valid({**message, key: {"wrong": True}}), key


BROKEN: list[tuple[str, str, Callable[[Any], Any]]] = [
    ("data", "no scans", lambda m: m["scans"].clear()),
    ("data", "no values", lambda m: m["scans"][0]["values"].clear()),
    ("data", "a value in a list", lambda m: m["scans"][0]["values"].update(pm25=[1])),
    ("data", "a text too long", lambda m: m["scans"][0]["values"].update(pm25="x" * 1025)),
    ("data", "a quality nobody knows", lambda m: m["scans"][1]["quality"].update(level="bad")),
    ("data", "a good quality that is said", lambda m: m["scans"][1]["quality"].update(level="")),
    ("data", "a time in seconds with a fraction", lambda m: m["scans"][0].update(time_ms=1795432800.101)),
    ("data", "a status that is a number", lambda m: m["scans"][2]["status"].update(pm25=1)),
    ("data", "a scan with a surprise", lambda m: m["scans"][0].update(surprise=1)),
    ("data", "seq 0", lambda m: m.update(seq=0)),
    ("data", "seq beyond 2^53", lambda m: m.update(seq=2**53)),
    ("data", "an epoch in capitals", lambda m: m.update(epoch="9F3C1A7BE2D04455")),
    ("data", "a gateway called ioc", lambda m: m.update(gateway="ioc")),
    ("data", "a gateway with a wildcard", lambda m: m.update(gateway="a+b")),
    ("data", "no low", lambda m: m.pop("low")),
    ("data", "no clock", lambda m: m.pop("clock")),
    ("data", "a device with a slash", lambda m: m["scans"][0].update(device="a/b")),
    ("event", "a type nobody knows", lambda m: m["event"].update(type="device.sad")),
    ("event", "a severity nobody knows", lambda m: m["event"].update(severity="bad")),
    ("event", "an id that is no ULID", lambda m: m["event"].update(id="01JDCQ7Z4K8M2N3P4Q5R6S7T8U")),
    ("event", "a device event without device", lambda m: m["event"].pop("device")),
    ("event", "a loss without reason", lambda m: m["event"].update(type="data.lost")),
    ("event", "a clock step without offset", lambda m: m["event"].update(type="clock.step")),
    ("event", "no message", lambda m: m["event"].update(message={})),
    ("event", "a language nobody asked for", lambda m: m["event"]["message"].update(de="Keine Antwort")),
    ("event", "a range of three", lambda m: m["event"].update(ranges=[[1, 2, 3]])),
    ("birth", "a place outside the world", lambda m: m["site"].update(location=[16.0, 108.2])),
    ("birth", "a device twice", lambda m: m["devices"].append("aq-01")),
    ("birth", "an encoding nobody knows", lambda m: m["capabilities"]["encodings"].append("xml")),
    ("device_birth", "a type nobody knows", lambda m: m["points"][0].update(type="float")),
    ("device_birth", "an interval in seconds", lambda m: m["points"][0].update(interval_ms=0.5)),
    ("device_birth", "a point without unit", lambda m: m["points"][0].pop("unit")),
    ("status", "online because of a will", lambda m: m.update(why="will")),
    ("status", "offline because of a connect", lambda m: m.update(online=False)),
    ("status", "connection 0", lambda m: m.update(connection=0)),
    ("health", "a negative count", lambda m: m["outbox"].update(undelivered=-1)),
    ("health", "an account that says nothing of what was lost", lambda m: m["outbox"]["account"].pop("lost")),
    ("health", "a loss that is no count", lambda m: m["outbox"]["account"]["lost"].update(unclean_stop=-1)),
    ("health", "an account with a surprise", lambda m: m["outbox"]["account"].update(waiting=1)),
    ("health", "a link without name", lambda m: m["links"][0].pop("link")),
    ("snapshot", "no privacy", lambda m: m["snapshot"].pop("privacy")),
    ("snapshot", "no retention", lambda m: m["snapshot"]["privacy"].pop("keep_days")),
    ("ack", "half a range", lambda m: m.update(selective=[[1]])),
    ("ack", "a negative cumulative", lambda m: m.update(cumulative=-1)),
    ("replay", "numbers and a window at once", lambda m: m.update(from_ms=1, to_ms=2)),
    ("replay", "neither", lambda m: m.pop("ranges")),
    ("replay", "numbers that shall not be sent", lambda m: m.update(cancel=True)),
    ("result", "what is missing in words", lambda m: m["result"].update(missing="all")),
    ("ioc_state", "a pace of nothing", lambda m: m.update(backfill_readings_per_s=0)),
    ("health", "a refusal that never was", lambda m: m["uplink"]["rejected"].update(busy=0)),
    ("ioc_state", "online in words", lambda m: m.update(online="yes")),
]


@pytest.mark.parametrize(("name", "what", "breaks"), BROKEN, ids=[f"{n}: {w}" for n, w, _ in BROKEN])
def test_what_is_broken_is_rejected(name: str, what: str, breaks: Callable[[Any], Any]) -> None:
    message = example(name)
    breaks(message)
    assert not validator(name).is_valid(message)


BROKEN_ROWS: list[tuple[str, Callable[[Any], Any]]] = [
    ("no shapes", lambda m: m.pop("shapes")),
    ("an empty list of shapes", lambda m: m["shapes"].clear()),
    ("a shape without names", lambda m: m["shapes"][0].clear()),
    ("a name twice", lambda m: m["shapes"][0].append("pm25")),
    ("a name in capitals", lambda m: m["shapes"][0].append("PM25")),
    ("a row without shape", lambda m: m["scans"][0].pop("shape")),
    ("a shape without row", lambda m: m["scans"][0].pop("row")),
    ("a row and values", lambda m: m["scans"][0].update(values={"pm25": 35.2, "temp": 29.4})),
    ("neither", lambda m: [m["scans"][0].pop(key) for key in ("shape", "row")]),
    ("a shape below 0", lambda m: m["scans"][0].update(shape=-1)),
    ("a shape by name", lambda m: m["scans"][0].update(shape="pm25")),
    ("a row of nothing", lambda m: m["scans"][0]["row"].clear()),
    ("a value in a list", lambda m: m["scans"][0].update(row=[[35.2], 29.4])),
    ("a text too long", lambda m: m["scans"][0].update(row=["x" * 1025, 29.4])),
]


@pytest.mark.parametrize(("what", "breaks"), BROKEN_ROWS, ids=[what for what, _ in BROKEN_ROWS])
def test_broken_rows_are_rejected(what: str, breaks: Callable[[Any], Any]) -> None:
    message = in_rows()
    breaks(message)
    assert not validator("data").is_valid(message)


def test_a_row_that_does_not_fit_its_shape_breaks_the_contract() -> None:
    topic = "ocg/v1/dng-hc-01/up/data"

    def faults(**more: Any) -> list[str]:
        message = in_rows()
        message["scans"][1].update(more)
        return faults_of(topic, json.dumps(message).encode(), 1, retain=False)

    assert faults() == []
    for more in ({"shape": 1}, {"row": [None]}, {"row": [None, 29.0, 1]}, {"quality": {"temp": "com"}}):
        assert len(faults(**more)) == 1, more


def test_both_examples_of_a_batch_say_the_same_of_the_same_scan() -> None:
    assert with_names(in_rows())["scans"][0]["values"] == example("data")["scans"][0]["values"]


def test_optional_fields_may_be_left_out() -> None:
    health = example("health")
    for key in ("clock", "outbox", "uplink", "system", "links", "uptime_s"):
        health.pop(key)
    validator("health").validate(health)
    health = example("health")
    health["outbox"].pop("account")
    validator("health").validate(health)
    validator("ack").validate({**example("ack"), "cumulative": 0, "selective": []})


def test_asyncapi_names_every_topic_and_every_message_of_the_schema() -> None:
    yaml = pytest.importorskip("yaml")
    document = yaml.safe_load((CONTRACT / "asyncapi.yaml").read_text(encoding="utf-8"))
    addresses = {channel["address"].replace("{gateway}", "{gw}") for channel in document["channels"].values()}
    rows = re.findall(r"^\| `(ocg/v1/[^`]+)` \|", README, re.MULTILINE)
    assert addresses == {row.replace("{id}", "{blob}") for row in rows}
    referred = re.findall(
        r'ocg-1\.schema\.json#/\$defs/(\w+)"', (CONTRACT / "asyncapi.yaml").read_text(encoding="utf-8")
    )
    assert set(referred) == MESSAGES <= set(SCHEMA["$defs"])
    sent = {operation["channel"]["$ref"].rpartition("/")[2] for operation in document["operations"].values()}
    assert sent == set(document["channels"])
