"""What the IOC can say, as types: they are what every format reads its messages into. Pure."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec

from agent.model import SeqRange

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
    `encodings`: what it reads.
    """

    v: Literal[1]
    online: bool
    ack: bool = False
    time_ms: int = 0
    host: str = ""
    max_bytes: Annotated[int, msgspec.Meta(ge=1)] | None = None
    backfill_readings_per_s: Annotated[float, msgspec.Meta(gt=0)] | None = None
    encodings: tuple[str, ...] = ()


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


BAD_COMMAND: Final = "command"


class Bad(NamedTuple):
    """A message that breaks the contract; `reason` is one word, for counting: `BAD_COMMAND` for a command."""

    reason: str
    detail: str


Down = Ack | IocState | NoIocState | OwnStatus | Replay | Command | Bad


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
