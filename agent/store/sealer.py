"""The sealer: turns what the journal holds into numbered batches, each `batch_interval`, events at once.

It reads the readings back from the journal, so memory does not grow while readings wait for the clock. A batch is a
record in the journal before it is handed on; where a power cut could bring the same readings back under another
number, it is on the card first. Batches are handed on in the order of their numbers.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final

from agent.clock import NS_PER_S
from agent.model import Batch, Event
from agent.store.building import Builder
from agent.store.committer import Committer
from agent.store.damage.salvage import Salvage
from agent.store.draft import Built
from agent.store.ledger import Fresh
from agent.store.losses import Loss
from agent.store.parts import Parts, StoreConfig
from agent.store.records import (
    BATCH_HEAD_BYTES,
    HEADER_BYTES,
    RecordType,
    pack_batch,
    pack_cursors,
)
from agent.store.recovery import Orphan, Recovered

HELD_BYTES: Final = 12 * 1024 * 1024
"""So much of the journal may wait for its time; it lies in memory, and a power cut would bring it back as it is."""
AGAIN_S: Final = 1.0
"""How soon to look again whether the clock, the card or the numbers allow what they did not allow before."""
MOMENT_S: Final = 0.02
"""So much sooner or later, at most a fiftieth of its interval, a batch is sealed together with what is read just then.

Polls come at ticks, so a batch is due a moment before or after a poll: that is one wake and one batch, not two.
"""
BREATH_S: Final = 0.01
"""The longest pause between two batches."""
DAMAGED: Final = "journal_damaged"


class Sealer:
    """The only one that gives out numbers."""

    def __init__(self, parts: Parts, committer: Committer) -> None:
        self.on_sealed: Callable[[Batch], None] | None = None
        self._parts = parts
        self._committer = committer
        self._builder = Builder(parts)
        self._lock = asyncio.Lock()
        self._not_before_ns = 0
        self._first = True

    async def run(self) -> None:
        """Seal what is due, for ever."""
        while True:
            await self.seal_due()
            if await self._parts.wait(self._parts.seal_wake, self._wakes_ns()):
                self._not_before_ns = 0

    async def seal_due(self) -> None:
        """Seal what is due now; look whether the clock has stepped."""
        self._watch_clock()
        due_ns, now_ns = self.due_ns(), self._parts.clock.mono_ns()
        if due_ns is None or due_ns - self._moment_ns() > now_ns:
            return
        scans_due_ns = self._scans_due_ns()
        scans = scans_due_ns is not None and scans_due_ns - self._moment_ns() <= now_ns
        high = self._parts.ledger.high
        done = await self.seal(scans=scans) or self._parts.ledger.high > high  # what came meanwhile is next
        self._not_before_ns = 0 if done else now_ns + round(AGAIN_S * NS_PER_S)

    async def seal(self, *, scans: bool) -> bool:
        """Seal all events that wait, with `scans` also all scans; False where some of them have to wait on."""
        ledger = self._parts.ledger
        async with self._lock:
            while self._waits(scans=scans) and not self._holding():
                began_s = time.monotonic()
                if not await self._seal_next(scans=scans):
                    break
                if self._waits(scans=scans):
                    await _leave_room(began_s)
            if not ledger.waiting and not ledger.waiting_events:
                ledger.sealed_all(self._parts.journal.end)
            self._first = self._first and bool(not scans or ledger.waiting)
            return not self._waits(scans=scans)

    async def change(self, config: StoreConfig) -> None:
        """Seal what waits, also for the clock, under the name of the births that explain it; then go by `config`.

        A batch says `unsync` where the clock was never set, and `clock.step` makes its times right later.
        """
        parts, ledger = self._parts, self._parts.ledger
        async with self._lock:
            end = parts.journal.end
            while config.config_hash != parts.config_hash and ledger.scan_cursor < end:
                began_s = time.monotonic()
                if not await self._seal_next(scans=True):
                    break
                await _leave_room(began_s)
            parts.config, parts.config_hash = config, config.config_hash
            parts.keeper.hold(config.hold_unsynced_s)
        parts.seal_wake.set()
        parts.commit_wake.set()

    def much_waits(self) -> bool:
        """Whether so much waits to be sealed that it cannot wait longer, neither for its interval nor for the clock."""
        return self._waiting_bytes() > self._held_bytes()

    def much_waits_since(self, end: int) -> bool:
        """Whether so much waits, and it did not when the journal ended at `end`."""
        waiting, held = self._waiting_bytes(), self._held_bytes()
        return waiting > held >= waiting - (self._parts.journal.end - end)

    def _waiting_bytes(self) -> int:
        return self._parts.journal.bytes_from(self._parts.ledger.cursor)

    def _held_bytes(self) -> int:
        return min(HELD_BYTES, self._parts.config.outbox.max_bytes // 8)

    def overdue_s(self) -> float:
        """For how long something has waited to be sealed that could have been."""
        due_ns = self.due_ns()
        return 0.0 if due_ns is None else (self._parts.clock.mono_ns() - due_ns) / NS_PER_S

    async def salvage(self, found: Recovered) -> bool:
        """Bring onto the card what is left of earlier processes; False where the card cannot be written."""
        orphans, rest = list(found.orphans), list(found.salvaged)
        async with self._lock:
            if not orphans and not rest:
                return True
            while orphans or rest:
                left = list(orphans), list(rest)
                if not await self._committer.commit_built(lambda: self._builder.salvaged(orphans, rest)):
                    if not await self._committer.renew():
                        return False
                    orphans[:], rest[:] = left
            self._salvaged_all()
        return True

    async def seal_orphans(self, orphans: Sequence[Orphan], after: Salvage) -> bool:
        """Number what is left of another epoch anew and bring it onto the card; False where that is not possible."""
        ledger = self._parts.ledger
        async with self._lock:
            if len(orphans) > ledger.reserved - ledger.high:
                self._parts.commit_wake.set()
                return False
            return await self._committer.commit_orphans(lambda: self._builder.orphans(orphans), after)

    def _salvaged_all(self) -> None:
        ledger = self._parts.ledger
        ledger.scan_cursor = ledger.event_cursor = max(ledger.scan_cursor, ledger.event_cursor)
        ledger.anchors = {ledger.boot_id: self._parts.keeper.anchor}
        if not ledger.waiting and not ledger.waiting_events:
            ledger.sealed_all(self._parts.journal.end)

    def replan(self) -> None:
        """Something has come: sleep until it is due."""
        due_ns = self.due_ns()
        if due_ns is not None and due_ns - self._moment_ns() <= self._parts.clock.mono_ns():
            self._parts.seal_wake.set()
        else:
            self._parts.move(self._parts.seal_wake, self._wakes_ns())

    def is_nearly_due(self, now_ns: int) -> bool:
        """Whether scans that wait may go together with one of now."""
        oldest_ns = self._parts.ledger.oldest_waiting_ns
        return oldest_ns is not None and now_ns - oldest_ns >= self._interval_ns() - self._moment_ns()

    def due_ns(self) -> int | None:
        """When there is something to seal next, on the monotonic clock; None where nothing waits."""
        due_ns = self._parts.clock.mono_ns() if self._parts.ledger.waiting_events else self._scans_due_ns()
        return None if due_ns is None else max(due_ns, self._not_before_ns)

    def _wakes_ns(self) -> int | None:
        due_ns = self.due_ns()
        return None if due_ns is None else due_ns + (0 if self._parts.ledger.waiting_events else self._moment_ns())

    def _scans_due_ns(self) -> int | None:
        oldest_ns = self._parts.ledger.oldest_waiting_ns
        return None if oldest_ns is None else oldest_ns + (0 if self.much_waits() else self._interval_ns())

    def _interval_ns(self) -> int:
        config = self._parts.config
        interval_s = config.outbox.batch_interval_s
        return round((min(interval_s, config.first_batch_s) if self._first else interval_s) * NS_PER_S)

    def _moment_ns(self) -> int:
        return min(self._interval_ns() // 50, round(MOMENT_S * NS_PER_S))

    def _waits(self, *, scans: bool) -> bool:
        return bool(self._parts.ledger.waiting_events or (scans and self._parts.ledger.waiting))

    def _holding(self) -> bool:
        return self._parts.keeper.holding() and not self.much_waits()

    def _watch_clock(self) -> None:
        """Write down when the clock is set or believed otherwise; tell a step once, with what it makes right."""
        parts, ledger = self._parts, self._parts.ledger
        step_ms = parts.keeper.step_ms()
        if step_ms is None and not parts.keeper.state_changed():
            return
        try:
            parts.anchor_clock()  # first: killed in between, a step is not told, which is better than twice
        except OSError as err:
            parts.journal_failed(err)
            return
        if step_ms is not None:
            parts.append_event(
                Event(
                    type="clock.step",
                    severity="minor",
                    mono_ns=parts.clock.mono_ns(),
                    message={"vi": "Đồng hồ đã được chỉnh", "en": "The clock was set"},
                    offset_ms=step_ms,
                    ranges=ledger.unsynced.ranges(),
                )
            )
        ledger.anchored(parts.keeper.anchor)

    def _sends_first(self) -> bool:
        """Whether a batch may leave before it is on the card: the journal alone must be able to bring it back."""
        parts, ledger = self._parts, self._parts.ledger
        return parts.ram_disk and parts.config.outbox.commit_interval_s > 0 and ledger.saved <= ledger.cursor

    async def _seal_next(self, *, scans: bool) -> bool:
        """Seal one batch, or some in one commit; False where there is none, or none can be sealed now."""
        parts, ledger = self._parts, self._parts.ledger
        if ledger.high >= ledger.reserved:
            parts.commit_wake.set()
            return False
        if not self._sends_first():
            return await self._seal_onto_card(scans=scans)
        built = self._builder.next(scans=scans)
        if built is None:
            self._find_damage(scans=scans)
            return False
        record = pack_batch(built.head, built.payload)
        try:
            position = parts.journal.write(RecordType.BATCH, built.head.readings, built.head.sealed_mono_ns, record)
        except OSError as err:
            parts.journal_failed(err)
            return await self._seal_onto_card(scans=scans)
        start = position + HEADER_BYTES + BATCH_HEAD_BYTES
        ledger.seal(built.head, Fresh(built.head, start, len(built.payload)))
        if built.unsynced:
            ledger.unsynced.add(built.head.seq)
        self._committer.replan()
        self._hand_on(built)
        return True

    async def _seal_onto_card(self, *, scans: bool) -> bool:
        parts, ledger = self._parts, self._parts.ledger
        built = await self._committer.commit_built(lambda: self._builder.due(scans=scans))
        if built:  # without their batches the journal would not tell that these readings are sealed
            parts.note(RecordType.SEALED, len(built), pack_cursors(ledger.scan_cursor, ledger.event_cursor))
        for batch in built:
            self._hand_on(batch)
        return bool(built)

    def _hand_on(self, built: Built) -> None:
        if self.on_sealed is not None:
            head = built.head
            self.on_sealed(
                Batch(
                    seq=head.seq,
                    kind=head.kind,
                    payload=built.payload,
                    readings=head.readings,
                    sealed_ms=head.sealed_ms,
                    sealed_mono_ns=head.sealed_mono_ns,
                )
            )

    def _find_damage(self, *, scans: bool) -> None:
        """What should wait in the journal and cannot be read there is lost, and is said to be."""
        ledger = self._parts.ledger
        if self._waits(scans=scans):
            gone = ledger.lose_waiting(DAMAGED)
            self._parts.declare_later(Loss(reason=DAMAGED, readings=gone))


async def _leave_room(began_s: float) -> None:
    """Polls and the uplink run between batches, for as long as the last one took: no poll waits for all of them."""
    await asyncio.sleep(min(time.monotonic() - began_s, BREATH_S))
