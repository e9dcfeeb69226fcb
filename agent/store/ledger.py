"""The ledger: which numbers are used, which batches have arrived, and where every reading is. Pure.

It keeps the account accepted = delivered + stored + lost. `Card` is its picture on the card, taken at one position of
the journal; that picture and the journal from that position on give the ledger again.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec

from agent.clock import ClockState
from agent.model import Account, SeqRange
from agent.ranges import RangeSet
from agent.store.damage.salvage import Salvage
from agent.store.losses import Loss, merged
from agent.store.records import Anchor, SealedHead

DELIVERED: Final = "delivered"
REJECTED: Final = "rejected"
DAMAGED: Final = "damaged"
FORGOTTEN: Final = "forgotten"
FATES: Final = (DELIVERED, REJECTED, DAMAGED, FORGOTTEN)
"""Of a batch: it arrived, the broker refuses it, the card gives back other bytes, somebody gave it up on purpose.

Their order is part of the format.
"""
DECLARED: Final = (DAMAGED, FORGOTTEN)
"""Fates that the IOC is told of in a `data.lost` event."""


class Card(msgspec.Struct, kw_only=True):
    """What the outbox file says of itself; a row of `meta` each. Positions are those of the journal.

    `reserved`: numbers up to here may have been used. `stored_high`: batches up to here are in the file.
    `position`: everything the journal says before it is in this picture. `anchors`: the wall clock of this boot,
    and of those whose readings are not sealed yet. `unsynced`: batches whose times are of this boot's clock before it
    was set.
    """

    epoch: str
    boot: int = 0
    boot_id: str = ""
    boot_opened_ns: int = 0
    unsynced: list[SeqRange] = []
    connection: int = 0
    high: int = 0
    reserved: int = 0
    stored_high: int = 0
    position: int = 0
    scan_cursor: int = 0
    event_cursor: int = 0
    accepted: int = 0
    delivered: int = 0
    stored: int = 0
    dead: int = 0
    held_s: float = 0.0
    lost: dict[str, int] = {}
    unsettled: dict[str, list[SeqRange]] = {}
    undeclared: list[Loss] = []
    anchors: dict[str, Anchor] = {}
    salvages: list[Salvage] = []


class Fresh(msgspec.Struct, frozen=True):
    """A sealed batch that is only in the journal yet: its head, and where its record is."""

    head: SealedHead
    position: int
    size: int


class Ledger:
    """Everything the store knows, but no payload. All changes are immediate; nothing here waits."""

    def __init__(self, card: Card, undelivered: Iterable[SeqRange] = ()) -> None:
        self.epoch = card.epoch
        self.boot = card.boot
        self.boot_id = card.boot_id
        self.boot_opened_ns = card.boot_opened_ns
        self.unsynced = RangeSet(card.unsynced)
        self.connection = card.connection
        self.high = card.high
        self.reserved = card.reserved
        self.stored_high = card.stored_high
        self.scan_cursor = card.scan_cursor
        self.event_cursor = card.event_cursor
        self.accepted = card.accepted
        self.delivered = card.delivered
        self.stored = card.stored
        self.dead = card.dead
        self.lost = Counter(card.lost)
        self.undelivered = RangeSet(undelivered)
        self.unsettled = {fate: RangeSet(card.unsettled.get(fate, ())) for fate in FATES}
        self.undeclared = list(card.undeclared)
        self.anchors = dict(card.anchors)
        self.salvages = list(card.salvages)
        self.fresh: dict[int, Fresh] = {}
        self.unsafe: dict[int, SealedHead] = {}
        self.waiting = 0
        self.waiting_events = 0
        self.oldest_waiting_ns: int | None = None
        self.oldest_unsaved_ns: int | None = None
        self.saved = 0
        self.changed = False

    @property
    def cursor(self) -> int:
        """Everything in the journal before this is sealed."""
        if self.waiting and self.waiting_events:
            return min(self.scan_cursor, self.event_cursor)
        if self.waiting:
            return self.scan_cursor
        return self.event_cursor if self.waiting_events else max(self.scan_cursor, self.event_cursor)

    @property
    def low(self) -> int:
        """The lowest undelivered number; the next one where there is none."""
        first = self.undelivered.first
        return self.high + 1 if first is None else first

    @property
    def absent(self) -> RangeSet:
        """Undelivered batches that are still to be looked for in a file that was set aside."""
        return RangeSet(part for salvage in self.salvages if not salvage.epoch for part in salvage.open)

    def account(self) -> Account:
        """Where the readings are. What has arrived counts as stored until its readings are counted."""
        return Account(
            accepted=self.accepted,
            delivered=self.delivered,
            stored=self.stored + self.waiting,
            waiting=self.waiting,
            lost=dict(self.lost),
        )

    def accept(self, readings: int, mono_ns: int) -> None:
        """A scan is in the journal."""
        self.changed = True
        self.accepted += readings
        self.waiting += readings
        if self.oldest_waiting_ns is None:
            self.oldest_waiting_ns = mono_ns
        if self.oldest_unsaved_ns is None:
            self.oldest_unsaved_ns = mono_ns

    def accept_event(self, mono_ns: int) -> None:
        """An event is in the journal."""
        self.changed = True
        self.waiting_events += 1
        if self.oldest_unsaved_ns is None:
            self.oldest_unsaved_ns = mono_ns

    def lose(self, reason: str, readings: int) -> None:
        """Readings that were accepted, and waited for nothing but to be written, are gone."""
        self.changed = True
        self.accepted += readings
        self.lost[reason] += readings

    def lose_waiting(self, reason: str) -> int:
        """What waits for sealing cannot be read back; gives how many readings that are."""
        gone, self.waiting, self.waiting_events = self.waiting, 0, 0
        self.lost[reason] += gone
        return gone

    def seal(self, head: SealedHead, fresh: Fresh | None = None) -> None:
        """A batch is sealed; with `fresh` it is in the journal, else it is about to be on the card."""
        self.changed = True
        self.high = head.seq
        self.undelivered.add(head.seq)
        self._move_cursor(head, -1)
        if fresh is not None:
            self.fresh[head.seq] = fresh
            self.unsafe[head.seq] = head

    def unseal(self, head: SealedHead, cursor: int) -> None:
        """A batch did not get onto the card and nobody has seen it: as if it had never been sealed."""
        self.high = head.seq - 1
        self.unsynced.discard(head.seq)
        self.undelivered.discard(head.seq)
        self._move_cursor(msgspec.structs.replace(head, cursor=cursor), 1)

    def take_over(self, head: SealedHead) -> None:
        """A batch of a lost epoch is accepted and sealed at once."""
        self.accepted += head.readings
        self.waiting += head.readings
        self.waiting_events += head.kind != "data"
        self.seal(head)

    def hand_back(self, head: SealedHead, cursor: int) -> None:
        """It did not get onto the card: as if it had never been taken over."""
        self.unseal(head, cursor)
        self.accepted -= head.readings
        self.waiting -= head.readings
        self.waiting_events -= head.kind != "data"

    def sealed_all(self, end: int) -> None:
        """Nothing that waits is left in the journal up to `end`."""
        self.scan_cursor = self.event_cursor = end
        self.oldest_waiting_ns = self.oldest_unsaved_ns = None

    def settle(self, ranges: Iterable[SeqRange], fate: str = DELIVERED) -> list[SeqRange]:
        """These have met their fate; gives which of them were undelivered until now."""
        gone = [part for first, last in ranges for part in self.undelivered.discard(first, last)]
        for first, last in gone:
            self.changed = True
            self.unsettled[fate].add(first, min(last, self.stored_high))
            for seq in range(max(first, self.stored_high + 1), last + 1):
                head = self.unsafe.pop(seq, None)
                if head is None:
                    self.unsettled[fate].add(seq)
                else:
                    self._count(fate, 1, head.readings)
        return gone

    def settled(self, fate: str, ranges: Iterable[SeqRange], batches: int, readings: int) -> None:
        """The readings of batches on the card that met their fate have been counted."""
        self.changed = True
        for first, last in ranges:
            self.unsettled[fate].discard(first, last)
        self._count(fate, batches, readings)

    def evict(self, rows: Iterable[tuple[int, int]], loss: Loss | None) -> None:
        """Undelivered batches (number, readings) had to go from the card; what arrived meanwhile counts as such."""
        for seq, readings in rows:
            fate = next((fate for fate in FATES if seq in self.unsettled[fate]), None)
            if fate is not None:
                self.settled(fate, [(seq, seq)], 1, readings)
            elif self.undelivered.discard(seq) and loss is not None:
                self.stored -= readings
                self.lost[loss.reason] += readings
        if loss is not None:
            self.undeclared = merged([*self.undeclared, loss])

    def give_up(self, ranges: Iterable[SeqRange], readings: int, reason: str) -> None:
        """Batches that cannot be read any more, and the readings that they held together, are lost."""
        self.changed = True
        unsettled = [(fate, part) for fate, waiting in self.unsettled.items() for part in _within(waiting, ranges)]
        for fate, (first, last) in unsettled:
            self.unsettled[fate].discard(first, last)
        gone = RangeSet(part for first, last in ranges for part in self.undelivered.discard(first, last))
        readings = min(readings, self.stored)
        self.stored -= readings
        if gone:
            self.lost[reason] += readings
            self.undeclared = merged([*self.undeclared, Loss(reason=reason, ranges=gone.ranges(), readings=readings)])
        elif unsettled and unsettled[0][0] != DELIVERED:
            self.lost[unsettled[0][0]] += readings
        else:
            self.delivered += readings

    def anchored(self, anchor: Anchor) -> None:
        """The clock of this boot was looked at; once it is right, its steps say nothing of times before."""
        self.changed = True
        if anchor.state is not ClockState.UNSYNC:
            self.unsynced = RangeSet()

    def salvage_went_on(self, after: Salvage) -> None:
        """So far is the salvage now that goes by this name."""
        self.changed = True
        self.salvages = [after if salvage.name == after.name else salvage for salvage in self.salvages]

    def committed(self, stored_high: int) -> None:
        """Batches up to `stored_high` are on the card."""
        for seq in [seq for seq in self.fresh if seq <= stored_high]:
            del self.fresh[seq]
            self.unsafe.pop(seq, None)
        self.stored_high = max(self.stored_high, stored_high)

    def picture(self, *, position: int, stored_high: int, held_s: float) -> Card:
        """What goes onto the card together with the batches up to `stored_high`."""
        only_in_journal = sum(head.readings for seq, head in self.unsafe.items() if seq > stored_high)
        return Card(
            epoch=self.epoch,
            boot=self.boot,
            boot_id=self.boot_id,
            boot_opened_ns=self.boot_opened_ns,
            unsynced=self.unsynced.ranges(),
            connection=self.connection,
            high=self.high,
            reserved=self.reserved,
            stored_high=stored_high,
            position=position,
            scan_cursor=self.scan_cursor,
            event_cursor=self.event_cursor,
            accepted=self.accepted,
            delivered=self.delivered,
            stored=self.stored - only_in_journal,
            dead=self.dead,
            held_s=held_s,
            lost=dict(self.lost),
            unsettled={fate: ranges.ranges() for fate, ranges in self.unsettled.items()},
            undeclared=list(self.undeclared),
            anchors=dict(self.anchors),
            salvages=list(self.salvages),
        )

    def _move_cursor(self, head: SealedHead, sign: int) -> None:
        self.stored -= sign * head.readings
        self.waiting += sign * head.readings
        if head.kind != "data":
            self.event_cursor = head.cursor
            self.waiting_events += sign
        else:
            self.scan_cursor = head.cursor

    def _count(self, fate: str, batches: int, readings: int) -> None:
        readings = min(readings, self.stored)  # a damaged row may say anything
        self.stored -= readings
        if fate == DELIVERED:
            self.delivered += readings
            return
        self.lost[fate] += readings
        if fate == REJECTED:
            self.dead += batches


def _within(numbers: RangeSet, ranges: Iterable[SeqRange]) -> list[SeqRange]:
    return [part for first, last in ranges for part in numbers.overlap(first, last)]
