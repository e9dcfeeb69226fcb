"""What is about to go onto the card: a batch that is built, and a whole commit."""

from dataclasses import dataclass, field
from typing import NamedTuple

from agent.ranges import RangeSet
from agent.store.ledger import Card, Loss
from agent.store.outbox import EvictedRow, OutboxRow, RawPiece
from agent.store.records import SealedHead


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
    gone: list[EvictedRow] = field(default_factory=list)
    loss: Loss | None = None

    @property
    def kept(self) -> RangeSet:
        """Batches that must stay in the file: what is undelivered, and what is still to be counted."""
        return RangeSet([*self.undelivered.ranges(), *(r for s in self.card.unsettled.values() for r in s)])
