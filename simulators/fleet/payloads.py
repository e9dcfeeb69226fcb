"""The messages of contract v1 that a gateway sends, as bytes, and those that it hears, as types. Pure.

Written from docs/contract alone, apart from the agent: a mistake that both ends share would show in no test.
"""

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from random import Random
from typing import Annotated, Any, Literal, TypeVar

import msgspec

COMPRESS_ABOVE_BYTES = 512
_BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

Seq = Annotated[int, msgspec.Meta(ge=1, lt=2**53)]
SeqRange = tuple[int, int]
Clock = Literal["sync", "unsync"]
Severity = Literal["info", "minor", "major", "critical"]
Value = bool | int | float | str | None
MessageT = TypeVar("MessageT")


class Point(msgspec.Struct, frozen=True):
    """A point in the birth of its device."""

    name: str
    type: Literal["f64", "i64"]
    unit: str
    interval_ms: int


class Identity(msgspec.Struct, frozen=True):
    """What all messages of one gateway have in common."""

    gateway: str
    epoch: str
    boot: int
    config: str


class Scan(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one device answered at one time. `quality` only for what is not good."""

    device: str
    time_ms: int
    values: dict[str, Value]
    quality: dict[str, str] = {}


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that the IOC must know at once."""

    id: str
    type: str
    severity: Severity
    time_ms: int
    message: dict[str, str]
    device: str | None = None
    ranges: Sequence[SeqRange] = ()
    reason: str | None = None
    readings: int | None = None
    offset_ms: int | None = None


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of a command or a replay; `id` is the request's."""

    id: str
    time_ms: int
    ok: bool
    error: str | None = None
    readings: int | None = None
    ranges: Sequence[SeqRange] = ()
    missing: Sequence[SeqRange] = ()


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything that counts in `seq`; one of the last three is there."""

    v: int
    gateway: str
    epoch: str
    seq: int
    sealed_ms: int
    low: int
    config: str
    clock: Clock
    scans: Sequence[Scan] | None = None
    event: Event | None = None
    result: Result | None = None


class Ack(msgspec.Struct, frozen=True):
    """What the IOC has stored."""

    v: Literal[1]
    epoch: str
    cumulative: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
    selective: list[tuple[Seq, Seq]]


class IocState(msgspec.Struct, frozen=True):
    """Whether the IOC's ingest is there, and whether it acknowledges."""

    v: Literal[1]
    online: bool
    ack: bool = False
    max_bytes: Annotated[int, msgspec.Meta(ge=1)] | None = None
    backfill_readings_per_s: Annotated[float, msgspec.Meta(gt=0)] | None = None


RequestId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class ReplayRequest(msgspec.Struct, frozen=True):
    """Please send these again: by number, or by time; or do not, any longer."""

    v: Literal[1]
    id: RequestId
    epoch: str | None = None
    ranges: list[tuple[Seq, Seq]] | None = None
    from_ms: int | None = None
    to_ms: int | None = None
    devices: list[str] | None = None
    cancel: bool = False


class Command(msgspec.Struct, frozen=True):
    """A command of the IOC."""

    v: Literal[1]
    id: RequestId
    command: str
    expires_ms: int | None = None


class Status(msgspec.Struct, frozen=True):
    """What the gateway's own status topic says."""

    online: bool
    epoch: str
    boot: int
    connection: int


def heard(kind: type[MessageT], payload: bytes) -> MessageT | None:
    """A message to the gateway, packed or not; None where it is not of the contract."""
    try:
        return msgspec.json.decode(plain(payload), type=kind)
    except (msgspec.DecodeError, zlib.error, UnicodeDecodeError, RecursionError):
        return None


def plain(payload: bytes) -> bytes:
    """The JSON of a payload; raises `zlib.error`."""
    return zlib.decompress(payload) if payload[:1] == b"\x78" else payload


def packed(message: Any) -> bytes:
    """JSON, or its zlib stream where the text is long and that is shorter."""
    text = msgspec.json.encode(message)
    if len(text) <= COMPRESS_ABOVE_BYTES:
        return text
    small = zlib.compress(text, 1)
    return small if len(small) < len(text) else text


def status(who: Identity, *, online: bool, why: Literal["connect", "will", "stop"], connection: int, ms: int) -> bytes:
    """Online or not; also the Will."""
    return packed(
        {"v": 1, "gateway": who.gateway, "online": online, "why": why, "epoch": who.epoch, "boot": who.boot}
        | {"connection": connection, "time_ms": ms, "config": who.config}
    )


def birth(who: Identity, oc: str, version: str, devices: Sequence[str], ms: int) -> bytes:
    """The gateway and its devices."""
    head = {"v": 1, "gateway": who.gateway, "epoch": who.epoch, "boot": who.boot, "time_ms": ms, "config": who.config}
    site = {"oc": oc, "name": {"vi": "Tủ mô phỏng", "en": "Simulated cabinet"}}
    more = {"agent": {"name": "oc-sim fleet", "version": version}, "site": site, "devices": devices}
    return packed(head | more | {"capabilities": {"encodings": ["json", "deflate"], "commands": []}})


def device_birth(who: Identity, device: str, points: Sequence[Point], ms: int) -> bytes:
    """One device and its points."""
    head = {"v": 1, "gateway": who.gateway, "device": device, "config": who.config, "time_ms": ms}
    name = {"vi": "Thiết bị mô phỏng", "en": "Simulated device"}
    return packed(head | {"name": name, "link": "simulated", "profile": "oc-sim/fleet", "points": points})


def health(who: Identity, uptime_s: float, outbox: Mapping[str, Any], uplink: Mapping[str, Any], ms: int) -> bytes:
    """The gateway's own figures."""
    head = {"v": 1, "gateway": who.gateway, "epoch": who.epoch, "boot": who.boot, "time_ms": ms}
    return packed(head | {"uptime_s": uptime_s, "clock": {"state": "sync"}, "outbox": outbox, "uplink": uplink})


def config_of(gateway: str, oc: str, points: Sequence[Point]) -> str:
    """The hash of site, devices and points."""
    return hashlib.sha256(msgspec.json.encode([gateway, oc, points])).hexdigest()[:8]


def ulid(time_ms: int, random: Random) -> str:
    """48 bits of time and 80 of chance, in Crockford's base 32 (github.com/ulid/spec)."""
    number = time_ms << 80 | random.getrandbits(80)
    return "".join(_BASE32[number >> shift & 31] for shift in range(125, -1, -5))


def ranges_of(numbers: Sequence[int]) -> list[SeqRange]:
    """Ascending numbers as ranges, both ends included."""
    found: list[SeqRange] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found
