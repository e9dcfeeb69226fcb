"""Verifying an outbox file: is every byte what was written, and does the account fit what is there. Changes nothing.

Each check is a struct of its own: `ok`, and what was found. What a file cannot tell is said there: readings that were
only in the journal on the RAM disk when the file was last written are accepted and in no place of the file.
"""

import sqlite3
from collections.abc import Iterator, Sequence

import msgspec

from agent.model import SeqRange
from agent.ranges import RangeSet
from agent.store.damage.damaged_file import MAX_SEQ, SavedRow
from agent.store.file_card import Damaged
from agent.store.inspection.contents import content_of
from agent.store.inspection.outbox_file import Census, OutboxFile
from agent.store.ledger import Card
from agent.store.sqlite_errors import is_held


class Check(msgspec.Struct, frozen=True, kw_only=True, tag_field="check"):
    """One thing that was looked at."""

    ok: bool


class Structure(Check, frozen=True, kw_only=True, tag="structure"):
    """The pages of the file make sense to SQLite."""

    problems: Sequence[str]


class Word(Check, frozen=True, kw_only=True, tag="picture"):
    """What the file says of itself has the checksum that it should. `checksum`: whether it has one at all."""

    checksum: bool = False
    why: str = ""


class Undelivered(Check, frozen=True, kw_only=True, tag="undelivered"):
    """What is undelivered is there. `absent`: it is not; `beyond`: numbers that were never given out.

    `in_journal`: batches that were not on the card yet; `in_salvage`: that are in a file that was set aside. Not
    `counted`: bad pages are among what is undelivered.
    """

    batches: int
    in_journal: int
    in_salvage: int
    absent: Sequence[SeqRange]
    beyond: Sequence[SeqRange]
    counted: bool


class AccountCheck(Check, frozen=True, kw_only=True, tag="account"):
    """accepted = delivered + stored + unsealed + lost + in_journal, in readings.

    Only a file that was `closed` in order has nothing in the journal; of any other, `in_journal` is what is left over.
    """

    accepted: int
    delivered: int
    stored: int
    unsealed: int
    lost: int
    in_journal: int
    closed: bool


class Stored(Check, frozen=True, kw_only=True, tag="stored"):
    """As many readings wait as the account says. `in_salvage`: that are expected in a file that was set aside.

    `found`: None where bad pages are among them.
    """

    says: int
    found: int | None
    in_salvage: int


class Rows(Check, frozen=True, kw_only=True, tag="rows"):
    """Every row has its checksum. `unreadable`: on pages that cannot be read; `unchecked`: rows of version 1."""

    batches: int
    unchecked: int
    damaged: Sequence[SeqRange]
    unreadable: Sequence[SeqRange]


class Payloads(Check, frozen=True, kw_only=True, tag="payloads"):
    """Every payload can be read and says what its row says: number, epoch, time of sealing, readings."""

    wrong: Sequence[SeqRange]


def verify(file: OutboxFile) -> Iterator[Check]:
    """Check a file; of a damaged picture nothing that follows from it. Raises `sqlite3.Error` where others hold it."""
    problems = file.problems()
    yield Structure(ok=not problems, problems=problems)
    card = None
    try:
        census = file.census()
    except (Damaged, sqlite3.Error) as err:
        if isinstance(err, sqlite3.Error) and is_held(err):
            raise
        yield Word(ok=False, why=str(err))
    else:
        yield Word(ok=True, checksum=census.picture.checked)
        card = census.picture.card
        if card is not None:
            yield from _fits(census, card)
    yield from _every_row(file, card)


def left_over(census: Census, card: Card) -> int:
    """Readings that were accepted and are in no place of the file: they were in the journal only."""
    return card.accepted - card.delivered - card.stored - census.unsealed - sum(card.lost.values())


def _fits(census: Census, card: Card) -> Iterator[Check]:
    salvages = [salvage for salvage in card.salvages if not salvage.epoch]
    elsewhere = RangeSet(part for salvage in salvages for part in (*salvage.open, *salvage.missing))
    undelivered, waiting = RangeSet(census.picture.undelivered), census.waiting
    absent = RangeSet(() if waiting is None else waiting.absent)
    in_salvage = RangeSet(part for ours in elsewhere.ranges() for part in absent.discard(*ours))
    beyond = undelivered.overlap(card.high + 1, MAX_SEQ)
    yield Undelivered(
        ok=waiting is not None and not absent and not beyond,
        batches=undelivered.count,
        in_journal=RangeSet(undelivered.overlap(card.stored_high + 1, card.high)).count,
        in_salvage=in_salvage.count,
        absent=absent.ranges(),
        beyond=beyond,
        counted=waiting is not None,
    )
    in_journal, closed = left_over(census, card), card.reserved == card.high == card.stored_high
    yield AccountCheck(
        ok=in_journal == 0 or (in_journal > 0 and not closed),
        accepted=card.accepted,
        delivered=card.delivered,
        stored=card.stored,
        unsealed=census.unsealed,
        lost=sum(card.lost.values()),
        in_journal=in_journal,
        closed=closed,
    )
    found, expected = None if waiting is None else waiting.readings, sum(salvage.expected for salvage in salvages)
    yield Stored(
        ok=found is not None and card.stored == found + expected, says=card.stored, found=found, in_salvage=expected
    )


def _every_row(file: OutboxFile, card: Card | None) -> Iterator[Check]:
    high = MAX_SEQ if card is None else card.high
    batches = unchecked = 0
    damaged, unreadable, wrong = RangeSet(), RangeSet(), RangeSet()
    for chunk in file.chunks([(1, MAX_SEQ)]):
        batches += len(chunk.rows) + len(chunk.damaged)
        unchecked += chunk.unchecked
        for seq in chunk.damaged:
            damaged.add(seq)
        for part in chunk.unreadable:
            unreadable.add(part[0], min(part[1], high))
        for row in chunk.rows:
            if not _says_what_its_row_says(row, card):
                wrong.add(row.seq)
    yield Rows(
        ok=not damaged and not unreadable,
        batches=batches,
        unchecked=unchecked,
        damaged=damaged.ranges(),
        unreadable=unreadable.ranges(),
    )
    yield Payloads(ok=not wrong, wrong=wrong.ranges())


def _says_what_its_row_says(row: SavedRow, card: Card | None) -> bool:
    content = content_of(row.payload)
    if content is None or (card is not None and card.epoch != content.epoch):
        return False
    return (content.seq, content.sealed_ms, content.readings) == (row.seq, row.sealed_ms, row.readings)
