"""Opening after any kind of end: from the card's picture and what is left of the journal to the ledger. Pure.

Where the journal goes on from the picture, nothing is lost and numbers go on. Where it does not (power cut, another
boot, journal gone), whole records that are left are used, the numbers that may have been used are declared lost, and
numbering begins above them: no number is ever used twice.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from agent.model import BatchKind, SeqRange
from agent.ranges import RangeSet
from agent.store.journal import OldSegment
from agent.store.ledger import DECLARED, FATES, Card, Fresh, Ledger
from agent.store.losses import Loss, merged
from agent.store.outbox import OutboxRow, RawPiece
from agent.store.records import (
    OFFSET_BITS,
    Anchor,
    Record,
    RecordType,
    parse,
    parse_anchor,
    parse_batch,
    parse_cursors,
    parse_ranges,
)
from agent.store.sealing import Stamp, is_declaration, is_unsynced
from agent.store.stamps import Stamps

log = logging.getLogger(__name__)

UNCLEAN = "unclean_stop"
LEAST_GAP = 2_000
GAP_SPAN = 6_000
"""On a card whose syncs lie even what was reserved may be gone: numbers go on above by these, by chance.

Chance, because such a card can go back to the same state twice.
"""
CONNECTIONS_SKIPPED = 1_000
"""Where the journal of this boot is gone, so many connection numbers are passed over."""


@dataclass(frozen=True, slots=True)
class Salvaged:
    """A scan or event to be sealed from what is left of an earlier process, and how to stamp it."""

    record: Record
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Orphan:
    """A whole undelivered batch of a lost epoch; its content goes out again under a new number."""

    kind: BatchKind
    readings: int
    first_ms: int
    last_ms: int
    payload: bytes


@dataclass(slots=True)
class Recovered:
    """What opening has found. `adopted` segments are read on, `stale` ones deleted when the rest is on the card."""

    ledger: Ledger
    continues: bool
    adopted: tuple[OldSegment, ...] = ()
    stale: tuple[OldSegment, ...] = ()
    batches: list[OutboxRow] = field(default_factory=list)
    orphans: list[Orphan] = field(default_factory=list)
    salvaged: list[Salvaged] = field(default_factory=list)
    loss: Loss | None = None

    @property
    def brings_something(self) -> bool:
        """Whether there is something that must be on the card before anything else is read."""
        return bool(self.batches or self.orphans or self.salvaged)


def recover(
    card: Card,
    undelivered: Sequence[SeqRange],
    pieces: Sequence[RawPiece],
    segments: Sequence[OldSegment],
    boot_id: str,
    now: Anchor,
    gap: int = 0,
) -> Recovered:
    """Give the ledger and what is to be done before the store can be used.

    `gap`: so many numbers are skipped, over those that were reserved, where some may have been used.
    """
    ours = [segment for segment in segments if segment.head.epoch == card.epoch]
    adopted = tuple(segment for segment in ours if segment.head.boot_id == boot_id)
    continues = card.boot_id == boot_id and any(_holds(segment, card.position) for segment in adopted)
    found = Recovered(Ledger(card, undelivered), continues)
    _count_boots(found.ledger, card, boot_id, now, continues=continues)
    _replay(found, card, ours)
    waiting = _waiting(found.ledger, pieces, ours)
    if continues:
        found.adopted = adopted
        found.stale = tuple(segment for segment in segments if segment not in adopted)
        numbers = {segment.number for segment in adopted}
        found.ledger.saved = max((_end(p) for p in pieces if p.position >> OFFSET_BITS in numbers), default=0)
        _move_cursors(found.ledger, [record for _, record in waiting], adopted[-1].end)
    else:
        found.stale = tuple(segments)
        numbers = set()
        _number_anew(found, card, gap)
    stamps = Stamps(found.ledger, ours, boot_id, now)
    for boot, record in waiting:
        if record.position >> OFFSET_BITS in numbers:
            _wait(found.ledger, record, record.mono_ns)
        else:
            _wait(found.ledger, record, now.mono_ns)
            found.salvaged.append(Salvaged(record, stamps.of(boot)))
    lost_epochs = {segment.head.epoch for segment in segments} - {card.epoch}
    for epoch in sorted(lost_epochs):
        _adopt_epoch(found, [segment for segment in segments if segment.head.epoch == epoch], boot_id, now)
    balance(found.ledger)
    return found


def numbers_in(segments: Iterable[OldSegment], epoch: str) -> RangeSet:
    """Batches of `epoch` that the journal speaks of: it knows better than the outbox what became of them."""
    found = RangeSet()
    for record in (record for segment in segments if segment.head.epoch == epoch for record in segment.records):
        if record.type == RecordType.BATCH:
            found.add(parse_batch(record)[0].seq)
        elif record.type == RecordType.SETTLED:
            for first, last in parse_ranges(record.body):
                found.add(first, last)
    return found


def unsealed_readings(pieces: Iterable[RawPiece], scan_cursor: int) -> int:
    """How many readings the pieces hold that are not sealed, each counted once."""
    scans = (r for piece in pieces for r in parse(piece.records, piece.position) if r.type == RecordType.SCAN)
    return sum({scan.position: scan.number for scan in scans if scan.position >= scan_cursor}.values())


def _holds(segment: OldSegment, position: int) -> bool:
    return segment.start <= position <= segment.end


def _end(piece: RawPiece) -> int:
    return piece.position + len(piece.records)


def _count_boots(ledger: Ledger, card: Card, boot_id: str, now: Anchor, *, continues: bool) -> None:
    if card.boot_id != boot_id:
        ledger.boot, ledger.boot_id, ledger.boot_opened_ns, ledger.connection = card.boot + 1, boot_id, now.mono_ns, 0
        ledger.unsynced = RangeSet()
    elif not continues and card.reserved > card.high:
        ledger.connection += CONNECTIONS_SKIPPED


def _replay(found: Recovered, card: Card, segments: Iterable[OldSegment]) -> None:
    """Bring the ledger from the card's picture to the end of the journal."""
    ledger = found.ledger
    for segment in segments:
        for record in segment.records:
            later = record.position >= card.position
            if record.type == RecordType.BATCH:
                _replay_batch(found, record, later=later)
            elif record.type == RecordType.ANCHOR and later and segment.head.boot_id == ledger.boot_id:
                ledger.anchors[ledger.boot_id] = parse_anchor(record)
                ledger.anchored(ledger.anchors[ledger.boot_id])
            elif record.type == RecordType.SCAN and later:
                ledger.accepted += record.number
            elif record.type == RecordType.EVENT and later:
                ledger.undeclared = [loss for loss in ledger.undeclared if not is_declaration(record.body, loss.reason)]
            elif record.type == RecordType.SETTLED and later:
                _replay_settled(ledger, parse_ranges(record.body), FATES[record.number])
            elif record.type == RecordType.CONNECTION and segment.head.boot_id == ledger.boot_id:
                ledger.connection = max(ledger.connection, record.number)


def _replay_settled(ledger: Ledger, ranges: Sequence[SeqRange], fate: str) -> None:
    gone = ledger.settle(ranges, fate)
    if gone and fate in DECLARED:
        ledger.undeclared = merged([*ledger.undeclared, Loss(reason=fate, ranges=gone)])


def _replay_batch(found: Recovered, record: Record, *, later: bool) -> None:
    ledger = found.ledger
    head, payload = parse_batch(record)
    if head.seq <= ledger.stored_high:
        return
    fresh = Fresh(head, record.end - len(payload), len(payload))
    if later:
        waiting, events = ledger.waiting, ledger.waiting_events
        ledger.seal(head, fresh)
        ledger.waiting, ledger.waiting_events = waiting, events
        if found.continues and is_unsynced(payload):
            ledger.unsynced.add(head.seq)
    else:
        ledger.fresh[head.seq] = fresh
        if head.seq in ledger.undelivered:
            ledger.unsafe[head.seq] = head
            ledger.stored += head.readings
    if not found.continues:
        found.batches.append(OutboxRow(head, payload))


def _waiting(ledger: Ledger, pieces: Iterable[RawPiece], segments: Iterable[OldSegment]) -> list[tuple[str, Record]]:
    """Every record that is not sealed yet, with its boot, in the order of writing; each once."""
    records: dict[int, tuple[str, Record]] = {}
    for piece in pieces:
        records.update((r.position, (piece.boot_id, r)) for r in parse(piece.records, piece.position))
    for segment in segments:
        records.update((r.position, (segment.head.boot_id, r)) for r in segment.records)
    waiting = [entry for _, entry in sorted(records.items())]
    return [(boot, record) for boot, record in waiting if _is_unsealed(record, ledger.scan_cursor, ledger.event_cursor)]


def _is_unsealed(record: Record, scan_cursor: int, event_cursor: int) -> bool:
    if record.type == RecordType.SCAN:
        return record.position >= scan_cursor
    return record.type == RecordType.EVENT and record.position >= event_cursor


def _move_cursors(ledger: Ledger, waiting: Sequence[Record], end: int) -> None:
    """Each to the first record of its kind that waits: what is before it need not go onto the card for its sake."""
    scans = (record.position for record in waiting if record.type == RecordType.SCAN)
    events = (record.position for record in waiting if record.type == RecordType.EVENT)
    ledger.scan_cursor = max(ledger.scan_cursor, min(scans, default=end))
    ledger.event_cursor = max(ledger.event_cursor, min(events, default=end))


def _wait(ledger: Ledger, record: Record, since_ns: int) -> None:
    """The record waits, since a time of this boot: that of another boot says nothing about when it is due."""
    if record.type == RecordType.EVENT:
        ledger.accept_event(since_ns)
    else:
        ledger.accept(record.number, since_ns)
        ledger.accepted -= record.number  # counted where it was first written


def _number_anew(found: Recovered, card: Card, gap: int) -> None:
    """Begin above every number that may have been used; declare those that nothing is left of."""
    ledger = found.ledger
    kept = RangeSet((row.head.seq, row.head.seq) for row in found.batches)
    top = max([card.reserved, *(row.head.seq for row in found.batches)])
    if kept.missing(card.stored_high + 1, top):  # the stop was unclean
        top += gap
    lost = kept.missing(card.stored_high + 1, top)
    for first, last in lost:
        ledger.undelivered.discard(first, last)
    ledger.fresh.clear()
    ledger.unsafe.clear()
    ledger.high = ledger.stored_high = ledger.reserved = top
    if lost:
        found.loss = Loss(reason=UNCLEAN, ranges=lost, held_s=card.held_s)


def _adopt_epoch(found: Recovered, segments: Sequence[OldSegment], boot_id: str, now: Anchor) -> None:
    """The outbox of these segments is gone: what they hold undelivered goes out under the new epoch."""
    stamps = Stamps(None, segments, boot_id, now)
    orphans: dict[int, Orphan] = {}
    scan_cursor = event_cursor = 0
    for record in (record for segment in segments for record in segment.records):
        if record.type == RecordType.BATCH:
            head, payload = parse_batch(record)
            orphans[head.seq] = Orphan(head.kind, head.readings, head.first_ms, head.last_ms, payload)
            if head.kind != "data":
                event_cursor = head.cursor
            else:
                scan_cursor = head.cursor
        elif record.type == RecordType.SEALED:
            scan_cursor, event_cursor = parse_cursors(record)
        elif record.type == RecordType.SETTLED:
            arrived = RangeSet(parse_ranges(record.body))
            orphans = {seq: orphan for seq, orphan in orphans.items() if seq not in arrived}
    for segment in segments:
        for record in segment.records:
            if _is_unsealed(record, scan_cursor, event_cursor):
                _wait(found.ledger, record, now.mono_ns)
                found.ledger.accepted += record.number if record.type == RecordType.SCAN else 0
                found.salvaged.append(Salvaged(record, stamps.of(segment.head.boot_id)))
    for orphan in orphans.values():
        if orphan.kind != "data":
            found.ledger.accept_event(now.mono_ns)
        else:
            found.ledger.accept(orphan.readings, now.mono_ns)
        found.orphans.append(orphan)


def balance(ledger: Ledger) -> None:
    """What was accepted and is nowhere was lost with the journal."""
    account = ledger.account()
    gone = account.accepted - account.delivered - account.stored - sum(account.lost.values())
    if gone > 0:
        ledger.lost[UNCLEAN] += gone
    elif gone < 0:
        log.warning("outbox: %d readings more than the account knows of; corrected", -gone)
        ledger.accepted -= gone
