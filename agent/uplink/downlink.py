"""What the IOC says: topic and payload in, a typed message out. Pure.

Promises: nothing that arrives raises; what breaks the contract comes out as `Bad`, with a word for the counter, and
changes nothing. Sizes are bounded before anything is parsed. Unknown fields are passed over (contract, payloads).
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from agent.model import SeqRange
from agent.packing import plain
from agent.uplink.topics import IOC_STATE, Topics

MAX_BYTES: Final = 256 * 1024
MAX_PLAIN_BYTES: Final = 1024 * 1024

Epoch = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
Seq = Annotated[int, msgspec.Meta(ge=1, lt=2**53)]
Range = tuple[Seq, Seq]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Ack(msgspec.Struct, frozen=True, kw_only=True):
    """The IOC has stored everything up to `cumulative`, and the ranges of `selective` beyond it."""

    v: Literal[1]
    epoch: Epoch
    cumulative: Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
    selective: Annotated[tuple[Range, ...], msgspec.Meta(max_length=10_000)] = ()
    time_ms: int = 0


class IocState(msgspec.Struct, frozen=True, kw_only=True):
    """Is the IOC's ingest up, does it acknowledge, and what can it take.

    `max_bytes`: the longest payload. `backfill_readings_per_s`: the pace of what comes late, from each gateway.
    """

    v: Literal[1]
    online: bool
    ack: bool = False
    time_ms: int = 0
    host: str = ""
    max_bytes: Annotated[int, msgspec.Meta(ge=1)] | None = None
    backfill_readings_per_s: Annotated[float, msgspec.Meta(gt=0)] | None = None


class NoIocState(NamedTuple):
    """The retained state of the IOC was taken away: there is no IOC that speaks for itself."""


class OwnStatus(msgspec.Struct, frozen=True, kw_only=True):
    """This gateway's own status, as the broker passes it on."""

    v: Literal[1]
    online: bool
    why: str
    epoch: str
    boot: int
    connection: int


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """Please send these again: `ranges` of `epoch`, or what is from `from_ms` on and before `to_ms`.

    With `cancel`: please do not, what was asked for under this `id`.
    """

    v: Literal[1]
    id: Id
    time_ms: int
    epoch: Epoch | None = None
    ranges: Annotated[tuple[Range, ...], msgspec.Meta(max_length=10_000)] = ()
    from_ms: int | None = None
    to_ms: int | None = None
    devices: tuple[str, ...] | None = None
    cancel: bool = False


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A command; which there are is said in the birth's capabilities."""

    v: Literal[1]
    id: Id
    command: str
    time_ms: int = 0
    expires_ms: int | None = None
    args: dict[str, Any] = {}


class Bad(NamedTuple):
    """A message that breaks the contract; `reason` is one word, for counting."""

    reason: str
    detail: str


Down = Ack | IocState | NoIocState | OwnStatus | Replay | Command | Bad


def read_down(topics: Topics, topic: str, payload: bytes) -> Down | None:
    """What a message says; None for an empty one that only clears a retained message."""
    types: dict[str, type[Ack | IocState | OwnStatus | Replay | Command]] = {
        IOC_STATE: IocState,
        topics.ack: Ack,
        topics.replay: Replay,
        topics.command: Command,
        topics.status: OwnStatus,
    }
    if topic not in types:
        return Bad("topic", topic[:100])
    if not payload:
        return NoIocState() if topic == IOC_STATE else None
    if len(payload) > MAX_BYTES:
        return Bad("payload", f"{topic}: {len(payload)} bytes are too many")
    try:
        return msgspec.json.decode(plain(payload, MAX_PLAIN_BYTES), type=types[topic])
    except (msgspec.MsgspecError, ValueError, RecursionError) as err:
        return Bad("payload", f"{topic}: {err}"[:300])


def acked_ranges(ack: Ack, epoch: str, high: int) -> Sequence[SeqRange] | Bad:
    """What an ack says has arrived, as ranges; none where it speaks of another epoch.

    An ack of a number above `high`, that was never sealed, is not believed at all.
    """
    if ack.epoch != epoch:
        return ()
    ranges = [(1, ack.cumulative)] if ack.cumulative else []
    ranges += ack.selective
    for first, last in ranges:
        if first > last or last > high:
            return Bad("ack", f"{first} to {last} of epoch {epoch}, where {high} is the highest")
    return ranges
