"""What has been received from one gateway in one epoch, and what follows from it. Pure.

1. A sequence number counts once; it is a duplicate for ever after.
2. A number that is missing below the highest `low` is lost for good; where it comes all the same, it is found.
3. `cumulative` passes over received and lost numbers, and over nothing else.
4. A gap at or above the highest `low` that is older than `GAP_AGE_S` asks for replay, once in `REPLAY_EVERY_S`.
5. Loss, duplicates and reordering on the way change none of the numbers once everything has arrived.

What is missing is kept, not what is there: a healthy gateway costs one number. The caller stores messages.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

GAP_AGE_S = 120.0
REPLAY_EVERY_S = 600.0
MAX_SELECTIVE = 100
"""How many ranges one ack may name; the lowest come first, the rest follows in later acks."""

SeqRange = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Hole:
    """Numbers from `first` to `last` that have not arrived, since when that is known, and when they were asked for."""

    first: int
    last: int
    since_s: float
    asked_s: float | None = None


@dataclass(slots=True)
class Ledger:
    """The account of one (gateway, epoch)."""

    high: int = 0
    maxlow: int = 0
    received: int = 0
    duplicates: int = 0
    holes: list[Hole] = field(default_factory=list)
    lost: list[Hole] = field(default_factory=list)

    def receive(self, seq: int, low: int, now_s: float) -> bool:
        """Take one message with `low` <= `seq`; False where it is a duplicate, whose `low` counts all the same."""
        new = self._take(seq, now_s)
        if new:
            self.received += 1
        else:
            self.duplicates += 1
        if low > self.maxlow:
            self._give_up_below(low)
        return new

    def knows(self, seq: int) -> bool:
        """Whether `seq` has arrived."""
        return 1 <= seq <= self.high and not any(h.first <= seq <= h.last for h in (*self.holes, *self.lost))

    @property
    def cumulative(self) -> int:
        """Everything up to here has arrived or is lost for good."""
        return self.holes[0].first - 1 if self.holes else self.high

    @property
    def lost_count(self) -> int:
        """How many numbers are lost for good."""
        return sum(hole.last - hole.first + 1 for hole in self.lost)

    def selective(self) -> list[SeqRange]:
        """What has arrived above `cumulative`, at most `MAX_SELECTIVE` ranges."""
        if not self.holes:
            return []
        ends = [*(hole.first for hole in self.holes[1:]), self.high + 1]
        ranges = [(hole.last + 1, end - 1) for hole, end in zip(self.holes, ends, strict=True) if hole.last + 1 < end]
        return ranges[:MAX_SELECTIVE]

    def gaps(self) -> list[SeqRange]:
        """What is missing and may still come."""
        return [(hole.first, hole.last) for hole in self.holes]

    def to_ask(self, now_s: float) -> list[SeqRange]:
        """Gaps whose replay is due now; they count as asked for."""
        due: list[SeqRange] = []
        for index, hole in enumerate(self.holes):
            old = now_s - hole.since_s >= GAP_AGE_S
            if old and (hole.asked_s is None or now_s - hole.asked_s >= REPLAY_EVERY_S):
                due.append((hole.first, hole.last))
                self.holes[index] = replace(hole, asked_s=now_s)
        return due

    def _take(self, seq: int, now_s: float) -> bool:
        if seq > self.high:
            if seq > self.high + 1:
                self.holes.append(Hole(self.high + 1, seq - 1, now_s))
            self.high = seq
            return True
        return _fill(self.holes, seq) or _fill(self.lost, seq)

    def _give_up_below(self, low: int) -> None:
        self.maxlow = low
        above: list[Hole] = []
        for hole in self.holes:
            if hole.first < low:
                self.lost.append(replace(hole, last=min(hole.last, low - 1)))
            if hole.last >= low:
                above.append(replace(hole, first=max(hole.first, low)))
        self.holes = above


def _fill(holes: list[Hole], seq: int) -> bool:
    """Take `seq` out of the hole that it is in; False where it is in none."""
    for index, hole in enumerate(holes):
        if hole.first <= seq <= hole.last:
            holes[index : index + 1] = _without(hole, seq)
            return True
    return False


def _without(hole: Hole, seq: int) -> Iterator[Hole]:
    if hole.first < seq:
        yield replace(hole, last=seq - 1)
    if seq < hole.last:
        yield replace(hole, first=seq + 1)
