"""What is about to go onto the card: a batch that is built, and a whole commit."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from agent import allocator
from agent.ranges import RangeSet
from agent.store.bundle import Bundle, bundles_of
from agent.store.ledger import Card
from agent.store.losses import Loss
from agent.store.outbox import EvictedRow, OutboxRow, RawPiece
from agent.store.parts import Parts
from agent.store.records import SealedHead

CHUNK_BYTES: Final = 4 * 1024 * 1024
"""About so much of what is sealed goes into one commit."""


class Built(NamedTuple):
    """A batch that is built but not yet anywhere.

    `before` is where its cursor stood; `unsynced`: its times are of this boot's clock, which was never set yet.
    """

    head: SealedHead
    payload: bytes
    before: int
    unsynced: bool = False


@dataclass(slots=True)
class Draft:
    """One commit: what the ledger said when it began. Nothing that happens meanwhile is in it."""

    card: Card
    undelivered: RangeSet
    rows: list[OutboxRow]
    pieces: list[RawPiece]
    cursor: int
    unsaved_ns: int | None
    bundles: list[Bundle] = field(default_factory=list)
    gone: list[EvictedRow] = field(default_factory=list)
    loss: Loss | None = None

    @property
    def kept(self) -> RangeSet:
        """Batches that must stay in the file: what is undelivered, and what is still to be counted."""
        return RangeSet([*self.undelivered.ranges(), *(r for s in self.card.unsettled.values() for r in s)])

    def bundle(self) -> None:
        """Keep together what needs to be read again by the IOC's wish only. Takes its time: not in the event loop."""
        kept = self.kept
        self.bundles = bundles_of(row for row in self.rows if row.head.kind == "data" and row.head.seq not in kept)
        bundled = {head.seq for bundle in self.bundles for head, _ in bundle.rows}
        self.rows = [row for row in self.rows if row.head.seq not in bundled]
        allocator.give_back()


def draw_up(parts: Parts, built: Sequence[OutboxRow], *, ahead: int, raw: bool, final: bool) -> Draft:
    """One commit of what the ledger says now, and `built`; the ledger counts as saved from here on.

    `ahead`: so many numbers are to be reserved. `raw`: with what waits unsealed. `final`: no number is used after this.
    """
    ledger = parts.ledger
    rows = [*_fresh_rows(parts, limited=not built), *built]
    stored_high = max([ledger.stored_high, *(row.head.seq for row in rows)])
    card = ledger.picture(position=parts.journal.end, stored_high=stored_high, held_s=parts.config.held_s)
    if final:
        card.reserved = ledger.high
    elif ledger.reserved - ledger.high < ahead:
        card.reserved = ledger.high + 2 * ahead
    pieces: list[RawPiece] = []
    unsaved_ns = ledger.oldest_unsaved_ns
    if unsaved_ns is not None and raw:
        start = max(ledger.saved, ledger.cursor)
        pieces = [RawPiece(at, ledger.boot_id, data) for at, data in parts.journal.slices(start)]
        ledger.oldest_unsaved_ns = None
    ledger.changed = False
    undelivered = RangeSet(ledger.undelivered.ranges())
    return Draft(card, undelivered, rows, pieces, ledger.cursor, unsaved_ns if pieces else None)


def _fresh_rows(parts: Parts, *, limited: bool) -> list[OutboxRow]:
    """Sealed batches that are only in the journal; with `limited` not all of them where they are many."""
    rows: list[OutboxRow] = []
    size, most = 0, min(CHUNK_BYTES, parts.config.outbox.max_bytes // 8)
    for fresh in parts.ledger.fresh.values():
        rows.append(OutboxRow(fresh.head, parts.journal.read(fresh.position, fresh.size)))
        size += fresh.size
        if limited and size >= most:
            break
    return rows
