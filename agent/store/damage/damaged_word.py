"""What a damaged outbox file still says of itself: whose numbers it holds, what was undelivered, what not even sealed.

Strictly read-only; blocks.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from agent.model import SeqRange
from agent.ranges import RangeSet
from agent.store.checks import BATCH_COLUMNS, CHECK_KEY
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
from agent.store.file_card import Damaged, picture_of
from agent.store.ledger import Card
from agent.store.outbox import SELECT_META, SELECT_UNDELIVERED, SELECT_UNSEALED, UPLINK, RawPiece

SELECT_LAST: Final = f"SELECT {BATCH_COLUMNS} FROM batch ORDER BY seq DESC LIMIT 20"  # noqa: S608 - a constant


class Word(NamedTuple):
    """`epoch`, `undelivered`: of the batches, as in `undelivered_in`. `card`: what it says of the rest, if anything.

    `checked`: whether a checksum says that the card is what was written. `pieces`: of the journal, those that can be
    read; `all_pieces`: whether there were no others.
    """

    epoch: str = ""
    undelivered: Sequence[SeqRange] = ()
    card: Card | None = None
    checked: bool = False
    pieces: Sequence[RawPiece] = ()
    all_pieces: bool = False

    @property
    def whole(self) -> bool:
        """Whether another look can find no more."""
        return self.checked and self.all_pieces and bool(self.epoch)


def word_of(path: Path) -> Word:
    """Read what there is; never raises for what is in the file."""
    try:
        with opened(path) as connection:
            epoch, undelivered = undelivered_in(connection)
            card, checked = _card(connection)
            pieces, all_pieces = _pieces(connection)
    except sqlite3.Error:
        return Word()
    return Word(epoch, undelivered, card, checked, pieces, all_pieces)


def undelivered_in(connection: sqlite3.Connection) -> tuple[str, list[SeqRange]]:
    """Whose numbers a file holds, and which batches were undelivered: as its table says, where that can be read.

    Where not, or where it is empty and no checksum says that this is right, everything from the lowest that the last
    batch named as undelivered. No epoch where nothing is left. Raises `sqlite3.Error` where even the schema is gone.
    """
    last = _last(connection)
    envelope = None if last is None else envelope_of(last.payload)
    if last is None or envelope is None:
        return "", []
    table = _table(connection)
    return envelope.epoch, table if table or _card(connection)[1] else [(envelope.low, last.seq)]


def _table(connection: sqlite3.Connection) -> list[SeqRange]:
    try:
        found = connection.execute("SELECT first, last FROM undelivered ORDER BY first").fetchall()
    except sqlite3.Error:
        return []
    sane = [(first, last) for first, last in found if type(first) is type(last) is int and 0 < first <= last]
    return RangeSet(sane).ranges() if len(sane) == len(found) else []


def _card(connection: sqlite3.Connection) -> tuple[Card | None, bool]:
    """What the file says of itself, None where that cannot be read, and whether a checksum vouches for it."""
    try:
        meta = connection.execute(SELECT_META).fetchall()
    except sqlite3.Error:
        return None, False
    with suppress(sqlite3.Error, Damaged):
        picture = picture_of(meta, connection.execute(SELECT_UNDELIVERED, (UPLINK,)).fetchall())
        return picture.card, picture.checked
    with suppress(Damaged):
        return picture_of((row for row in meta if row[0] != CHECK_KEY), ()).card, False
    return None, False


def _pieces(connection: sqlite3.Connection) -> tuple[list[RawPiece], bool]:
    """The pieces of the journal before a bad page, and whether those are all."""
    found: list[RawPiece] = []
    try:
        found.extend(RawPiece(*row) for row in connection.execute(SELECT_UNSEALED))
    except sqlite3.Error:
        return found, False
    return found, True


def _last(connection: sqlite3.Connection) -> SavedRow | None:
    try:
        for row in _sound(connection, connection.execute(query(connection, SELECT_LAST))):
            return row
    except sqlite3.Error:
        pass
    for start in (_near_the_end(connection), 1):
        last = None
        for row in _sound(connection, rows_of(connection, start, MAX_SEQ, BadPlaces())):
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


def _sound(connection: sqlite3.Connection, rows: Iterator[Sequence[Any]] | sqlite3.Cursor) -> Iterator[SavedRow]:
    return (row for row, sound, _ in examined(connection, rows) if sound)
