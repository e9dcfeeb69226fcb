"""The timetable of commits: when the next one is due, by what waits for it, and not before the last failure is over.

Changes nothing but itself; all times are of the monotonic clock.
"""

from typing import Final

from agent.clock import NS_PER_S
from agent.store.parts import Parts

RESERVE_AHEAD: Final = 300
"""Numbers reserved ahead: so many batches still leave while the card fails, and are declared after a power cut."""
RETRY_S: Final = 1.0
SETTLE_S: Final = 1.0
RAW_INTERVAL_S: Final = 3.0
SEGMENT_BYTES: Final = 16 * 1024 * 1024
_NOW: Final = -(1 << 62)
_NEVER: Final = 1 << 62


class Timetable:
    """`ahead`: how many numbers are to be reserved ahead; `duration_s`: how long the last commit took."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._retry_ns = self._settle_ns = _NOW
        self._checkpoint_made_ns = parts.clock.mono_ns()
        self._sealed_at_checkpoint = parts.ledger.high
        self.ahead = RESERVE_AHEAD
        self.duration_s = 0.0

    def due_ns(self, *, urgent: bool) -> int | None:
        """When there is something to do next; None where nothing waits. `urgent`: a loss waits to be declared."""
        times = [self.checkpoint_ns(), self.commit_ns(urgent=urgent)]
        if self._parts.damage_seen:
            times.append(_NOW)
        if any(self._parts.ledger.unsettled.values()):
            times.append(self._settle_ns + round(SETTLE_S * NS_PER_S))
        due_ns = min(times)
        return max(due_ns, self._retry_ns) if due_ns < _NEVER else None

    def checkpoint_ns(self) -> int:
        """When the journal is to go on in a new segment."""
        parts = self._parts
        if parts.checkpoint_asked or parts.journal.segment_bytes > SEGMENT_BYTES:
            return _NOW
        due_ns = self._checkpoint_made_ns + round(parts.config.outbox.archive_interval_s * NS_PER_S)
        return due_ns if parts.ledger.changed or parts.ledger.fresh else _NEVER

    def commit_ns(self, *, urgent: bool) -> int:
        """When what is undelivered is to be on the card, numbers reserved, a loss declared."""
        ledger, interval_s = self._parts.ledger, self._parts.config.outbox.commit_interval_s
        if urgent or ledger.reserved - ledger.high < self.ahead // 4:
            return _NOW
        due_ns = self.raw_ns()
        head = next(iter(ledger.unsafe.values()), None)
        return due_ns if head is None else min(due_ns, head.oldest_mono_ns + self._in_time_ns(interval_s))

    def raw_ns(self) -> int:
        """When what waits unsealed is to be on the card."""
        oldest_ns = self._parts.ledger.oldest_unsaved_ns
        interval_s = self._parts.config.outbox.commit_interval_s or RAW_INTERVAL_S
        return _NEVER if oldest_ns is None else oldest_ns + self._in_time_ns(interval_s)

    def begin_checkpoint(self) -> None:
        """Reserve as many numbers ahead as the time since the last checkpoint has used, twice over."""
        high = self._parts.ledger.high
        self.ahead = max(RESERVE_AHEAD, 2 * (high - self._sealed_at_checkpoint))
        self._sealed_at_checkpoint = high

    def checkpoint_made(self) -> None:
        """The next one is due an archive interval from now."""
        self._checkpoint_made_ns = self._parts.clock.mono_ns()

    def committed(self, started_ns: int) -> None:
        """A commit that began then is done."""
        self.duration_s = (self._parts.clock.mono_ns() - started_ns) / NS_PER_S

    def settled(self) -> None:
        """What arrived was counted just now."""
        self._settle_ns = self._parts.clock.mono_ns()

    def failed(self) -> None:
        """Nothing is tried before a moment has passed."""
        self._retry_ns = self._parts.clock.mono_ns() + round(RETRY_S * NS_PER_S)

    def works(self) -> None:
        """Nothing stands in the way of the next one."""
        self._retry_ns = _NOW

    def _in_time_ns(self, interval_s: float) -> int:
        """Begin early enough that the commit is done when `interval_s` have passed."""
        lead_s = min(interval_s / 2, 0.05 + 2 * self.duration_s)
        return round((interval_s - lead_s) * NS_PER_S)
