"""What flows between the loops: scans in, batches out, acknowledgements back."""

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from drivers.api import Reading

BatchKind = Literal["data", "event", "snapshot", "result"]
Severity = Literal["info", "minor", "major", "critical"]
SeqRange = tuple[int, int]
"""First and last sequence number, both included."""


class Scan(msgspec.Struct, frozen=True, gc=False):
    """What one device answered at one time. `mono_ns` is the monotonic clock at the wire, in nanoseconds."""

    device: str
    mono_ns: int
    readings: Sequence[Reading]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the IOC must know at once; `type` is one of the event types of the contract.

    `ranges`, `reason`, `readings` and `held_s` go with `data.lost`. `offset_ms` goes with `clock.step`, and so do the
    `ranges` of batches whose times it makes right. `devices` are those whose line is lent (`reason` is `lent`), and
    `held_s` then says for how long it was.
    """

    type: str
    severity: Severity
    mono_ns: int
    message: dict[str, str]
    device: str | None = None
    devices: Sequence[str] = ()
    ranges: Sequence[SeqRange] = ()
    reason: str | None = None
    readings: int | None = None
    held_s: float | None = None
    offset_ms: int | None = None


class Privacy(msgspec.Struct, frozen=True, kw_only=True):
    """Why a picture may be taken, and how long it may be kept (Law 91/2025/QH15 on personal data, Art. 32).

    `class_`: may persons be seen on it.
    """

    class_: str = msgspec.field(name="class")
    purpose: str
    keep_days: int


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a picture; its bytes are on the shelf (`agent.store.pictures`) under `id`, a ULID.

    `mono_ns` is the monotonic clock when it was taken; `why` says who wanted it.
    """

    id: str
    device: str
    mono_ns: int
    mime: str
    width: int
    height: int
    bytes: int
    sha256: str
    parts: int
    why: str
    privacy: Privacy


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a command or a replay that the IOC asked for; `id` is the request's.

    Of a replay: `ranges` of the batches that were sent, how many `readings` they hold, and the numbers that were asked
    for and are `missing` here.
    """

    id: str
    mono_ns: int
    ok: bool
    error: str | None = None
    readings: int | None = None
    ranges: Sequence[SeqRange] = ()
    missing: Sequence[SeqRange] = ()


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A sealed batch: `(gateway, epoch, seq)` names these bytes for ever.

    `payload` is the contract's JSON, or its zlib stream where that is smaller. `sealed_mono_ns` is 0 for a batch
    that was sealed before this boot.
    """

    seq: int
    kind: BatchKind
    payload: bytes
    readings: int
    sealed_ms: int
    sealed_mono_ns: int = 0


class Account(msgspec.Struct, kw_only=True):
    """accepted = delivered + stored + declared lost, in readings, since the outbox file was made.

    `stored` counts what is sealed and undelivered, `waiting` what is read and not yet sealed (part of stored).
    """

    accepted: int = 0
    delivered: int = 0
    stored: int = 0
    waiting: int = 0
    lost: dict[str, int] = {}

    @property
    def balanced(self) -> bool:
        return self.accepted == self.delivered + self.stored + sum(self.lost.values())


class BatchSource(Protocol):
    """The store as the uplink sees it."""

    @property
    def epoch(self) -> str:
        """16 hex digits, made with the outbox file."""

    @property
    def boot(self) -> int:
        """How many boots the outbox has seen, from 1."""

    @property
    def high(self) -> int:
        """Highest sequence number sealed so far; 0 for none."""

    def new_connection(self) -> int:
        """Number of this connection, from 1 in each boot; never given twice in one boot."""

    def is_undelivered(self, seq: int) -> bool:
        """Whether the batch still waits for its acknowledgement."""

    async def pending(self, after: int, max_batches: int, max_bytes: int) -> Sequence[Batch]:
        """Undelivered batches with seq above `after`, lowest first; at least one where there is any."""

    async def window(self, from_ms: int, to_ms: int) -> Sequence[SeqRange] | None:
        """Numbers of all batches that can have readings of that time, `to_ms` excluded, and maybe of some others.

        None where that cannot be told now.
        """

    async def sealed(self, ranges: Sequence[SeqRange], max_batches: int, max_bytes: int) -> Sequence[Batch] | None:
        """Batches of `ranges` that are still kept, delivered or not, lowest first; at least one where there is any.

        None where they cannot be read now.
        """

    def mark_delivered(self, ranges: Sequence[SeqRange]) -> None:
        """These have arrived. Numbers that are unknown or delivered already are passed over."""

    def mark_dead(self, seq: int) -> None:
        """This can never be delivered: it counts as lost, and is not sent again."""

    def limit_payload(self, max_bytes: int | None) -> None:
        """Batches that are sealed from now on shall have at most `max_bytes`; None: there is no limit but its own."""

    def allow_rows(self, *, allowed: bool) -> None:
        """Whether batches that are sealed from now on may have rows; not before this was said."""
