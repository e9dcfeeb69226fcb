"""What a damaged outbox file still says of itself: whose numbers it holds, and what of it was undelivered.

Strictly read-only; blocks.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from agent.model import SeqRange
from agent.ranges import RangeSet
from agent.store.checks import BATCH_COLUMNS
from agent.store.damage.damaged_file import (
    MAX_SEQ,
    SELECT_RANGE,
    BadPlaces,
    SavedRow,
    envelope_of,
    examined,
    first_of,
    opened,
    query,
    rows_of,
)
from agent.store.outbox import SELECT_META, SELECT_UNDELIVERED, UPLINK, Damaged, picture_of

SELECT_LAST: Final = f"SELECT {BATCH_COLUMNS} FROM batch ORDER BY seq DESC LIMIT 20"  # noqa: S608 - a constant


def undelivered_of(path: Path) -> tuple[str, list[SeqRange]]:
    """Whose numbers the file holds, and which batches were undelivered: as its table says, where that can be read.

    Where not, or where it is empty and no checksum says that this is right, everything from the lowest that the last
    batch named as undelivered. No epoch where nothing is left.
    """
    try:
        with opened(path) as connection:
            return undelivered_in(connection)
    except sqlite3.Error:
        return "", []


def undelivered_in(connection: sqlite3.Connection) -> tuple[str, list[SeqRange]]:
    """As `undelivered_of`, of a file that is open; raises `sqlite3.Error` where even its schema cannot be read."""
    last = _last(connection)
    envelope = None if last is None else envelope_of(last.payload)
    if last is None or envelope is None:
        return "", []
    table = _table(connection)
    return envelope.epoch, table if table or _vouched(connection) else [(envelope.low, last.seq)]


def _table(connection: sqlite3.Connection) -> list[SeqRange]:
    try:
        found = connection.execute("SELECT first, last FROM undelivered ORDER BY first").fetchall()
    except sqlite3.Error:
        return []
    sane = [(first, last) for first, last in found if type(first) is type(last) is int and 0 < first <= last]
    return RangeSet(sane).ranges() if len(sane) == len(found) else []


def _vouched(connection: sqlite3.Connection) -> bool:
    """Whether a checksum says that the table of undelivered batches is what was written."""
    try:
        meta = connection.execute(SELECT_META).fetchall()
        undelivered = connection.execute(SELECT_UNDELIVERED, (UPLINK,)).fetchall()
        return picture_of(meta, undelivered).checked
    except (sqlite3.Error, Damaged):
        return False


def _last(connection: sqlite3.Connection) -> SavedRow | None:
    try:
        for row in _sound(connection.execute(query(connection, SELECT_LAST))):
            return row
    except sqlite3.Error:
        pass
    for start in (_near_the_end(connection), 1):
        last = None
        for row in _sound(rows_of(connection, start, MAX_SEQ, BadPlaces())):
            last = row
        if last is not None:
            return last
    return None


def _near_the_end(connection: sqlite3.Connection) -> int:
    """A number from which on something can be read, and not much: the file may be long, and reading waits for this."""
    sql = query(connection, SELECT_RANGE)
    low, high = 1, MAX_SEQ
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if first_of(connection, sql, middle, MAX_SEQ) is None else (middle, high)
    return low


def _sound(rows: Iterator[Sequence[Any]] | sqlite3.Cursor) -> Iterator[SavedRow]:
    return (row for row, sound, _ in examined(rows) if sound)
