"""Renewing the outbox: a file that cannot be used any more is set aside, and a new one takes its place.

The new file is made whole under another name, with what it says of itself. Renaming it to `….new-<time>` decides;
whatever ends the process after that, the next opening finishes. Nothing of the old file is lost: only renamed. A power
cut may undo the renaming, until `open_outbox` has opened the new file: nothing is in it before.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from agent.model import SeqRange
from agent.ranges import RangeSet
from agent.store.damage.salvage import CORRUPT, Salvage
from agent.store.ledger import Card
from agent.store.numbers import Numbers, file_identity
from agent.store.outbox import Outbox, OutboxRow, RawPiece, open_outbox
from agent.store.parts import Parts, set_aside_event

log = logging.getLogger(__name__)

_FILES: Final = ("", "-wal", "-shm")
_NEW: Final = ".new-"
_ASIDE: Final = ".corrupt-"


def aside_name(path: Path, now_ms: int) -> str:
    """What a file that is set aside now is called."""
    return f"{path.name}{_ASIDE}{now_ms}"


async def make_new(
    path: Path,
    max_bytes: int,
    now_ms: int,
    numbers: Numbers,
    card: Card,
    undelivered: Sequence[SeqRange] = (),
    pieces: Sequence[RawPiece] = (),
    batches: Sequence[OutboxRow] = (),
) -> None:
    """Make the file that takes the place of `path`; raises `sqlite3.Error` or OSError, and nothing has changed."""
    temporary = path.with_name(path.name + ".tmp")
    for suffix in _FILES:
        temporary.with_name(temporary.name + suffix).unlink(missing_ok=True)
    outbox = await open_outbox(temporary, max_bytes)
    try:
        async with outbox.transaction():
            await outbox.write_batches(batches)
            await outbox.write_unsealed(pieces)
            await outbox.write_picture(card, undelivered, changed=True)
    finally:
        await outbox.close()
    if temporary.with_name(temporary.name + "-wal").exists():
        raise OSError(f"{temporary}: not all of it could be written")
    files = [file_identity(file) for file in (path, temporary) if file.exists()]
    await asyncio.to_thread(numbers.write, card.epoch, card.reserved, files)
    temporary.rename(path.with_name(f"{path.name}{_NEW}{now_ms}"))


def finish(path: Path) -> None:
    """Put the new file into its place where one was made; nothing may have the old one open. Raises OSError."""
    for new in sorted(path.parent.glob(f"{path.name}{_NEW}*")):
        aside = path.with_name(aside_name(path, int(new.name.rpartition("-")[2])))
        for suffix in _FILES:
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
        new.rename(path)


def aside_files(path: Path) -> list[Path]:
    """The files beside `path` that were set aside, and what belongs to them, oldest first."""
    return sorted(path.parent.glob(f"{path.name}{_ASIDE}*"))


def spare_files(path: Path, names: Collection[str]) -> list[Path]:
    """The files that were set aside, but for `names` and what belongs to them."""
    return [aside for aside in aside_files(path) if not any(aside.name.startswith(name) for name in names)]


def delete_files(files: Iterable[Path]) -> None:
    """Delete what is still there of `files`; raises OSError."""
    for file in files:
        file.unlink(missing_ok=True)


async def swap(outbox: Outbox, max_bytes: int) -> Outbox:
    """Close the file that is set aside and open the new one."""
    await outbox.close()
    await asyncio.to_thread(finish, outbox.path)
    return await open_outbox(outbox.path, max_bytes)


async def renew(parts: Parts, batches: Sequence[OutboxRow] = ()) -> None:
    """Set the damaged outbox aside and go on with a new one and the same account; raises `sqlite3.Error` or OSError.

    `batches`: those that count as stored and come from elsewhere than the old file.
    Where the new file could not be opened, `parts.outbox` is closed and `swap` is to be tried again.
    """
    ledger, path = parts.ledger, parts.outbox.path
    limit, now_ms = parts.config.outbox.max_bytes, parts.clock.wall_ms()
    card = ledger.picture(position=parts.journal.end, stored_high=ledger.stored_high, held_s=parts.config.held_s)
    name = aside_name(path, now_ms)
    card.salvages.append(_salvage_of(name, parts, card, batches))
    pieces = [RawPiece(at, ledger.boot_id, data) for at, data in parts.journal.slices(ledger.cursor)]
    await make_new(path, limit, now_ms, parts.numbers, card, ledger.undelivered.ranges(), pieces, batches)
    ledger.salvages = list(card.salvages)
    ledger.saved, ledger.changed = card.position if pieces else 0, True
    parts.damage_seen = False
    log.critical("the outbox %s was damaged; it is now %s, and a new one is made", path, name)
    parts.append_event(set_aside_event(name, CORRUPT, parts.clock.mono_ns()))
    parts.salvage_wake.set()
    parts.outbox = await swap(parts.outbox, limit)


def _salvage_of(name: str, parts: Parts, card: Card, batches: Sequence[OutboxRow]) -> Salvage:
    """What is to be looked for in the file: all that is undelivered or not counted yet and was in it."""
    ledger = parts.ledger
    unsettled = (part for ranges in ledger.unsettled.values() for part in ranges.ranges())
    wanted = RangeSet([*ledger.undelivered.ranges(), *unsettled])
    for first, last in [(ledger.stored_high + 1, ledger.high), *ledger.absent.ranges()]:
        wanted.discard(first, last)
    elsewhere = sum(row.head.readings for row in batches if wanted.discard(row.head.seq))
    expected = max(0, card.stored - elsewhere - sum(salvage.expected for salvage in card.salvages))
    wanted_ranges = wanted.ranges()
    return Salvage(name=name, reason=CORRUPT, wanted=wanted_ranges, archive=ledger.stored_high, expected=expected)
