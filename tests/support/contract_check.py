"""Whether a message is what the contract allows: its topic, QoS and retain flag, its payload by the schema, and more.

The table of topics is read from docs/contract/README.md, so that the document, the schema and what is published agree.
"""

import json
import re
import zlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema

from simulators.testing import Message

CONTRACT = Path(__file__).resolve().parents[2] / "docs" / "contract"
SCHEMA = json.loads((CONTRACT / "ocg-1.schema.json").read_text(encoding="utf-8"))
README = (CONTRACT / "README.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| `(ocg/v1/[^`]+)` \| (.*?) \| ([01]) \| (yes|no) \| (yes|no|) ?\|$", re.MULTILINE)
COMPRESS_ABOVE_BYTES = 512
MAX_PACKET_BYTES = 60 * 1024
MAX_BLOB_BYTES = 48 * 1024
SECONDS = range(1_000_000_000, 1_000_000_000_000)
"""A time in here was meant in seconds; one in milliseconds is below it in 1970, or above it since 2001."""
MICROSECONDS = 10_000_000_000_000


class Topic(NamedTuple):
    """One row of the table of topics. `definition` is None for the bytes of pictures."""

    pattern: re.Pattern[str]
    definition: str | None
    qos: int
    retain: bool
    counts: bool


@cache
def topics() -> tuple[Topic, ...]:
    """The table of topics of the contract."""
    rows = []
    for topic, content, qos, retain, counts in _ROW.findall(README):
        pattern = re.escape(topic).replace(r"\{gw\}", "(?P<gateway>[a-z0-9-]+)")
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", pattern)
        named = re.match(r"`(\w+)`", content)
        rows.append(Topic(re.compile(pattern), named[1] if named else None, int(qos), retain == "yes", counts == "yes"))
    assert len(rows) == 14, "the table of topics in docs/contract/README.md is not understood"
    return tuple(rows)


def decoded(payload: bytes) -> Any:
    """A payload as JSON, as it stands there."""
    return json.loads(zlib.decompress(payload) if payload[:1] == b"\x78" else payload)


def with_names(message: dict[str, Any]) -> dict[str, Any]:
    """A message whose scans all have `values`, as the contract says that rows are to be read."""
    shapes = message.pop("shapes", [])
    for scan in message.get("scans", ()):
        if "row" in scan:
            assert scan["shape"] >= 0
            names, row = shapes[scan.pop("shape")], scan.pop("row")
            assert len(names) == len(row) == len(set(names))
            scan["values"] = dict(zip(names, row, strict=True))
    return message


@cache
def validator(definition: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator({**SCHEMA, "$ref": f"#/$defs/{definition}"})


def valid(definition: str, payload: bytes) -> dict[str, Any]:
    """A payload as JSON, valid by this definition of the schema."""
    message: dict[str, Any] = decoded(payload)
    validator(definition).validate(message)
    return message


def definition_of(topic: str) -> str | None:
    """The definition of the schema for what is published on `topic`; None for the bytes of pictures."""
    return _row(topic).definition


def flags_of(topic: str) -> tuple[int, bool]:
    """QoS and retain flag of what is published on `topic`."""
    return _row(topic)[2:4]


def faults_of(topic: str, payload: bytes, qos: int, *, retain: bool) -> list[str]:
    """Everything about this message that the contract forbids; nothing where it is not of the contract."""
    if not topic.startswith("ocg/"):
        return []
    try:
        row = _row(topic)
    except LookupError as err:
        return [str(err)]
    faults = [f"QoS {qos}"] if qos != row.qos else []
    faults += [f"retain is {retain}"] if retain != row.retain else []
    faults += _payload_faults(row, topic, payload)
    return [f"{topic}: {fault}: {payload[:80]!r}" for fault in faults]


def definitions_of(messages: Iterable[Message], *, version_5: bool = True) -> set[str]:
    """What a client of the test has overheard is what the contract allows; gives the definitions of it.

    On MQTT 3.1.1 the retain flag of what is published is not passed on, and the embedded broker delivers with the QoS
    of the subscription: there neither is checked.
    """
    faults, definitions = [], set()
    for topic, payload, qos, retain in messages:
        flags = (qos, retain) if version_5 else flags_of(topic)
        faults += faults_of(topic, payload, flags[0], retain=flags[1])
        definitions.add(definition_of(topic) or "blob")
    assert faults == [], faults[:3]
    return definitions


def _payload_faults(row: Topic, topic: str, payload: bytes) -> list[str]:
    if row.definition is None:
        return [] if 0 < len(payload) <= MAX_BLOB_BYTES else [f"{len(payload)} bytes"]
    if not payload:
        return [] if row.retain else ["it is empty"]
    try:
        message = decoded(payload)
    except (ValueError, zlib.error) as err:
        return [f"it is no JSON, nor its zlib stream: {err}"]
    faults = [f"{error.json_path}: {error.message[:200]}" for error in validator(row.definition).iter_errors(message)]
    if faults:
        return faults
    if payload[:1] == b"\x78":
        plain = len(zlib.decompress(payload))
        faults += [f"{plain} bytes are compressed"] if plain <= COMPRESS_ABOVE_BYTES or plain <= len(payload) else []
    found = row.pattern.fullmatch(topic)
    gateway = found.groupdict().get("gateway") if found else None
    if "gateway" in message and message["gateway"] != gateway:
        faults.append(f"gateway is {message['gateway']}")
    if row.definition == "device_birth" and message["device"] != topic.rpartition("/")[2]:
        faults.append(f"device is {message['device']}")
    if len(payload) > MAX_PACKET_BYTES:
        faults.append(f"{len(payload)} bytes")
    return faults + (_batch_faults(message) if row.counts else [])


def _batch_faults(message: dict[str, Any]) -> list[str]:
    faults = ["low is above seq"] if message["low"] > message["seq"] else []
    try:
        message = with_names(message)
    except (AssertionError, IndexError):
        return [*faults, "a row does not fit its shape"]
    times = [message["sealed_ms"], *(scan["time_ms"] for scan in message.get("scans", ()))]
    faults += [f"{time_ms} are no milliseconds" for time_ms in times if time_ms in SECONDS or time_ms >= MICROSECONDS]
    for scan in message.get("scans", ()):
        quality, status = scan.get("quality", {}), scan.get("status", {})
        faults += [f"{p} is null without quality" for p, v in scan["values"].items() if v is None and p not in quality]
        faults += [f"{p} has no value" for p in (quality.keys() | status.keys()) - scan["values"].keys()]
    return faults


def _row(topic: str) -> Topic:
    for row in topics():
        if row.pattern.fullmatch(topic):
            return row
    raise LookupError(f"{topic}: no topic of the contract")
