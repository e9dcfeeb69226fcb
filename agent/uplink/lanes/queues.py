"""Where a batch is on its way to the broker: queued live, read ahead from the backlog, or in flight. Pure.

Promises: the backlog goes oldest first, in at most three quarters of the window; every queue is bounded; nothing here
is the only copy of a batch: whatever is forgotten stays undelivered in the store, and the backlog finds it there.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from agent.model import Batch
from agent.uplink.formats import Lane
from agent.uplink.replay.replays import ReplayJob

MAX_WINDOW: Final = 20
LIVE_BYTES: Final = 2 * 1024 * 1024
BACKFILL_IN_FLIGHT_BYTES: Final = 256 * 1024
"""More of it in the sockets would stand in the way of live data on a slow line."""


class LiveQueue:
    """Batches as they are sealed, at most `max_bytes` of them; one that does not fit goes with the backlog."""

    def __init__(self, max_bytes: int = LIVE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._batches: deque[Batch] = deque()
        self._seqs: set[int] = set()

    def __len__(self) -> int:
        return len(self._batches)

    def __contains__(self, seq: int) -> bool:
        return seq in self._seqs

    def offer(self, batch: Batch) -> bool:
        """Queue a batch; False where it does not fit."""
        if self._bytes + len(batch.payload) > self._max_bytes:
            return False
        self._batches.append(batch)
        self._seqs.add(batch.seq)
        self._bytes += len(batch.payload)
        return True

    def pop(self) -> Batch:
        batch = self._batches.popleft()
        self._seqs.discard(batch.seq)
        self._bytes -= len(batch.payload)
        return batch

    def spill(self) -> int | None:
        """Empty the queue; returns the lowest number that was in it."""
        lowest = self._batches[0].seq if self._batches else None
        self._batches.clear()
        self._seqs.clear()
        self._bytes = 0
        return lowest


class Backlog:
    """A cursor over everything undelivered, lowest first, with a few batches read ahead.

    Whatever is undelivered is above the cursor, or read ahead, or elsewhere (queued live, in flight, unconfirmed).
    """

    def __init__(self, read_ahead: int = 25) -> None:
        self._read_ahead = read_ahead
        self._batches: deque[Batch] = deque()
        self._seqs: set[int] = set()
        self.cursor = 0
        self.generation = 0
        self.swept = False

    def __len__(self) -> int:
        return len(self._batches)

    def __contains__(self, seq: int) -> bool:
        return seq in self._seqs

    @property
    def has_next(self) -> bool:
        return bool(self._batches)

    @property
    def next(self) -> Batch:
        return self._batches[0]

    @property
    def hungry(self) -> bool:
        """Whether more should be read from the store."""
        return not self.swept and len(self._batches) < self._read_ahead

    @property
    def done(self) -> bool:
        """Whether there was nothing left when the store was last asked."""
        return self.swept and not self._batches

    def take(self, batches: Sequence[Batch], generation: int, is_elsewhere: Callable[[int], bool]) -> None:
        """Take in what the store gave for `cursor`; an answer from before a `rewind` is thrown away."""
        if generation != self.generation:
            return
        self.swept = not batches
        for batch in batches:
            self.cursor = batch.seq
            if not is_elsewhere(batch.seq):
                self._batches.append(batch)
                self._seqs.add(batch.seq)

    def pop(self) -> Batch:
        batch = self._batches.popleft()
        self._seqs.discard(batch.seq)
        return batch

    def rewind(self, seq: int) -> None:
        """Go back so that `seq`, which is undelivered and in no other place, is found again."""
        self.generation += 1
        self.swept = False
        if seq <= self.cursor:
            self.cursor = seq - 1
            while self._batches and self._batches[-1].seq >= seq:
                self._seqs.discard(self._batches.pop().seq)


class InFlight(NamedTuple):
    """A batch that was sent and has no PUBACK yet; `job` is the replay that it belongs to."""

    batch: Batch
    lane: Lane
    job: ReplayJob | None = None


class Window:
    """What is in flight. The broker's limit is `size`; the backlog leaves a quarter of it free."""

    def __init__(self, receive_maximum: int) -> None:
        self.size = max(1, min(MAX_WINDOW, receive_maximum))
        self._for_backfill = max(1, self.size * 3 // 4)
        self._batches: dict[int, InFlight] = {}
        self.backfill_readings = 0
        self._backfill_count = 0
        self._backfill_bytes = 0

    def __len__(self) -> int:
        return len(self._batches)

    def __contains__(self, seq: int) -> bool:
        return seq in self._batches

    def seqs(self) -> list[int]:
        """The numbers of what is in flight, in the order in which it was sent."""
        return list(self._batches)

    def has_room(self, lane: Lane, payload_bytes: int) -> bool:
        """Whether a batch of `lane` may go now; on backfill one may always, however long it is."""
        if len(self._batches) >= self.size:
            return False
        if lane == "live" or self._backfill_count == 0:
            return True
        fits = self._backfill_bytes + payload_bytes <= BACKFILL_IN_FLIGHT_BYTES
        return fits and self._backfill_count < self._for_backfill

    def add(self, sent: InFlight) -> None:
        self._batches[sent.batch.seq] = sent
        if sent.lane == "backfill":
            self.backfill_readings += sent.batch.readings
            self._backfill_count += 1
            self._backfill_bytes += len(sent.batch.payload)

    def remove(self, seq: int) -> InFlight:
        sent = self._batches.pop(seq)
        if sent.lane == "backfill":
            self.backfill_readings -= sent.batch.readings
            self._backfill_count -= 1
            self._backfill_bytes -= len(sent.batch.payload)
        return sent
