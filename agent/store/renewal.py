"""Renewing the outbox: a file that cannot be used any more is set aside, and a new one takes its place.

The new file is made whole under another name, with what it says of itself. Renaming it to `….new-<time>` decides;
whatever ends the process after that, the next opening finishes. Nothing of the old file is lost: only renamed.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from agent.model import SeqRange
from agent.store.ledger import Card
from agent.store.numbers import Numbers, file_identity, sync_folder
from agent.store.outbox import Outbox, open_outbox

_FILES: Final = ("", "-wal", "-shm")
_NEW: Final = ".new-"
_ASIDE: Final = ".corrupt-"


def aside_name(path: Path, now_ms: int) -> str:
    """What a file that is set aside now is called."""
    return f"{path.name}{_ASIDE}{now_ms}"


async def make_new(
    path: Path, max_bytes: int, now_ms: int, numbers: Numbers, card: Card, undelivered: Sequence[SeqRange]
) -> None:
    """Make the file that takes the place of `path`; raises `sqlite3.Error` or OSError, and nothing has changed."""
    temporary = path.with_name(path.name + ".tmp")
    for suffix in _FILES:
        temporary.with_name(temporary.name + suffix).unlink(missing_ok=True)
    outbox = await open_outbox(temporary, max_bytes)
    try:
        async with outbox.transaction():
            await outbox.write_picture(card, undelivered, changed=True)
    finally:
        await outbox.close()
    files = [file_identity(file) for file in (path, temporary) if file.exists()]
    await asyncio.to_thread(numbers.write, card.epoch, card.reserved, files)
    temporary.rename(path.with_name(f"{path.name}{_NEW}{now_ms}"))
    await asyncio.to_thread(sync_folder, path.parent)


def finish(path: Path) -> None:
    """Put the new file into its place where one was made; nothing may have the old one open. Raises OSError."""
    for new in sorted(path.parent.glob(f"{path.name}{_NEW}*")):
        aside = path.with_name(aside_name(path, int(new.name.rpartition("-")[2])))
        for suffix in _FILES:
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
        new.rename(path)
        sync_folder(path.parent)


def forget_others(path: Path, names: Collection[str]) -> None:
    """Delete the files that were set aside, but for `names` and what belongs to them."""
    for aside in path.parent.glob(f"{path.name}{_ASIDE}*"):
        if not any(aside.name.startswith(name) for name in names):
            aside.unlink(missing_ok=True)


async def swap(outbox: Outbox, max_bytes: int) -> Outbox:
    """Close the file that is set aside and open the new one."""
    await outbox.close()
    await asyncio.to_thread(finish, outbox.path)
    return await open_outbox(outbox.path, max_bytes)
