"""The schema of the outbox file: numbered scripts, each run once, in order."""

from collections.abc import Iterator
from pathlib import Path

import aiosqlite

_SCRIPTS = Path(__file__).with_name("migrations")


class NewerSchema(Exception):
    """The file was made by a newer oc-agent; this one must not touch it."""


def known_version() -> int:
    """The newest schema that this oc-agent knows."""
    return len(list(_scripts()))


async def migrate(writer: aiosqlite.Connection) -> None:
    """Bring an open file up to date; raises `NewerSchema` and `sqlite3.Error`."""
    scripts = list(_scripts())
    ((version,),) = await writer.execute_fetchall("PRAGMA user_version")
    if version > len(scripts):
        known = len(scripts)
        raise NewerSchema(f"its schema is {version}, this oc-agent knows up to {known}: install the newer oc-agent")
    for number, script in enumerate(scripts[version:], version + 1):
        await writer.executescript(f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;")


def _scripts() -> Iterator[str]:
    for script in sorted(_SCRIPTS.glob("*.sql")):
        yield script.read_text(encoding="utf-8")
