"""Batches that the broker has and the IOC has not acknowledged yet. Pure; time is passed in.

Promise: no more of a backlog stands in the broker's queue than the IOC takes in `QUEUE_S`, for live data has to wait
behind it there. How much that is the IOC's acknowledgements tell.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Final, NamedTuple

from agent.clock import NS_PER_S
from agent.model import Batch, SeqRange

UNCONFIRMED_BATCHES: Final = 5_000
FIRST_READINGS: Final = 30_000
LEAST_READINGS: Final = 2_000
A_BATCH: Final = 20
"""A batch costs the IOC about as much as so many readings."""
QUEUE_S: Final = 1.25
MEASURED_S: Final = 0.5
ACK_EVERY_S: Final = 1.0
"""So often an IOC acknowledges while anything new comes (contract, delivery)."""
UNCONFIRMED_BYTES: Final = 8 * 1024 * 1024


class _Due(NamedTuple):
    """A batch that is sent again at `due_ns`."""

    due_ns: int
    bytes: int
    readings: int


class Unconfirmed:
    """What the broker has and the IOC has not acknowledged; after `resend_s` it is sent again.

    An IOC that says nothing at all is asked with one batch each `resend_s`, not with everything. `has_room` bounds
    the backlog; live batches go on, and beyond the limits the oldest is forgotten (the backlog finds it later).
    """

    def __init__(self, resend_s: float, now_ns: int) -> None:
        self._resend_ns = round(resend_s * NS_PER_S)
        self._heard_ns = now_ns
        self._asked_ns = now_ns
        self._bytes = 0
        self._due: dict[int, _Due] = {}
        self._readings = 0
        self._room = FIRST_READINGS
        self._was_full = False
        self._measured_ns = now_ns
        self._measured = 0

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, seq: int) -> bool:
        return seq in self._due

    @property
    def due_ns(self) -> int | None:
        """When the next one is to be sent again, on the monotonic clock; None without any."""
        return next((one.due_ns for one in self._due.values()), None)  # they were added in this order

    def has_room(self, flying: int) -> bool:
        """Whether more of a backlog may go while so many readings of it have no PUBACK yet.

        A no is remembered: then it was the IOC that held us up (`_measure`).
        """
        little = self._readings + flying < self._room
        self._was_full |= not little
        return little and not self._is_long

    def add(self, batch: Batch, now_ns: int) -> None:
        if self._is_long:
            self._forget(next(iter(self._due)))
        one = _Due(now_ns + self._resend_ns, len(batch.payload), batch.readings + A_BATCH)
        self._due[batch.seq] = one
        self._bytes += one.bytes
        self._readings += one.readings

    def confirm(self, ranges: Iterable[SeqRange], now_ns: int) -> None:
        """The IOC has acknowledged these."""
        self._heard_ns = now_ns
        acked = _membership(ranges)
        before = self._readings
        for seq in [seq for seq in self._due if acked(seq)]:
            self._forget(seq)
        self._measure(before - self._readings, now_ns)

    def take_all(self) -> list[int]:
        """Empty it; returns what was in it."""
        seqs = sorted(self._due)
        self._due.clear()
        self._bytes = self._readings = 0
        return seqs

    def hurry(self, now_ns: int, within_s: float) -> None:
        """The IOC has come up: what it does not acknowledge in `within_s` seconds is sent again."""
        self._heard_ns = now_ns
        due_ns = now_ns + round(within_s * NS_PER_S)
        self._due = {seq: one._replace(due_ns=min(one.due_ns, due_ns)) for seq, one in self._due.items()}

    def take_due(self, now_ns: int) -> int | None:
        """Forget what is to be sent again; returns the lowest number of it."""
        due = [seq for seq, one in self._due.items() if one.due_ns <= now_ns]
        if due and now_ns - self._heard_ns > self._resend_ns:
            due = [min(due)] if now_ns - self._asked_ns >= self._resend_ns else []
        if due:
            self._asked_ns = now_ns
        for seq in due:
            self._forget(seq)
        return min(due, default=None)

    @property
    def _is_long(self) -> bool:
        return len(self._due) >= UNCONFIRMED_BATCHES or self._bytes >= UNCONFIRMED_BYTES

    def _measure(self, confirmed: int, now_ns: int) -> None:
        """How much the IOC takes in a second; less than before counts only where it was what held us up."""
        self._measured += confirmed
        elapsed_s = (now_ns - self._measured_ns) / NS_PER_S
        if elapsed_s < MEASURED_S:
            return
        room = round(self._measured / min(elapsed_s, ACK_EVERY_S) * QUEUE_S)  # an IOC that says it seldom is not slow
        if room > self._room or self._was_full:
            self._room = max(LEAST_READINGS, room)
        self._measured_ns, self._measured, self._was_full = now_ns, 0, False

    def _forget(self, seq: int) -> None:
        one = self._due.pop(seq)
        self._bytes -= one.bytes
        self._readings -= one.readings


def _membership(ranges: Iterable[SeqRange]) -> Callable[[int], bool]:
    """Whether a number is in any of `ranges`, which may overlap."""
    ordered = sorted(ranges)
    firsts = [first for first, _ in ordered]
    furthest = list(accumulate((last for _, last in ordered), max))

    def is_in(seq: int) -> bool:
        index = bisect_right(firsts, seq) - 1
        return index >= 0 and seq <= furthest[index]

    return is_in
