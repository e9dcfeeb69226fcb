"""What one gateway keeps: its batches until they are delivered, some of them longer, and the account. Pure.

1. accepted = delivered + stored + all that is lost, by reason; each is counted where it happens, in readings.
2. A batch never changes. `low` is the lowest number that is not delivered.
3. When there is no more room the oldest go first, and the caller is told which, to declare them.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec

Lane = Literal["data", "event", "result"]
KEPT_DELIVERED = 100
"""So many delivered batches are kept for a replay."""


@dataclass(slots=True, eq=False)
class Batch:
    """One sealed message. `time_ms` is the time of what is in it, `device` whose it is."""

    seq: int
    lane: Lane
    payload: bytes
    time_ms: int
    sealed_s: float
    readings: int = 0
    device: str = ""
    sent_s: float | None = None
    in_flight: bool = False
    settled: bool = False
    """Delivered, or lost."""
    deaf: bool = False
    """Its next acknowledgement is not heard: a fault."""


class Account(msgspec.Struct, frozen=True):
    """Where every reading is. `lost` is declared to the IOC, by reason."""

    accepted: int
    delivered: int
    stored: int
    lost: dict[str, int]

    @property
    def balanced(self) -> bool:
        """No reading is nowhere, and none is in two places."""
        return self.accepted == self.delivered + self.stored + sum(self.lost.values())


class Outbox:
    """In memory: a gateway that ends takes it along."""

    def __init__(self, room: int) -> None:
        self.undelivered: dict[int, Batch] = {}
        self.lost = Counter[str]()
        self.accepted = 0
        self.delivered_readings = 0
        self._room = room
        self._delivered: dict[int, Batch] = {}
        self._eldest: deque[int] = deque()

    def low(self, seq: int) -> int:
        """The lowest number that is not delivered; `seq` where there is none."""
        return next(iter(self.undelivered), seq)

    def add(self, batch: Batch) -> None:
        """Keep a new batch, whose number is above all others."""
        self.accepted += batch.readings
        self.undelivered[batch.seq] = batch

    def overflow(self) -> list[Batch]:
        """The oldest, where there is no more room; a hundredth of it beyond, so that one event tells of many."""
        excess = len(self.undelivered) - self._room
        if excess <= 0:
            return []
        many = excess + max(1, self._room // 100)
        free = (batch for batch in self.undelivered.values() if not batch.in_flight)
        return [batch for batch, _ in zip(free, range(many), strict=False)]

    def deliver(self, batch: Batch) -> bool:
        """It is where it should be; kept for a while, in case the IOC asks again. False where it was settled before."""
        if self.undelivered.pop(batch.seq, None) is None:
            return False
        batch.settled = True
        self.delivered_readings += batch.readings
        self._delivered[batch.seq] = batch
        self._eldest.append(batch.seq)
        if len(self._eldest) > KEPT_DELIVERED:
            del self._delivered[self._eldest.popleft()]
        return True

    def lose(self, batches: Iterable[Batch], reason: str) -> None:
        """They are given up."""
        for batch in batches:
            if self.undelivered.pop(batch.seq, None) is not None:
                batch.settled = True
                self.lost[reason] += batch.readings

    def up_to(self, cumulative: int) -> list[Batch]:
        """What is not delivered and has at most this number."""
        found = []
        for seq, batch in self.undelivered.items():
            if seq > cumulative:
                break
            found.append(batch)
        return found

    def within(self, first: int, last: int) -> list[Batch]:
        """What is not delivered between two numbers, which may be far apart."""
        if last - first < len(self.undelivered):
            return [self.undelivered[seq] for seq in range(first, last + 1) if seq in self.undelivered]
        return [batch for seq, batch in self.undelivered.items() if first <= seq <= last]

    def kept(self) -> Iterator[Batch]:
        """Everything that is still here, in the order of the numbers."""
        both = self.undelivered | self._delivered
        return (both[seq] for seq in sorted(both))

    def account(self) -> Account:
        """Where every reading is now."""
        stored = sum(batch.readings for batch in self.undelivered.values())
        return Account(self.accepted, self.delivered_readings, stored, dict(self.lost))
