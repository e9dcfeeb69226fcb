"""Reading what can still be read of an outbox file, sound or damaged. Strictly read-only; blocks.

SQLite stops at the first page it cannot make sense of. So a look goes on behind that page: it tries further and
further on until something can be read again, then comes back as near to the bad page as it can. A row is taken only
when its checksum fits, one without a checksum (version 1) when its payload says the number that the row has.
"""

import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec

from agent.model import BatchKind, SeqRange
from agent.packing import NotPacked, plain
from agent.ranges import RangeSet
from agent.store.checks import BATCH_COLUMNS, readable_text, row_check
from agent.store.outbox import SELECT_META, SELECT_UNDELIVERED, UPLINK, Damaged, picture_of
from agent.store.records import SealedHead

MAX_SEQ: Final = (1 << 53) - 1
"""Numbers are below 2^53 (contract, payloads)."""
SELECT_RANGE: Final = f"SELECT {BATCH_COLUMNS} FROM batch WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?"  # noqa: S608 - a constant
SELECT_LAST: Final = f"SELECT {BATCH_COLUMNS} FROM batch ORDER BY seq DESC LIMIT 20"  # noqa: S608 - a constant
SELECT_HIGHEST: Final = "SELECT max(seq) FROM batch WHERE seq <= ?"
_HELD: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
HAS_CHECKS: Final = "SELECT count(*) FROM pragma_table_info('batch') WHERE name = 'crc'"


class SavedRow(NamedTuple):
    """A batch of a damaged file whose bytes are what they were."""

    seq: int
    kind: BatchKind
    sealed_ms: int
    first_ms: int
    last_ms: int
    readings: int
    payload: bytes

    def head(self) -> SealedHead:
        """What the outbox wants to know of it; monotonic times of another process say nothing any more."""
        return SealedHead(
            seq=self.seq,
            kind=self.kind,
            readings=self.readings,
            sealed_ms=self.sealed_ms,
            sealed_mono_ns=0,
            first_ms=self.first_ms,
            last_ms=self.last_ms,
            oldest_mono_ns=0,
            cursor=0,
        )


class Chunk(NamedTuple):
    """Some batches of a range, lowest first; what is not among them up to `reached` cannot be read.

    `damaged`: rows that are there, with other bytes than were written. `unreadable`: where pages are bad; how many
    batches were there, nobody knows. `unchecked`: how many of the rows have no checksum.
    """

    rows: list[SavedRow]
    reached: int
    damaged: list[int]
    unreadable: list[SeqRange]
    unchecked: int = 0


class _Envelope(msgspec.Struct):
    epoch: str
    seq: int
    low: int


def read_chunk(path: Path, wanted: SeqRange, max_rows: int, max_bytes: int) -> Chunk:
    """The next batches of `wanted`, at least one where there is any. Never raises for what is in the file."""
    try:
        with _opened(path) as connection:
            return chunk_of(connection, wanted, max_rows, max_bytes)
    except sqlite3.Error:
        return Chunk([], wanted[1], [], [wanted])


def chunk_of(connection: sqlite3.Connection, wanted: SeqRange, max_rows: int, max_bytes: int) -> Chunk:
    """As `read_chunk`, of a file that is open, in one statement; raises `sqlite3.Error` where others hold the file."""
    chunk = Chunk([], wanted[1], [], [])
    size = unchecked = 0
    with closing(_rows(connection, *wanted, chunk.unreadable)) as rows:
        for row, sound, checked in _examined(rows):
            size += len(row.payload)
            unchecked += not checked
            if sound:
                chunk.rows.append(row)
            else:
                chunk.damaged.append(row.seq)
            if len(chunk.rows) + len(chunk.damaged) >= max_rows or size >= max_bytes:
                return chunk._replace(reached=row.seq, unchecked=unchecked)
    return chunk._replace(unchecked=unchecked)


def highest_up_to(path: Path, seq: int) -> int:
    """The highest number up to `seq` that the file holds, 0 for none; `seq` itself where that cannot be told."""
    try:
        with _opened(path) as connection:
            ((found,),) = connection.execute(SELECT_HIGHEST, (seq,)).fetchall()
    except sqlite3.Error:
        return seq
    return int(found) if type(found) is int else 0


def undelivered_of(path: Path) -> tuple[str, list[SeqRange]]:
    """Whose numbers the file holds, and which batches were undelivered: as its table says, where that can be read.

    Where not, or where it is empty and no checksum says that this is right, everything from the lowest that the last
    batch named as undelivered. No epoch where nothing is left.
    """
    try:
        with _opened(path) as connection:
            return undelivered_in(connection)
    except sqlite3.Error:
        return "", []


def undelivered_in(connection: sqlite3.Connection) -> tuple[str, list[SeqRange]]:
    """As `undelivered_of`, of a file that is open; raises `sqlite3.Error` where even its schema cannot be read."""
    last = _last(connection)
    envelope = None if last is None else _envelope(last.payload)
    if last is None or envelope is None:
        return "", []
    table = _table(connection)
    return envelope.epoch, table if table or _vouched(connection) else [(envelope.low, last.seq)]


def is_held(err: sqlite3.Error) -> bool:
    """Whether SQLite says that somebody else holds the file, and nothing about what is in it."""
    return getattr(err, "sqlite_errorcode", 0) & 0xFF in _HELD


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
        connection.text_factory = readable_text
        yield connection


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
        for row in _sound(connection.execute(_sql(connection, SELECT_LAST))):
            return row
    except sqlite3.Error:
        pass
    for start in (_near_the_end(connection), 1):
        last = None
        for row in _sound(_rows(connection, start, MAX_SEQ, [])):
            last = row
        if last is not None:
            return last
    return None


def _near_the_end(connection: sqlite3.Connection) -> int:
    """A number from which on something can be read, and not much: the file may be long, and reading waits for this."""
    sql = _sql(connection, SELECT_RANGE)
    low, high = 1, MAX_SEQ
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _one(connection, sql, middle, MAX_SEQ) is None else (middle, high)
    return low


def _rows(
    connection: sqlite3.Connection, first: int, last: int, unreadable: list[SeqRange]
) -> Generator[Sequence[Any]]:
    """The rows of a range; where pages are bad is added to `unreadable`."""
    sql = _sql(connection, SELECT_RANGE)
    while first <= last:
        try:
            for row in connection.execute(sql, (first, last, -1)):
                yield row
                first = row[0] + 1
        except sqlite3.Error as err:
            if is_held(err):
                raise
            row = _one(connection, sql, first, last)  # the module throws away the row before the one that fails
            if row is not None:
                yield row
                first = row[0] + 1
            else:
                behind = _behind(connection, first, last)
                unreadable.append((first, behind - 1))
                first = behind
        else:
            return


def _one(connection: sqlite3.Connection, sql: str, first: int, last: int) -> Sequence[Any] | None:
    try:
        found: Sequence[Any] | None = connection.execute(sql, (first, last, 1)).fetchone()
    except sqlite3.Error:
        return None
    return found


def _behind(connection: sqlite3.Connection, first: int, last: int) -> int:
    """Where reading can go on behind the bad page that `first` is on."""
    low, step = first, 1
    while first + step <= last and not _readable(connection, first + step, last):
        low, step = first + step, step * 2
    high = min(first + step, last + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _readable(connection, middle, last) else (middle, high)
    return high


def _readable(connection: sqlite3.Connection, first: int, last: int) -> bool:
    try:
        connection.execute(_sql(connection, SELECT_RANGE), (first, last, 1)).fetchall()
    except sqlite3.Error:
        return False
    return True


def _sql(connection: sqlite3.Connection, select: str) -> str:
    """The query for this file; rows of version 1 have no checksum."""
    ((found,),) = connection.execute(HAS_CHECKS).fetchall()
    return select if found else select.replace("crc", "NULL")


def _sound(rows: Iterator[Sequence[Any]] | sqlite3.Cursor) -> Iterator[SavedRow]:
    return (row for row, sound, _ in _examined(rows) if sound)


def _examined(rows: Iterator[Sequence[Any]] | sqlite3.Cursor) -> Iterator[tuple[SavedRow, bool, bool]]:
    """Each row, whether it is sound, and whether it has a checksum."""
    for *fields, check in rows:
        row = SavedRow(*fields)
        if check is None:
            envelope = _envelope(row.payload)
            yield row, envelope is not None and envelope.seq == row.seq, False
        else:
            yield row, check == row_check(*row), True


def _envelope(payload: bytes) -> _Envelope | None:
    try:
        return msgspec.json.decode(plain(payload), type=_Envelope)
    except (NotPacked, msgspec.MsgspecError, TypeError):
        return None
