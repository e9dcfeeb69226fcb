"""Opening the store, whatever the last end was like: lock, file, journal, recovery. One process at a time.

A file that is damaged is set aside by renaming; what the journal still holds is brought over.
"""

import fcntl
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from random import Random, SystemRandom
from typing import Final

import msgspec

from agent.clock import Clock
from agent.model import SeqRange
from agent.store.journal import Journal, is_ram_disk, last_number, old_segments
from agent.store.ledger import Card, Ledger
from agent.store.outbox import Damaged, NewerSchema, Outbox, RawPiece, is_damaged, open_outbox, set_aside
from agent.store.parts import Parts, StoreConfig, StoreError
from agent.store.records import OFFSET_BITS
from agent.store.recovery import recover
from agent.store.store import Store
from agent.store.timekeeper import Timekeeper, anchor_now
from agent.supervise import Episode

log = logging.getLogger(__name__)

OUTBOX_NAME: Final = "outbox.db"
LOCK_NAME: Final = "outbox.lock"
JOURNAL_NAME: Final = "journal"


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
            outbox, loaded, aside = await _open_sound(stack, config, clock)
            card = loaded[0] or Card(epoch=f"{random.getrandbits(64):016x}")
            number = max(last_number(journal_folder), card.position >> OFFSET_BITS) + 1
            segments = old_segments(journal_folder)
            found = recover(card, loaded[1], loaded[2], segments, clock.boot_id, anchor_now(clock))
            del segments
            journal = Journal(journal_folder, number, found.adopted)
            parts = _parts(config, clock, random, outbox, journal, found.ledger)
            stack.callback(journal.close, delete=False)
            journal.begin = parts.begin_segment
            journal.begin()
            store = Store(parts)
            await store.begin(found, aside)
        except (sqlite3.Error, NewerSchema, OSError) as err:
            where = config.data_dir / OUTBOX_NAME
            raise StoreError(f"cannot open the outbox {where}, journal {journal_folder}: {err}") from err
        stack.push_async_callback(store.end)
        yield store


def _parts(
    config: StoreConfig, clock: Clock, random: Random, outbox: Outbox, journal: Journal, ledger: Ledger
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
        ram_disk=is_ram_disk(config.runtime_dir / JOURNAL_NAME),
        journal_episode=Episode("journal", clock),
        config_hash=config.config_hash,
    )


async def _open_sound(
    stack: AsyncExitStack, config: StoreConfig, clock: Clock
) -> tuple[Outbox, tuple[Card | None, list[SeqRange], list[RawPiece]], Path | None]:
    """Open the file; one that is damaged is renamed and a new one made. Gives also the name it has now."""
    path, max_bytes = config.data_dir / OUTBOX_NAME, config.outbox.max_bytes
    attempt = await stack.enter_async_context(AsyncExitStack())
    try:
        outbox = await attempt.enter_async_context(open_outbox(path, max_bytes))
        return outbox, await outbox.load(), None
    except (sqlite3.DatabaseError, msgspec.MsgspecError, Damaged) as err:
        if isinstance(err, sqlite3.DatabaseError) and not is_damaged(err):
            raise
        await attempt.aclose()
        aside = set_aside(path, clock.wall_ms())
        log.critical("the outbox %s is damaged (%s); it is now %s, and a new one is made", path, err, aside)
    outbox = await stack.enter_async_context(open_outbox(path, max_bytes))
    return outbox, await outbox.load(), aside


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold the lock file; raises `StoreError` where another process does."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            what = f"another oc-agent uses {path.parent}"
            raise StoreError(f"{what}: stop it first, or give this one its own folder") from err
        yield
    finally:
        os.close(fd)
