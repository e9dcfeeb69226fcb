"""Opening the store, whatever the last end was like: lock, file, journal, recovery. One process at a time.

A file that is damaged, or is a copy of the one that numbers were given out for, is set aside; what it and the journal
still hold undelivered goes out under a new epoch.
"""

import asyncio
import errno
import fcntl
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from random import Random, SystemRandom
from typing import Final, NamedTuple

from agent.clock import Clock
from agent.model import SeqRange
from agent.store.damage.damaged_word import Word, word_of
from agent.store.damage.inheritance import batches_of, from_copy, from_damaged
from agent.store.damage.patience import looks
from agent.store.damage.renewal import aside_name, finish, make_new
from agent.store.damage.salvage import CORRUPT, RESTORED, Salvage
from agent.store.disk import Disk
from agent.store.file_card import Damaged, Picture
from agent.store.journal import Journal, OldSegment, is_ram_disk, last_number, old_segments
from agent.store.ledger import Card, Ledger
from agent.store.numbers import Numbers
from agent.store.outbox import Outbox, RawPiece, open_outbox
from agent.store.parts import Parts, StoreConfig, StoreError
from agent.store.records import OFFSET_BITS
from agent.store.recovery import GAP_SPAN, LEAST_GAP, recover
from agent.store.schema import NewerSchema
from agent.store.sqlite_errors import is_damaged
from agent.store.store import Store
from agent.store.timekeeper import Timekeeper, anchor_now
from agent.supervise import Episode

log = logging.getLogger(__name__)

OUTBOX_NAME: Final = "outbox.db"
LOCK_NAME: Final = "outbox.lock"
JOURNAL_NAME: Final = "journal"


class _Opened(NamedTuple):
    """The file, and what it says of itself; `aside`: the one that had to give way to it."""

    outbox: Outbox
    card: Card
    undelivered: list[SeqRange]
    pieces: list[RawPiece]
    aside: Salvage | None = None


@asynccontextmanager
async def open_store(config: StoreConfig, clock: Clock, random: Random | None = None) -> AsyncIterator[Store]:
    """Open the store, whatever the last end was like; leaving stops it cleanly.

    Raises `StoreError` where the folders or the file cannot be used, or another process uses them.
    """
    random = random or SystemRandom()
    journal_folder = config.runtime_dir / JOURNAL_NAME
    async with AsyncExitStack() as stack:
        try:
            config.data_dir.mkdir(parents=True, exist_ok=True)
            journal_folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_only_one(config.data_dir / LOCK_NAME))
            segments = old_segments(journal_folder)
            numbers = Numbers(config.data_dir)
            opened = await _open_sound(config, clock, random, numbers, segments)
            outbox, card = opened.outbox, opened.card
            card.reserved = max(card.reserved, numbers.bound_of(card.epoch))
            number = max(last_number(journal_folder), card.position >> OFFSET_BITS) + 1
            gap = LEAST_GAP + random.randrange(GAP_SPAN)
            found = recover(card, opened.undelivered, opened.pieces, segments, clock.boot_id, anchor_now(clock), gap)
            del segments
            journal = Journal(journal_folder, number, found.adopted)
            parts = _parts(config, clock, random, outbox, numbers, journal, found.ledger)
            stack.push_async_callback(_close_file, parts)
            stack.callback(journal.close, delete=False)
            journal.begin = parts.begin_segment
            journal.begin()
            store = Store(parts)
            await store.begin(found, opened.aside)
        except (sqlite3.Error, NewerSchema, OSError) as err:
            where = config.data_dir / OUTBOX_NAME
            raise StoreError(f"cannot open the outbox {where}, journal {journal_folder}: {err}") from err
        stack.push_async_callback(store.end)
        yield store


def _parts(
    config: StoreConfig,
    clock: Clock,
    random: Random,
    outbox: Outbox,
    numbers: Numbers,
    journal: Journal,
    ledger: Ledger,
) -> Parts:
    anchor = ledger.anchors.get(clock.boot_id)
    return Parts(
        config=config,
        clock=clock,
        random=random,
        journal=journal,
        ledger=ledger,
        keeper=Timekeeper(clock, ledger.boot_opened_ns, config.hold_unsynced_s, anchor),
        outbox=outbox,
        numbers=numbers,
        disk=Disk(config.data_dir),
        ram_disk=is_ram_disk(config.runtime_dir / JOURNAL_NAME),
        journal_episode=Episode("journal", clock),
        config_hash=config.config_hash,
        max_payload_bytes=config.max_payload_bytes,
    )


async def _close_file(parts: Parts) -> None:
    await parts.outbox.close()


async def _open_sound(
    config: StoreConfig, clock: Clock, random: Random, numbers: Numbers, segments: Sequence[OldSegment]
) -> _Opened:
    """Open the file; one that is damaged, or a copy, is set aside and a new one made that takes over what it can."""
    path, max_bytes = config.data_dir / OUTBOX_NAME, config.outbox.max_bytes
    await asyncio.to_thread(finish, path)
    epoch, now_ms = _new_epoch(random), clock.wall_ms()
    reason: str
    try:
        outbox, picture, pieces = await _load(path, max_bytes)
    except (sqlite3.DatabaseError, Damaged) as err:
        if not _is_damage(err):
            raise
        reason, why = CORRUPT, f"it is damaged: {err}"
        word = await _word(path)
        heir = from_damaged(epoch, word, segments, clock.boot_id)
    else:
        if picture.card is None or not _is_copy(picture, picture.card, outbox, numbers):
            return _Opened(outbox, picture.card or Card(epoch=epoch), picture.undelivered, pieces)
        await outbox.close()
        reason, why = RESTORED, "it is a copy: its numbers may have been used since it was made"
        word = await asyncio.to_thread(word_of, path)
        heir = from_copy(epoch, picture.card, pieces, segments)
    name = aside_name(path, now_ms)
    log.critical("the outbox %s cannot be used; it is now %s, and a new one is made: %s", path, name, why)
    aside = batches_of(name, reason, word, segments)
    heir.card.salvages = [aside]
    await make_new(path, max_bytes, now_ms, numbers, heir.card, pieces=heir.pieces)
    await asyncio.to_thread(finish, path)
    return _Opened(await open_outbox(path, max_bytes), heir.card, [], heir.pieces, aside)


async def _load(path: Path, max_bytes: int) -> tuple[Outbox, Picture, list[RawPiece]]:
    """Open the file and read what it says of itself, again where it seems to be damaged; raises what came last."""
    damage: sqlite3.DatabaseError | Damaged | None = None
    async for _ in looks(path):
        outbox: Outbox | None = None
        try:
            outbox = await open_outbox(path, max_bytes)
            return outbox, await outbox.load(), await outbox.unsealed()
        except (sqlite3.DatabaseError, Damaged) as err:
            if outbox is not None:
                await outbox.close()
            if not _is_damage(err):
                raise
            damage = err
    assert damage is not None
    raise damage


async def _word(path: Path) -> Word:
    word = Word()
    async for _ in looks(path):
        word = await asyncio.to_thread(word_of, path)
        if word.whole:
            break
    return word


def _is_damage(err: Exception) -> bool:
    """Only what is said of the file itself; a card that gives an error, has no room or is held is no reason."""
    return isinstance(err, Damaged) or is_damaged(err)


def _is_copy(picture: Picture, card: Card, outbox: Outbox, numbers: Numbers) -> bool:
    """Whether this is not the very file that numbers were given out for; a file of version 1 has no numbers file."""
    if not (picture.checked or numbers.known):
        return False
    return not numbers.is_of(card.epoch, outbox.identity)


def _new_epoch(random: Random) -> str:
    return f"{random.getrandbits(64):016x}"


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold the lock file; raises `StoreError` where another process does."""
    fd = _lock_file(path)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            what = f"another oc-agent uses {path.parent}"
            raise StoreError(f"{what}: stop it first, or give this one its own folder") from err
        yield
    finally:
        os.close(fd)


def _lock_file(path: Path) -> int:
    """The lock file, open; on a card that has become read-only the one that is there will do."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as err:
        if err.errno != errno.EROFS:
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
