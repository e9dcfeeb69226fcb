"""Rescuing: out of a damaged outbox file, or one from a dead card, a new sound one with all that can be read.

Epoch, numbers and what is undelivered stay as they were. What cannot be read any more is lost in the new file's
account, and to be declared. The new file is whole or not there; the old one is not touched.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from agent.durable import sync_folder
from agent.model import SeqRange
from agent.ranges import RangeSet
from agent.store.damage.damaged_file import MAX_SEQ, SavedRow
from agent.store.damage.salvage import CORRUPT
from agent.store.file_card import Damaged
from agent.store.inspection.outbox_file import OutboxFile, open_file
from agent.store.ledger import Card, Ledger
from agent.store.losses import Loss
from agent.store.outbox import Outbox, OutboxRow, RawPiece, open_outbox
from agent.store.recovery import balance, unsealed_readings
from agent.store.sqlite_errors import is_held

NO_LIMIT_BYTES: Final = 1 << 42


class NothingLeft(Exception):
    """Not one batch of the file can be read."""


class Rescued(msgspec.Struct, frozen=True, kw_only=True):
    """What was saved: `batches` with `readings`, of them `undelivered` with `undelivered_readings`; and `unsealed`.

    `trusted`: whether the old file's word for itself could be believed. `damaged`, `unreadable`: what was not saved.
    `missing`: what of that was undelivered. `lost`: how many readings are lost by it, None where nobody knows.
    """

    epoch: str
    trusted: bool
    batches: int
    readings: int
    undelivered: int
    undelivered_readings: int
    unsealed: int
    damaged: list[SeqRange]
    unreadable: list[SeqRange]
    missing: list[SeqRange]
    lost: int | None


class _Word(NamedTuple):
    """What the old file says of itself; where it is not `trusted`, the card knows its epoch only."""

    card: Card
    undelivered: list[SeqRange]
    pieces: list[RawPiece]
    trusted: bool


@dataclass(slots=True)
class _Found:
    """What was read; `held`: what the account counts as stored."""

    held: RangeSet
    seqs: RangeSet = field(default_factory=RangeSet)
    damaged: RangeSet = field(default_factory=RangeSet)
    unreadable: RangeSet = field(default_factory=RangeSet)
    readings: int = 0
    held_readings: int = 0

    @property
    def missing(self) -> list[SeqRange]:
        """What should be there and cannot be read."""
        return [part for one in self.held.ranges() for part in self.seqs.missing(*one)]

    @property
    def top(self) -> int:
        """The highest number that is known of."""
        return max((last for _, last in (*self.seqs.ranges(), *self.held.ranges())), default=0)

    def add(self, row: SavedRow) -> None:
        """A row was saved."""
        self.seqs.add(row.seq)
        self.readings += row.readings
        self.held_readings += row.readings if row.seq in self.held else 0


async def rescue(old: Path, new: Path) -> Rescued:
    """Make `new` out of what `old` still holds.

    Raises `UnreadableFile` or `NothingLeft` for the old file, FileExistsError where `new` is there already, and OSError
    where it cannot be written.
    """
    with open_file(old) as file:
        word = _word_of(file)
        with _made_whole(new) as part:
            with _writing():
                outbox = await open_outbox(part, NO_LIMIT_BYTES)
            try:
                found = await _bring_rows(file, outbox, word)
                ledger = _ledger_of(word, found)
                with _writing():
                    await _bring_word(outbox, word, ledger)
            finally:
                await outbox.close()
    return _told(word, found, ledger)


def _word_of(file: OutboxFile) -> _Word:
    try:
        picture = file.picture()
        if picture.card is not None:
            return _Word(picture.card, picture.undelivered, file.pieces(), trusted=True)
    except (Damaged, sqlite3.Error) as err:
        if isinstance(err, sqlite3.Error) and is_held(err):
            raise
    epoch, undelivered = file.undelivered()
    if not epoch:
        raise NothingLeft(file.path.name)
    return _Word(Card(epoch=epoch), undelivered, [], trusted=False)


async def _bring_rows(file: OutboxFile, outbox: Outbox, word: _Word) -> _Found:
    unsettled = (part for ranges in word.card.unsettled.values() for part in ranges)
    found = _Found(RangeSet([*word.undelivered, *unsettled]))
    for chunk in file.chunks([(1, MAX_SEQ)]):
        for row in chunk.rows:
            found.add(row)
        for seq in chunk.damaged:
            found.damaged.add(seq)
        for part in chunk.unreadable:
            found.unreadable.add(*part)
        with _writing():
            async with outbox.transaction():
                await outbox.write_batches([OutboxRow(row.head(), row.payload) for row in chunk.rows])
    return found


async def _bring_word(outbox: Outbox, word: _Word, ledger: Ledger) -> None:
    card = ledger.picture(position=word.card.position, stored_high=ledger.stored_high, held_s=word.card.held_s)
    async with outbox.transaction():
        await outbox.write_unsealed(word.pieces)
        await outbox.write_picture(card, ledger.undelivered.ranges(), changed=True)


def _ledger_of(word: _Word, found: _Found) -> Ledger:
    """The account of the new file: what cannot be read is lost, also what a file held that was set aside."""
    missing, held_readings = found.missing, found.held_readings
    if not word.trusted:
        top = found.top
        card = Card(epoch=word.card.epoch, high=top, reserved=top, stored_high=top)
        card.accepted = card.stored = held_readings
        card.undeclared = [Loss(reason=CORRUPT, ranges=missing)] if missing else []
        undelivered = RangeSet(word.undelivered)
        for part in missing:
            undelivered.discard(*part)
        return Ledger(card, undelivered.ranges())
    ledger = Ledger(word.card, word.undelivered)
    ledger.salvages = []
    if missing:
        ledger.give_up(missing, max(0, ledger.stored - held_readings), CORRUPT)
    ledger.stored, ledger.waiting = held_readings, unsealed_readings(word.pieces, word.card.scan_cursor)
    balance(ledger)
    return ledger


def _told(word: _Word, found: _Found, ledger: Ledger) -> Rescued:
    return Rescued(
        epoch=ledger.epoch,
        trusted=word.trusted,
        batches=found.seqs.count,
        readings=found.readings,
        undelivered=ledger.undelivered.count,
        undelivered_readings=found.held_readings,
        unsealed=ledger.waiting,
        damaged=found.damaged.ranges(),
        unreadable=RangeSet(found.unreadable.overlap(1, max(ledger.high, found.top))).ranges(),
        missing=found.missing,
        lost=sum(ledger.lost.values()) - sum(word.card.lost.values()) if word.trusted else None,
    )


@contextmanager
def _writing() -> Iterator[None]:
    """What goes wrong here is the fault of the new file, not of the old one."""
    try:
        yield
    except sqlite3.Error as err:
        raise OSError(str(err)) from err


@contextmanager
def _made_whole(new: Path) -> Iterator[Path]:
    """Write a file under another name, and give it its own when it is whole; only its owner may read it."""
    part = new.with_name(f"{new.name}.part")
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        _remove(part)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        yield part
        part.replace(new)
        sync_folder(new.parent)
    except BaseException:
        _remove(part)
        new.unlink(missing_ok=True)
        raise


def _remove(part: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        part.with_name(part.name + suffix).unlink(missing_ok=True)
