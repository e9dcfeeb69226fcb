"""What a new outbox, under a new epoch, takes over from a file that had to give way: a copy, or a damaged one. Pure.

Batches are left to the salvage. What was not sealed yet, and losses that were not declared yet, come along at once.
Readings are sealed again only where it is known which of them were not sealed before, and what time it was when they
were read; where nobody vouches for that time, they say `unsync`. All others count as lost, and are declared.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from agent.clock import ClockState
from agent.ranges import RangeSet
from agent.store.damage.damaged_word import Word
from agent.store.damage.salvage import CORRUPT, Salvage
from agent.store.journal import OldSegment
from agent.store.ledger import Card
from agent.store.losses import Loss, merged
from agent.store.outbox import RawPiece
from agent.store.records import OFFSET_BITS, Anchor, parse
from agent.store.recovery import numbers_in, unsealed_readings


class Inheritance(NamedTuple):
    """What the new file begins with; its epoch and numbers are its own."""

    card: Card
    pieces: list[RawPiece]


def from_copy(epoch: str, card: Card, pieces: Sequence[RawPiece], segments: Sequence[OldSegment]) -> Inheritance:
    """From a file that is sound, but another may have gone on from."""
    return _of(epoch, card, _only_there(pieces, card.epoch, segments))


def from_damaged(epoch: str, word: Word, segments: Sequence[OldSegment], boot_id: str) -> Inheritance:
    """From a file of which not everything can be read."""
    card = word.card or Card(epoch=word.epoch)
    pieces = _only_there(word.pieces, card.epoch, segments)
    sane = word.card is not None and _is_sane(card, pieces)
    usable = [piece for piece in pieces if sane and _can_be_stamped(piece, card, boot_id)]
    kept = card if word.checked else msgspec.structs.replace(card, anchors=_doubted(card.anchors))
    found = _of(epoch, kept, usable)
    lost = unsealed_readings(pieces, card.scan_cursor if sane else 0) - found.card.accepted
    known = word.all_pieces and (word.epoch or (word.checked and not card.stored))
    if lost or not known:
        loss = Loss(reason=CORRUPT, readings=lost if known else None)
        found.card.accepted += lost
        found.card.lost = {CORRUPT: lost} if lost else {}
        found.card.undeclared = merged([*found.card.undeclared, loss])
    return found


def batches_of(name: str, reason: str, word: Word, segments: Sequence[OldSegment]) -> Salvage:
    """What there is to be saved: what is undelivered in the file, but what the journal speaks of comes from there."""
    wanted = RangeSet(word.undelivered)
    for first, last in numbers_in(segments, word.epoch).ranges():
        wanted.discard(first, last)
    return Salvage(name=name, reason=reason, wanted=wanted.ranges(), epoch=word.epoch or "unknown")


def _of(epoch: str, old: Card, pieces: list[RawPiece]) -> Inheritance:
    """Positions are those of the old file, the journal goes on above them. Its numbers would say nothing."""
    ends = (piece.position + len(piece.records) for piece in pieces)
    card = Card(
        epoch=epoch,
        position=max(old.position, *ends, 0),
        scan_cursor=old.scan_cursor,
        event_cursor=old.event_cursor,
        anchors=old.anchors,
        accepted=unsealed_readings(pieces, old.scan_cursor),
        undeclared=[msgspec.structs.replace(loss, ranges=()) for loss in old.undeclared],
    )
    return Inheritance(card, pieces)


def _only_there(pieces: Sequence[RawPiece], epoch: str, segments: Sequence[OldSegment]) -> list[RawPiece]:
    """The pieces of the journal that the journal itself does not hold any more."""
    numbers = {segment.number for segment in segments if segment.head.epoch == epoch or not epoch}
    return [piece for piece in pieces if piece.position >> OFFSET_BITS not in numbers]


def _is_sane(card: Card, pieces: Sequence[RawPiece]) -> bool:
    """Whether the cursors can be those of these pieces: within them, each is where a record begins or ends."""
    for piece in pieces:
        records = list(parse(piece.records, piece.position))
        borders = {piece.position, *(record.end for record in records)}
        for cursor in (card.scan_cursor, card.event_cursor):
            if piece.position < cursor < piece.position + len(piece.records) and cursor not in borders:
                return False
    return True


def _can_be_stamped(piece: RawPiece, card: Card, boot_id: str) -> bool:
    return piece.boot_id == boot_id or piece.boot_id in card.anchors


def _doubted(anchors: Mapping[str, Anchor]) -> dict[str, Anchor]:
    return {boot: anchor._replace(state=ClockState.UNSYNC) for boot, anchor in anchors.items()}
