"""The sealer: turns what the journal holds into numbered batches, each `batch_interval`, events at once.

It reads the readings back from the journal, so memory does not grow while readings wait for the clock. A batch is a
record in the journal before it is handed on; where a power cut could bring the same readings back under another
number, it is on the card first. Batches are handed on in the order of their numbers.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import islice, takewhile
from typing import Final

from agent.clock import NS_PER_S
from agent.model import Batch, BatchKind, Event
from agent.store.committer import Committer
from agent.store.draft import Built
from agent.store.ledger import Fresh, Loss
from agent.store.parts import Parts
from agent.store.records import (
    BATCH_HEAD_BYTES,
    HEADER_BYTES,
    KINDS,
    Record,
    RecordType,
    SealedHead,
    pack_batch,
    pack_cursors,
)
from agent.store.recovery import Orphan, Recovered, Salvaged
from agent.store.salvage import Salvage
from agent.store.sealing import MAX_SCANS, Envelope, Stamp, seal_again, seal_scans, seal_single, stamped

GATHER_BYTES: Final = 320 * 1024
"""So much of the journal is looked at for one batch: about what fits into one packet when compressed."""
HELD_BYTES: Final = 12 * 1024 * 1024
"""So much of the journal may wait for its time; it lies in memory, and a power cut would bring it back as it is."""
BATCHES_A_COMMIT: Final = 32
AGAIN_S: Final = 1.0
"""How soon to look again whether the clock, the card or the numbers allow what they did not allow before."""
DAMAGED: Final = "journal_damaged"


class Sealer:
    """The only one that gives out numbers."""

    def __init__(self, parts: Parts, committer: Committer) -> None:
        self.on_sealed: Callable[[Batch], None] | None = None
        self._parts = parts
        self._committer = committer
        self._lock = asyncio.Lock()
        self._not_before_ns = 0

    async def run(self) -> None:
        """Seal what is due, for ever."""
        while True:
            await self.seal_due()
            if await self._parts.wait(self._parts.seal_wake, self.due_ns()):
                self._not_before_ns = 0

    async def seal_due(self) -> None:
        """Seal what is due now; look whether the clock has stepped."""
        self._watch_clock()
        due_ns, now_ns = self.due_ns(), self._parts.clock.mono_ns()
        if due_ns is None or due_ns > now_ns:
            return
        scans_due_ns = self._scans_due_ns()
        scans = scans_due_ns is not None and scans_due_ns <= now_ns
        high = self._parts.ledger.high
        done = await self.seal(scans=scans) or self._parts.ledger.high > high  # what came meanwhile is next
        self._not_before_ns = 0 if done else now_ns + round(AGAIN_S * NS_PER_S)

    async def seal(self, *, scans: bool) -> bool:
        """Seal all events that wait, with `scans` also all scans; False where some of them have to wait on."""
        ledger = self._parts.ledger
        async with self._lock:
            more = True
            while more and not self._holding():
                more = await self._seal_next(scans=scans)
                await asyncio.sleep(0)  # polls and the uplink run between batches
            if not ledger.waiting and not ledger.waiting_events:
                ledger.sealed_all(self._parts.journal.end)
            return not ledger.waiting_events and not (scans and ledger.waiting)

    def much_waits(self) -> bool:
        """Whether so much waits to be sealed that it cannot wait longer, neither for its interval nor for the clock."""
        parts = self._parts
        return parts.journal.bytes_from(parts.ledger.cursor) > min(HELD_BYTES, parts.config.outbox.max_bytes // 8)

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
                if not await self._committer.commit_built(lambda: self._build_salvaged(orphans, rest)):
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
            return await self._committer.commit_orphans(lambda: self._build_orphans(orphans), after)

    def _build_orphans(self, orphans: Sequence[Orphan]) -> list[Built]:
        ledger = self._parts.ledger
        built: list[Built] = []
        for orphan in orphans:
            before = ledger.scan_cursor if orphan.kind == "data" else ledger.event_cursor
            built.append(self._build_orphan(orphan, ledger.high + 1 + len(built), ledger.low, before))
        return built

    def _salvaged_all(self) -> None:
        ledger = self._parts.ledger
        ledger.scan_cursor = ledger.event_cursor = max(ledger.scan_cursor, ledger.event_cursor)
        ledger.anchors = {ledger.boot_id: self._parts.keeper.anchor}
        if not ledger.waiting and not ledger.waiting_events:
            ledger.sealed_all(self._parts.journal.end)

    def due_ns(self) -> int | None:
        """When there is something to seal next, on the monotonic clock; None where nothing waits."""
        due_ns = self._parts.clock.mono_ns() if self._parts.ledger.waiting_events else self._scans_due_ns()
        return None if due_ns is None else max(due_ns, self._not_before_ns)

    def _scans_due_ns(self) -> int | None:
        oldest_ns = self._parts.ledger.oldest_waiting_ns
        interval_ns = round(self._parts.config.outbox.batch_interval_s * NS_PER_S)
        return None if oldest_ns is None else oldest_ns + (0 if self.much_waits() else interval_ns)

    def _holding(self) -> bool:
        return self._parts.keeper.holding() and not self.much_waits()

    def _watch_clock(self) -> None:
        parts, step_ms = self._parts, self._parts.keeper.step_ms()
        if step_ms is not None:
            parts.append_event(
                Event(
                    type="clock.step",
                    severity="minor",
                    mono_ns=parts.clock.mono_ns(),
                    message={"vi": "Đồng hồ đã được chỉnh", "en": "The clock was set"},
                    offset_ms=step_ms,
                )
            )
        if step_ms is not None or parts.keeper.state_changed():
            try:
                parts.anchor_clock()
            except OSError as err:
                parts.journal_failed(err)

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
        built = self._build_next(ledger.high + 1, ledger.low, ledger.event_cursor, ledger.scan_cursor, scans=scans)
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
        if not ledger.unsafe:
            parts.commit_wake.set()
        ledger.seal(built.head, Fresh(built.head, start, len(built.payload)))
        self._hand_on(built)
        return True

    async def _seal_onto_card(self, *, scans: bool) -> bool:
        parts, ledger = self._parts, self._parts.ledger
        built = await self._committer.commit_built(lambda: self._build_some(scans=scans))
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
        if ledger.waiting_events or (scans and ledger.waiting):
            gone = ledger.lose_waiting(DAMAGED)
            self._parts.declare_later(Loss(reason=DAMAGED, readings=gone))

    def _build_some(self, *, scans: bool) -> list[Built]:
        ledger = self._parts.ledger
        built: list[Built] = []
        event_cursor, scan_cursor = ledger.event_cursor, ledger.scan_cursor
        most = min(BATCHES_A_COMMIT, ledger.reserved - ledger.high)
        while len(built) < most:
            batch = self._build_next(ledger.high + 1 + len(built), ledger.low, event_cursor, scan_cursor, scans=scans)
            if batch is None:
                break
            built.append(batch)
            if batch.head.kind != "data":
                event_cursor = batch.head.cursor
            else:
                scan_cursor = batch.head.cursor
        return built

    def _build_next(self, seq: int, low: int, event_cursor: int, scan_cursor: int, *, scans: bool) -> Built | None:
        stamp = self._parts.keeper.stamp()
        if self._parts.ledger.waiting_events:
            records = self._parts.journal.records(event_cursor)
            event = next((record for record in records if record.type == RecordType.EVENT), None)
            if event is not None:
                return self._build_event(event, stamp, seq, low, event_cursor)
        found = self._gather(scan_cursor) if scans else []
        return self._build_scans(found, stamp, seq, low, scan_cursor)[0] if found else None

    def _gather(self, cursor: int) -> list[Record]:
        """The next scans that are not sealed, about as many as one batch can hold."""
        found: list[Record] = []
        size = 0
        for record in self._parts.journal.records(cursor):
            if record.type == RecordType.SCAN:
                found.append(record)
                size += len(record.body)
                if size > GATHER_BYTES or len(found) >= MAX_SCANS:
                    break
        return found

    def _build_salvaged(self, orphans: list[Orphan], rest: list[Salvaged]) -> list[Built]:
        """The next batches out of what was salvaged; takes from the lists what it has used."""
        ledger = self._parts.ledger
        built: list[Built] = []
        event_cursor, scan_cursor = ledger.event_cursor, ledger.scan_cursor
        while (orphans or rest) and len(built) < BATCHES_A_COMMIT:
            seq = ledger.high + 1 + len(built)
            if orphans:
                orphan = orphans.pop(0)
                before = event_cursor if orphan.kind != "data" else scan_cursor
                built.append(self._build_orphan(orphan, seq, ledger.low, before))
                continue
            first = rest[0]
            if first.record.type == RecordType.EVENT:
                batch = self._build_event(first.record, first.stamp, seq, ledger.low, event_cursor)
                event_cursor = batch.head.cursor
                del rest[0]
            else:
                records = _alike(rest)
                batch, taken = self._build_scans(records, first.stamp, seq, ledger.low, scan_cursor)
                scan_cursor = batch.head.cursor
                del rest[:taken]
            built.append(batch)
        return built

    def _build_scans(
        self, records: Sequence[Record], stamp: Stamp, seq: int, low: int, before: int
    ) -> tuple[Built, int]:
        """One batch of as many of `records` as fit, and how many that are."""
        times = [stamp.time_ms(record.mono_ns) for record in records]
        scans = [stamped(record.body, time_ms) for record, time_ms in zip(records, times, strict=True)]
        envelope = self._envelope(stamp, seq, low)
        take, payload = seal_scans(envelope, scans, self._parts.config.max_payload_bytes)
        taken, times = records[:take], times[:take]
        head = SealedHead(
            seq=seq,
            kind="data",
            readings=sum(record.number for record in taken),
            sealed_ms=envelope.sealed_ms,
            sealed_mono_ns=self._parts.clock.mono_ns(),
            first_ms=min(times),
            last_ms=max(times),
            oldest_mono_ns=min(record.mono_ns for record in taken),
            cursor=max(before, taken[-1].end),
        )
        return Built(head, payload, before), take

    def _build_event(self, record: Record, stamp: Stamp, seq: int, low: int, before: int) -> Built:
        time_ms = stamp.time_ms(record.mono_ns)
        envelope = self._envelope(stamp, seq, low)
        kind = KINDS[record.number] if record.number else "event"
        payload = seal_single(envelope, kind, record.body, time_ms, self._parts.random)
        return Built(self._small_head(envelope, kind, 0, time_ms, time_ms, max(before, record.end)), payload, before)

    def _build_orphan(self, orphan: Orphan, seq: int, low: int, before: int) -> Built:
        envelope = self._envelope(self._parts.keeper.stamp(), seq, low)
        payload = seal_again(envelope, orphan.payload)
        head = self._small_head(envelope, orphan.kind, orphan.readings, orphan.first_ms, orphan.last_ms, before)
        return Built(head, payload, before)

    def _small_head(
        self, envelope: Envelope, kind: BatchKind, readings: int, first_ms: int, last_ms: int, cursor: int
    ) -> SealedHead:
        now_ns = self._parts.clock.mono_ns()
        waiting_ns = self._parts.ledger.oldest_waiting_ns
        return SealedHead(
            seq=envelope.seq,
            kind=kind,
            readings=readings,
            sealed_ms=envelope.sealed_ms,
            sealed_mono_ns=now_ns,
            first_ms=first_ms,
            last_ms=last_ms,
            # An event overtakes older readings; the first batch that is not on the card must be due first.
            oldest_mono_ns=now_ns if waiting_ns is None else min(now_ns, waiting_ns),
            cursor=cursor,
        )

    def _envelope(self, stamp: Stamp, seq: int, low: int) -> Envelope:
        parts = self._parts
        return Envelope(
            gateway=parts.config.gateway,
            epoch=parts.ledger.epoch,
            config=parts.config_hash,
            seq=seq,
            sealed_ms=parts.clock.wall_ms(),
            low=low,
            clock=stamp.state,
        )


def _alike(salvaged: Sequence[Salvaged]) -> list[Record]:
    """The scans at the beginning that are stamped alike: one batch has one clock state."""
    stamp = salvaged[0].stamp
    scans = takewhile(lambda entry: entry.record.type == RecordType.SCAN and entry.stamp == stamp, salvaged)
    return [entry.record for entry in islice(scans, MAX_SCANS)]
