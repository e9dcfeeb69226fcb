"""Batches that the broker has and the IOC has not acknowledged yet. Pure; time is passed in."""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Final

from agent.clock import NS_PER_S
from agent.model import Batch, SeqRange

UNCONFIRMED_BATCHES: Final = 5_000
UNCONFIRMED_BYTES: Final = 8 * 1024 * 1024


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
        self._due: dict[int, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, seq: int) -> bool:
        return seq in self._due

    @property
    def has_room(self) -> bool:
        return len(self._due) < UNCONFIRMED_BATCHES and self._bytes < UNCONFIRMED_BYTES

    def add(self, batch: Batch, now_ns: int) -> None:
        if not self.has_room:
            self._forget(next(iter(self._due)))
        self._due[batch.seq] = (now_ns + self._resend_ns, len(batch.payload))
        self._bytes += len(batch.payload)

    def confirm(self, ranges: Iterable[SeqRange], now_ns: int) -> None:
        """The IOC has acknowledged these."""
        self._heard_ns = now_ns
        acked = _membership(ranges)
        for seq in [seq for seq in self._due if acked(seq)]:
            self._forget(seq)

    def take_all(self) -> list[int]:
        """Empty it; returns what was in it."""
        seqs = sorted(self._due)
        self._due.clear()
        self._bytes = 0
        return seqs

    def hurry(self, now_ns: int, within_s: float) -> None:
        """The IOC has come up: what it does not acknowledge in `within_s` seconds is sent again."""
        self._heard_ns = now_ns
        due_ns = now_ns + round(within_s * NS_PER_S)
        self._due = {seq: (min(due, due_ns), size) for seq, (due, size) in self._due.items()}

    def take_due(self, now_ns: int) -> int | None:
        """Forget what is to be sent again; returns the lowest number of it."""
        due = [seq for seq, (due_ns, _) in self._due.items() if due_ns <= now_ns]
        if due and now_ns - self._heard_ns > self._resend_ns:
            due = [min(due)] if now_ns - self._asked_ns >= self._resend_ns else []
        if due:
            self._asked_ns = now_ns
        for seq in due:
            self._forget(seq)
        return min(due, default=None)

    def _forget(self, seq: int) -> None:
        _, size = self._due.pop(seq)
        self._bytes -= size


def _membership(ranges: Iterable[SeqRange]) -> Callable[[int], bool]:
    """Whether a number is in any of `ranges`, which may overlap."""
    ordered = sorted(ranges)
    firsts = [first for first, _ in ordered]
    furthest = list(accumulate((last for _, last in ordered), max))

    def is_in(seq: int) -> bool:
        index = bisect_right(firsts, seq) - 1
        return index >= 0 and seq <= furthest[index]

    return is_in
