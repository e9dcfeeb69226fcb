"""Building batches: which records go into the next one, how their times are made, and the bytes that leave.

Reads the journal and the ledger and changes neither: a batch that is built is nowhere yet. Numbers are those that
follow the highest that the ledger knows.
"""

from collections.abc import Sequence
from itertools import islice, takewhile
from typing import Final

from agent.clock import NS_PER_S, ClockState
from agent.model import BatchKind
from agent.store.draft import Built
from agent.store.parts import Parts
from agent.store.records import KINDS, Record, RecordType, SealedHead
from agent.store.recovery import Orphan, Salvaged
from agent.store.sealing import MAX_SCANS, Envelope, Stamp, seal_again, seal_scans, seal_single, stamped

GATHER_BYTES: Final = 320 * 1024
"""So much of the journal is looked at for one batch at most: more than fits into one packet when compressed."""
MARGIN: Final = 15 / 16
"""So much of what should fit, for no two batches pack alike: one that is too long is sealed again, and shorter."""
SPAN_S: Final = 3_000
"""A batch spans no more than this, so none spans an hour: a window of time is one range of the index by time."""
BATCHES_A_COMMIT: Final = 32


class Builder:
    """Makes batches out of what waits in the journal, and out of what earlier processes have left."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._gather_bytes = GATHER_BYTES

    def next(self, *, scans: bool) -> Built | None:
        """The next batch of what waits: an event, with `scans` also scans; None where there is none."""
        ledger = self._parts.ledger
        return self._next(ledger.high + 1, ledger.event_cursor, ledger.scan_cursor, scans=scans)

    def due(self, *, scans: bool) -> list[Built]:
        """As many of the next batches as go into one commit, and as there are numbers for."""
        ledger = self._parts.ledger
        built: list[Built] = []
        event_cursor, scan_cursor = ledger.event_cursor, ledger.scan_cursor
        most = min(BATCHES_A_COMMIT, ledger.reserved - ledger.high)
        while len(built) < most:
            batch = self._next(ledger.high + 1 + len(built), event_cursor, scan_cursor, scans=scans)
            if batch is None:
                break
            built.append(batch)
            if batch.head.kind != "data":
                event_cursor = batch.head.cursor
            else:
                scan_cursor = batch.head.cursor
        return built

    def salvaged(self, orphans: list[Orphan], rest: list[Salvaged]) -> list[Built]:
        """The next batches out of what was salvaged; takes from the lists what it has used."""
        ledger = self._parts.ledger
        built: list[Built] = []
        event_cursor, scan_cursor = ledger.event_cursor, ledger.scan_cursor
        while (orphans or rest) and len(built) < BATCHES_A_COMMIT:
            seq = ledger.high + 1 + len(built)
            if orphans:
                orphan = orphans.pop(0)
                before = event_cursor if orphan.kind != "data" else scan_cursor
                built.append(self._orphan(orphan, seq, ledger.low, before))
                continue
            first = rest[0]
            if first.record.type == RecordType.EVENT:
                batch = self._event(first.record, first.stamp, seq, ledger.low, event_cursor)
                event_cursor = batch.head.cursor
                del rest[0]
            else:
                records = _alike(rest)
                batch, taken = self._scans(records, first.stamp, seq, ledger.low, scan_cursor)
                scan_cursor = batch.head.cursor
                del rest[:taken]
            built.append(batch._replace(unsynced=False))  # another boot's clock: this one's steps say nothing of it
        return built

    def orphans(self, orphans: Sequence[Orphan]) -> list[Built]:
        """Batches of another epoch, put behind envelopes of this one."""
        ledger = self._parts.ledger
        built: list[Built] = []
        for orphan in orphans:
            before = ledger.scan_cursor if orphan.kind == "data" else ledger.event_cursor
            built.append(self._orphan(orphan, ledger.high + 1 + len(built), ledger.low, before))
        return built

    def _next(self, seq: int, event_cursor: int, scan_cursor: int, *, scans: bool) -> Built | None:
        stamp, low = self._parts.keeper.stamp(), self._parts.ledger.low
        if self._parts.ledger.waiting_events:
            records = self._parts.journal.records(event_cursor)
            event = next((record for record in records if record.type == RecordType.EVENT), None)
            if event is not None:
                return self._event(event, stamp, seq, low, event_cursor)
        found = self._gather(scan_cursor) if scans else []
        return self._scans(found, stamp, seq, low, scan_cursor)[0] if found else None

    def _gather(self, cursor: int) -> list[Record]:
        """The next scans that are not sealed, about as many as one batch can hold."""
        found: list[Record] = []
        size = 0
        for record in self._parts.journal.records(cursor):
            if record.type == RecordType.SCAN:
                found.append(record)
                size += len(record.body)
                if size > self._gather_bytes or len(found) >= MAX_SCANS:
                    break
        return found

    def _scans(self, records: Sequence[Record], stamp: Stamp, seq: int, low: int, before: int) -> tuple[Built, int]:
        """One batch of as many of `records` as fit, and how many that are."""
        records = _near(records)
        times = [stamp.time_ms(record.mono_ns) for record in records]
        scans = [stamped(record.body, time_ms) for record, time_ms in zip(records, times, strict=True)]
        envelope = self._envelope(stamp, seq, low)
        take, payload = seal_scans(envelope, scans, self._parts.max_payload_bytes, rows=self._parts.rows)
        self._learn(sum(len(scan) for scan in scans[:take]), len(payload))
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
        return Built(head, payload, before, stamp.state is ClockState.UNSYNC), take

    def _learn(self, text_bytes: int, payload_bytes: int) -> None:
        """How much to gather, from how the last long batch was packed: what is gathered in vain is packed twice."""
        if text_bytes > GATHER_BYTES // 4:
            fits = text_bytes * self._parts.max_payload_bytes / payload_bytes
            self._gather_bytes = min(GATHER_BYTES, max(GATHER_BYTES // 8, round(fits * MARGIN)))

    def _event(self, record: Record, stamp: Stamp, seq: int, low: int, before: int) -> Built:
        time_ms = stamp.time_ms(record.mono_ns)
        envelope = self._envelope(stamp, seq, low)
        kind = KINDS[record.number] if record.number else "event"
        payload = seal_single(envelope, kind, record.body, time_ms, self._parts.random)
        head = self._small_head(envelope, kind, 0, time_ms, time_ms, max(before, record.end))
        return Built(head, payload, before, stamp.state is ClockState.UNSYNC)

    def _orphan(self, orphan: Orphan, seq: int, low: int, before: int) -> Built:
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


def _near(records: Sequence[Record]) -> list[Record]:
    """Those at the beginning that one batch may span."""
    end_ns = records[0].mono_ns + SPAN_S * NS_PER_S
    return list(takewhile(lambda record: record.mono_ns <= end_ns, records))


def _alike(salvaged: Sequence[Salvaged]) -> list[Record]:
    """The scans at the beginning that are stamped alike: one batch has one clock state."""
    stamp = salvaged[0].stamp
    scans = takewhile(lambda entry: entry.record.type == RecordType.SCAN and entry.stamp == stamp, salvaged)
    return [entry.record for entry in islice(scans, MAX_SCANS)]
