"""What tests do to outbox files: fill them, and damage them as a dying card does."""

import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

PAGE = 4096


async def fill(lab: Any, store: Any, batches: int, count: int = 60) -> None:
    for _ in range(batches):
        lab.read(store, count)
        await lab.live(store, 1.25)
    await store.flush()


def pages_of(path: Path, seq: int) -> set[int]:
    """Pages that hold the payload of a row: the one that counts, and older copies that a page split has left."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        ((payload,),) = connection.execute("SELECT payload FROM batch WHERE seq = ?", (seq,)).fetchall()
    found = {match.start() // PAGE for match in re.finditer(re.escape(payload[:60]), path.read_bytes())}
    assert found
    return found


def spoil(path: Path, pages: Iterable[int]) -> None:
    """Overwrite whole pages, as a dying card does."""
    with path.open("r+b") as file:
        for page in pages:
            file.seek(page * PAGE)
            file.write(b"\xa5" * PAGE)


def checkpointed(path: Path) -> None:
    """Bring what is in the WAL into the file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
