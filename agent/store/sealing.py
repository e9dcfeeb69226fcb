"""Sealing: from what was read to the bytes that leave, which never change again. Pure.

A scan or event is encoded once, when it is accepted, as a fragment with a hole where its time belongs. Sealing
fills the holes, joins the fragments behind an envelope and compresses. The format is the contract's own JSON
(docs/contract, payloads): the row in the outbox and the MQTT payload are the same bytes.
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import chain
from random import Random
from typing import Any, Final, NamedTuple

import msgspec

from agent.clock import NS_PER_MS, ClockState
from agent.model import BatchKind, Event, Result, Scan, Snapshot
from agent.packing import head_of, packed, plain
from agent.store.rows import ROOM_BYTES, in_rows, with_names
from drivers.api import Quality, Reading

MAX_SCANS: Final = 5_000
MAX_PLAIN_BYTES: Final = 1024 * 1024
MAX_TEXT: Final = 1_024
MAX_RANGES: Final = 500
FRAGMENT_BYTES: Final = 4 * 1024
"""A scan that is longer is sent in several parts of the same time, so that it fits into a batch of any limit that a
broker may have, also of one that is only known when the scan is sealed."""
ENVELOPE_BYTES: Final = 300
_CONTENTS = (b',"shapes":[', b',"scans":[', b',"event":{', b',"snapshot":{', b',"result":{')
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_HOLE = struct.Struct("<H")
_encode = msgspec.json.Encoder().encode


class Stamp(NamedTuple):
    """How monotonic times of one boot become wall time: add `offset_ms`. `state` is how far that may be believed."""

    offset_ms: int
    state: ClockState

    def time_ms(self, mono_ns: int) -> int:
        return self.offset_ms + mono_ns // NS_PER_MS


class Fragment(NamedTuple):
    """A scan or event as bytes, in two parts; the time goes between them. `readings` is how many it holds."""

    readings: int
    body: bytes


class Envelope(NamedTuple):
    """What every batch says about itself, besides its content."""

    gateway: str
    epoch: str
    config: str
    seq: int
    sealed_ms: int
    low: int
    clock: ClockState

    def head(self) -> bytes:
        """The envelope as JSON, open at its end."""
        return (
            f'{{"v":1,"gateway":"{self.gateway}","epoch":"{self.epoch}","seq":{self.seq},"sealed_ms":{self.sealed_ms},'
            f'"low":{self.low},"config":"{self.config}","clock":"{self.clock}",'
        ).encode()


def scan_fragments(scan: Scan, max_bytes: int = FRAGMENT_BYTES) -> list[Fragment]:
    """Encode a scan; one that is longer than `max_bytes` becomes several of the same device and time.

    A single reading is never cut in two: with a text and a status that are as long as they may be it has 13 KiB.
    """
    readings = [r if type(r.value) is int and r.status is None else _sendable(r) for r in scan.readings]
    values = {r.point: r.value for r in readings}
    parts = [b',"values":', _encode(values)]
    quality = {r.point: r.quality for r in readings if r.quality}
    if quality:
        parts += [b',"quality":', _encode(quality)]
    status = {r.point: r.status for r in readings if r.status is not None}
    if status:
        parts += [b',"status":', _encode(status)]
    tail = b"".join(parts) + b"}"
    if len(tail) > max_bytes and len(readings) > 1:
        half = len(readings) // 2
        return [
            fragment
            for part in (readings[:half], readings[half:])
            for fragment in scan_fragments(Scan(scan.device, scan.mono_ns, part), max_bytes)
        ]
    return [Fragment(len(values), _with_hole(b'{"device":' + _encode(scan.device) + b',"time_ms":', tail))]


def in_parts(event: Event) -> list[Event]:
    """The event, or where it names too many ranges for one message several of the same; the first has the readings."""
    ranges = list(event.ranges)
    events = [msgspec.structs.replace(event, ranges=ranges[:MAX_RANGES])]
    for start in range(MAX_RANGES, len(ranges), MAX_RANGES):
        part = ranges[start : start + MAX_RANGES]
        events.append(msgspec.structs.replace(event, ranges=part, readings=None))
    return events


def event_fragment(event: Event) -> Fragment:
    """Encode an event; its id is given when it is sealed, with its time."""
    rest = {
        "device": event.device,
        "devices": list(event.devices) or None,
        "message": event.message,
        "reason": event.reason,
        "ranges": [list(r) for r in event.ranges] or None,
        "readings": event.readings,
        "held_s": event.held_s,
        "offset_ms": event.offset_ms,
    }
    head = f'"type":"{event.type}","severity":"{event.severity}","time_ms":'.encode()
    fields = _encode({key: value for key, value in rest.items() if value is not None})
    return Fragment(0, _with_hole(head, b"," + fields[1:]))


def snapshot_fragment(snapshot: Snapshot) -> Fragment:
    """Encode what is known of a picture."""
    fields = msgspec.to_builtins(snapshot)
    head = b'"id":%b,"device":%b,"time_ms":' % (_encode(fields.pop("id")), _encode(fields.pop("device")))
    del fields["mono_ns"]
    return Fragment(0, _with_hole(head, b"," + _encode(fields)[1:]))


def result_fragment(result: Result) -> Fragment:
    """Encode what became of a command or a replay."""
    rest = {
        "ok": result.ok,
        "error": result.error if result.error is None else result.error[:MAX_TEXT],
        "readings": result.readings,
        "ranges": [list(r) for r in result.ranges] or None,
        "missing": [list(r) for r in result.missing] or None,
    }
    rest = {key: value for key, value in rest.items() if value is not None}
    head = b'"id":%b,"time_ms":' % _encode(result.id)
    return Fragment(0, _with_hole(head, b"," + _encode(rest)[1:]))


def is_declaration(body: bytes, reason: str) -> bool:
    """Whether an event fragment declares a loss for this reason."""
    return b'"type":"data.lost"' in body and b'"reason":"%b"' % reason.encode() in body


def stamped(body: bytes, time_ms: int) -> bytes:
    """Fill the hole of a fragment."""
    (head,) = _HOLE.unpack_from(body)
    split = _HOLE.size + head
    return b"%b%d%b" % (body[_HOLE.size : split], time_ms, body[split:])


def seal_scans(envelope: Envelope, scans: Sequence[bytes], max_bytes: int, *, rows: bool = False) -> tuple[int, bytes]:
    """Seal as many of `scans` as fit into `max_bytes`, at least one; gives how many, and the payload.

    What is of one device stands together, in the order in which it was read: there zlib finds what is alike. `rows`:
    whoever will read it reads rows.
    """
    head = envelope.head()
    content = in_rows if rows else with_names
    take, plain_bytes = 0, len(head)
    for scan in scans[:MAX_SCANS]:
        plain_bytes += len(scan) + 1 + ROOM_BYTES
        if plain_bytes > MAX_PLAIN_BYTES and take:
            break
        take += 1
    while True:
        payload = packed(head + content(_by_device(scans[:take])) + b"}")
        if len(payload) <= max_bytes or take == 1:
            return take, payload
        take = max(1, min(take - 1, take * max_bytes * 9 // (len(payload) * 10)))


def _by_device(scans: Sequence[bytes]) -> Iterator[bytes]:
    devices: dict[bytes, list[bytes]] = {}
    for scan in scans:
        devices.setdefault(scan[: scan.index(b',"time_ms":')], []).append(scan)
    return chain.from_iterable(devices.values())


def seal_single(envelope: Envelope, kind: BatchKind, body: bytes, time_ms: int, random: Random) -> bytes:
    """Seal what is alone in its batch: an event, which gets its id now, a snapshot or a result."""
    own_id = b'"id":"%b",' % ulid(time_ms, random).encode("ascii") if kind == "event" else b""
    return packed(envelope.head() + b'"%b":{' % kind.encode("ascii") + own_id + stamped(body, time_ms) + b"}")


def seal_again(envelope: Envelope, payload: bytes) -> bytes:
    """Put the content of a batch of a lost epoch, times and all, behind a new envelope."""
    text = plain(payload)
    start = min(found for content in _CONTENTS if (found := text.find(content)) >= 0)
    return packed(envelope.head() + text[start + 1 :])


def is_unsynced(payload: bytes) -> bool:
    """Whether the envelope says that the clock was never set before its times were made."""
    return b'"clock":"unsync"' in head_of(payload, ENVELOPE_BYTES)


def ulid(time_ms: int, random: Random) -> str:
    """A ULID: 48 bits of time, 80 bits of chance, in Crockford's base 32 (github.com/ulid/spec)."""
    number = max(time_ms, 0) << 80 | random.getrandbits(80)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -5, -5))


def _sendable(reading: Reading) -> Reading:
    """Never a null without a quality, nor a number that JSON does not know, nor a text without end (cut: `unc`)."""
    value = reading.value
    if reading.status is not None and len(reading.status) > MAX_TEXT:
        reading = _with(reading, value, Quality.UNCERTAIN, reading.status[:MAX_TEXT])
    if type(value) is str:
        return reading if len(value) <= MAX_TEXT else _with(reading, value[:MAX_TEXT], Quality.UNCERTAIN)
    if value is None or (type(value) is float and value - value != 0.0):
        return _with(reading, None, Quality.FAULT)
    return reading


def _with(reading: Reading, value: Any, quality: Quality, status: str | None = None) -> Reading:
    """The reading with another value or status, and with `quality` where its own is good."""
    return Reading(reading.point, value, reading.mono_ns, reading.quality or quality, status or reading.status)


def _with_hole(head: bytes, tail: bytes) -> bytes:
    return _HOLE.pack(len(head)) + head + tail
