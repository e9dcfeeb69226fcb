"""Contract v1 as the IOC reads it: bytes of a message in, a typed envelope or a named refusal out. Pure.

Receivers ignore fields that they do not know; producers may not send them. Sizes are bounded before anything is
parsed, so that no message can make the IOC grow.
"""

import re
import zlib
from typing import Annotated, Literal, TypeVar

import msgspec

MAX_MESSAGE_BYTES = 256 * 1024
MAX_JSON_BYTES = 8 * 1024 * 1024
MAX_PART_BYTES = 48 * 1024
MAX_PARTS = 4_096
MAX_PICTURE_BYTES = 16 * 1024 * 1024
"""What the IOC takes of one picture; the contract itself sets no limit to `parts` and `bytes`."""
ULID = r"[0-7][0-9A-HJKMNP-TV-Z]{25}"
DEVICE = r"(_gateway|[A-Za-z0-9][A-Za-z0-9_.-]{0,63})"
_BLOB = re.compile(rf"blob/({ULID})/([1-9][0-9]{{0,3}})")
_TOPIC = re.compile(r"ocg/v1/([a-z0-9][a-z0-9-]{0,62})/up/(.+)")
_ZLIB, _JSON = b"\x78", b"\x7b"

Lane = Literal["data", "backfill", "event", "snapshot", "result"]
LANES: frozenset[str] = frozenset(("data", "backfill", "event", "snapshot", "result"))
MessageT = TypeVar("MessageT")
Seq = Annotated[int, msgspec.Meta(ge=1, lt=2**53)]
TimeMs = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
Value = bool | int | float | str | None
Count = Annotated[int, msgspec.Meta(ge=1, lt=2**31)]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1_024)]


class Malformed(Exception):
    """A message that breaks the contract; `reason` is one word, for counting."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class Scan(msgspec.Struct, frozen=True):
    """What one device answered at one time; in rows it has `shape` and `row` until `parse_sealed` gives it `values`."""

    device: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    time_ms: TimeMs
    values: dict[str, Value] = {}
    quality: dict[str, str] = {}
    status: dict[str, str] = {}
    shape: int | None = None
    row: list[Value] | None = None


class Event(msgspec.Struct, frozen=True):
    """Something that the gateway wants to be known at once."""

    type: str
    severity: str
    time_ms: TimeMs
    device: str | None = None
    ranges: list[tuple[Seq, Seq]] = []
    offset_ms: Annotated[int, msgspec.Meta(gt=-(2**53), lt=2**53)] = 0
    reason: Text = ""
    readings: Annotated[int, msgspec.Meta(ge=0, lt=2**53)] | None = None


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a command or a replay; `id` is the request's."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    time_ms: TimeMs
    ok: bool
    error: str = ""
    readings: Annotated[int, msgspec.Meta(ge=0, lt=2**53)] | None = None
    ranges: list[tuple[Seq, Seq]] = []
    missing: list[tuple[Seq, Seq]] = []


class Privacy(msgspec.Struct, frozen=True):
    """Why a picture was taken and how long it may be kept. All of it is mandatory: see `lacks`."""

    class_: Annotated[str, msgspec.Meta(max_length=1_024)] = msgspec.field(default="", name="class")
    purpose: Annotated[str, msgspec.Meta(max_length=1_024)] = ""
    keep_days: Count | None = None


class Snapshot(msgspec.Struct, frozen=True):
    """What is known of a picture. `id` and `device` are safe as file names: `\\Z` lets no newline through."""

    id: Annotated[str, msgspec.Meta(pattern=rf"^{ULID}\Z")]
    device: Annotated[str, msgspec.Meta(pattern=rf"^{DEVICE}\Z")]
    time_ms: Annotated[int, msgspec.Meta(ge=0, lt=253_402_300_800_000)]  # the year 10,000: no calendar goes further
    mime: Annotated[str, msgspec.Meta(pattern=r"^image/[a-z0-9.+-]+\Z", max_length=100)]
    width: Count
    height: Count
    bytes: Count
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    parts: Count
    why: Text
    privacy: Privacy | None = None


class Sealed(msgspec.Struct, frozen=True):
    """The envelope of everything that counts in `seq`, and what is in it."""

    v: Literal[1]
    gateway: str
    epoch: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")]
    seq: Seq
    sealed_ms: TimeMs
    low: Seq
    clock: Literal["sync", "hold", "unsync"]
    shapes: list[list[str]] = []
    scans: Annotated[list[Scan], msgspec.Meta(min_length=1, max_length=5_000)] | None = None
    event: Event | None = None
    snapshot: Snapshot | None = None
    result: Result | None = None


class Retained(msgspec.Struct, frozen=True):
    """What birth, status and health have in common; `online` is of status only."""

    v: Literal[1]
    gateway: str
    online: bool | None = None


_SEALED = msgspec.json.Decoder(Sealed)
_RETAINED = msgspec.json.Decoder(Retained)


def parse_topic(topic: str) -> tuple[str, str]:
    """The gateway and what stands behind `up/`; raises `Malformed`."""
    found = _TOPIC.fullmatch(topic)
    if found is None or found[1] == "ioc":
        raise Malformed("topic", topic[:100])
    return found[1], found[2]


def parse_blob(lane: str) -> tuple[str, int]:
    """The picture's id and the number of the part, from what stands behind `up/`; raises `Malformed`."""
    found = _BLOB.fullmatch(lane)
    if found is None or int(found[2]) > MAX_PARTS:
        raise Malformed("topic", lane[:100])
    return found[1], int(found[2])


def lacks(snapshot: Snapshot) -> str:
    """What is missing in the privacy of a picture, in one word; empty where nothing is."""
    privacy = snapshot.privacy
    if privacy is None:
        return "privacy"
    if not privacy.purpose.strip():
        return "purpose"
    if not privacy.class_.strip():
        return "class"
    return "" if privacy.keep_days else "keep_days"


def parse_sealed(gateway: str, lane: str, payload: bytes) -> Sealed:
    """A message of one of the `LANES`; raises `Malformed`."""
    message = _decoded(_SEALED, payload)
    _check_gateway(gateway, message.gateway)
    if message.low > message.seq:
        raise Malformed("low", f"low {message.low} above seq {message.seq}")
    if message.scans is None and message.event is None and message.snapshot is None and message.result is None:
        raise Malformed("empty", f"seq {message.seq} on {lane}")
    if message.scans is not None:
        message = msgspec.structs.replace(message, scans=[_named(scan, message.shapes) for scan in message.scans])
    for scan in message.scans or ():
        _check_scan(scan)
    if message.snapshot is not None:
        _check_snapshot(message.snapshot)
    return message


def parse_retained(gateway: str, payload: bytes) -> Retained:
    """A birth, status or health message; raises `Malformed`."""
    message = _decoded(_RETAINED, payload)
    _check_gateway(gateway, message.gateway)
    return message


def plain(payload: bytes) -> str:
    """The JSON text, unpacked where the first byte says zlib; raises `Malformed`."""
    if len(payload) > MAX_MESSAGE_BYTES:
        raise Malformed("too_big", f"{len(payload)} bytes")
    if payload[:1] not in (_JSON, _ZLIB):
        raise Malformed("encoding", payload[:8].hex())
    try:
        return (payload if payload[:1] == _JSON else _unpacked(payload)).decode("utf-8")
    except UnicodeDecodeError as err:
        raise Malformed("json", str(err)) from err


def _decoded(decoder: msgspec.json.Decoder[MessageT], payload: bytes) -> MessageT:
    try:
        return decoder.decode(plain(payload))
    except msgspec.ValidationError as err:
        raise Malformed("schema", str(err)) from err
    except (msgspec.DecodeError, RecursionError) as err:
        raise Malformed("json", str(err)) from err


def _unpacked(payload: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(payload, MAX_JSON_BYTES)
    except zlib.error as err:
        raise Malformed("zlib", str(err)) from err
    if unpacker.unconsumed_tail:
        raise Malformed("too_big", f"more than {MAX_JSON_BYTES} bytes unpacked")
    if not unpacker.eof or unpacker.unused_data:
        raise Malformed("zlib", "the stream is cut off, or something follows it")
    return text


def _check_gateway(topic: str, body: str) -> None:
    if body != topic:
        raise Malformed("gateway", f"{body} on the topic of {topic}")


def _named(scan: Scan, shapes: list[list[str]]) -> Scan:
    """The scan with the name of each value; raises `Malformed` where a row does not fit."""
    if scan.shape is None and scan.row is None:
        return scan
    if scan.shape is None or scan.row is None or scan.values:
        raise Malformed("rows", f"a scan of {scan.device} has to have values, or a shape and a row")
    if not 0 <= scan.shape < len(shapes):
        raise Malformed("rows", f"a scan of {scan.device} has shape {scan.shape}, and there are {len(shapes)} shapes")
    names = shapes[scan.shape]
    if len(scan.row) != len(names):
        raise Malformed("rows", f"a row of {scan.device} has {len(scan.row)} values for {len(names)} names")
    values = dict(zip(names, scan.row, strict=True))
    if len(values) < len(names):
        raise Malformed("rows", f"shape {scan.shape} has a name twice")
    return msgspec.structs.replace(scan, values=values, shape=None, row=None)


def _check_scan(scan: Scan) -> None:
    if not scan.values:
        raise Malformed("empty", f"a scan of {scan.device}")
    for point, value in scan.values.items():
        if value is None and point not in scan.quality:
            raise Malformed("quality", f"{scan.device}.{point} is null without a quality")
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            raise Malformed("schema", f"{scan.device}.{point} is a number of more than 64 bits")
        if isinstance(value, str) and len(value) > 1_024:
            raise Malformed("schema", f"{scan.device}.{point} has {len(value)} characters")


def _check_snapshot(snapshot: Snapshot) -> None:
    if snapshot.bytes > MAX_PICTURE_BYTES or snapshot.parts > MAX_PARTS:
        raise Malformed("too_big", f"picture {snapshot.id}: {snapshot.bytes} bytes in {snapshot.parts} parts")
    if not snapshot.parts <= snapshot.bytes <= snapshot.parts * MAX_PART_BYTES:
        raise Malformed("parts", f"picture {snapshot.id}: {snapshot.bytes} bytes in {snapshot.parts} parts")
