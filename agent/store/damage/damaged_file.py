"""Reading what can still be read of an outbox file, sound or damaged. Strictly read-only; blocks.

SQLite stops at the first page it cannot make sense of. So a look goes on behind that page: it tries further and
further on until something can be read again, then comes back as near to the bad page as it can. Numbers only go up: a
row that comes again, from a page that stands in the place of another, is passed over. A row is taken only when its
checksum fits, one without a checksum (version 1) when its payload says the number that the row has.
"""

import os
import sqlite3
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec

from agent.model import BatchKind, SeqRange
from agent.packing import NotPacked, plain
from agent.store.bundle import SELECT_BUNDLE, Member, NotABundle, members_of, payload_in
from agent.store.checks import BATCH_COLUMNS, readable_text, row_check
from agent.store.records import SealedHead
from agent.store.sqlite_errors import is_held, may_pass

MAX_SEQ: Final = (1 << 53) - 1
"""Numbers are below 2^53 (contract, payloads)."""
SELECT_RANGE: Final = f"SELECT {BATCH_COLUMNS} FROM batch WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?"  # noqa: S608 - a constant
SELECT_HIGHEST: Final = "SELECT max(seq) FROM batch WHERE seq <= ?"
READ_BYTES: Final = 256 * 1024
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
    batches were there, nobody knows. `passing`: whether something was in the way there that says nothing about the
    file. `unchecked`: how many of the rows have no checksum.
    """

    rows: list[SavedRow]
    reached: int
    damaged: list[int]
    unreadable: list[SeqRange]
    passing: bool = False
    unchecked: int = 0


class Envelope(msgspec.Struct):
    """What a batch says of itself, where its row cannot be believed."""

    epoch: str
    seq: int
    low: int


class BadPlaces:
    """Where nothing can be read, and whether something may pass that kept it from being read."""

    def __init__(self) -> None:
        self.ranges: list[SeqRange] = []
        self.passing = False

    def add(self, place: SeqRange, err: sqlite3.Error) -> None:
        """Nothing can be read here, because of this."""
        self.ranges.append(place)
        self.passing = self.passing or may_pass(err)


def read_chunk(path: Path, wanted: SeqRange, max_rows: int, max_bytes: int) -> Chunk:
    """The next batches of `wanted`, at least one where there is any. Never raises for what is in the file."""
    try:
        with opened(path) as connection:
            return chunk_of(connection, wanted, max_rows, max_bytes)
    except sqlite3.Error as err:
        return Chunk([], wanted[1], [], [wanted], passing=may_pass(err))


def chunk_of(connection: sqlite3.Connection, wanted: SeqRange, max_rows: int, max_bytes: int) -> Chunk:
    """As `read_chunk`, of a file that is open, in one statement; raises `sqlite3.Error` where others hold the file."""
    bad = BadPlaces()
    chunk = Chunk([], wanted[1], [], bad.ranges)
    size = unchecked = 0
    with closing(rows_of(connection, *wanted, bad)) as rows:
        for row, sound, checked in examined(connection, rows):
            size += len(row.payload)
            unchecked += not checked
            if sound:
                chunk.rows.append(row)
            else:
                chunk.damaged.append(row.seq)
            if len(chunk.rows) + len(chunk.damaged) >= max_rows or size >= max_bytes:
                return chunk._replace(reached=row.seq, passing=bad.passing, unchecked=unchecked)
    return chunk._replace(passing=bad.passing, unchecked=unchecked)


def highest_up_to(path: Path, seq: int) -> int:
    """The highest number up to `seq` that the file holds, 0 for none; `seq` itself where that cannot be told."""
    try:
        with opened(path) as connection:
            ((found,),) = connection.execute(SELECT_HIGHEST, (seq,)).fetchall()
    except sqlite3.Error:
        return seq
    return min(found, seq) if type(found) is int else 0


def reads_through(path: Path) -> bool:
    """Whether every byte of the file and its WAL can be read now.

    SQLite makes "malformed" of an EIO in reading (`SQLITE_IOERR_CORRUPTFS`): only this tells a card that does not
    answer from one that answers wrongly.
    """
    try:
        for file in (path, path.with_name(f"{path.name}-wal")):
            with suppress(FileNotFoundError):
                _read_all(file)
    except OSError:
        return False
    return path.exists()


def _read_all(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while os.read(fd, READ_BYTES):
            pass
    finally:
        os.close(fd)


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file to read it, whatever is in it."""
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
        connection.text_factory = readable_text
        yield connection


def rows_of(connection: sqlite3.Connection, first: int, last: int, bad: BadPlaces) -> Generator[Sequence[Any]]:
    """The rows of a range, as `examined` wants them; where nothing can be read is added to `bad`."""
    sql = query(connection, SELECT_RANGE)
    while first <= last:
        try:
            for row in connection.execute(sql, (first, last, -1)):
                if row[0] >= first:
                    yield row
                    first = row[0] + 1
        except sqlite3.Error as err:
            if is_held(err):
                raise
            row = first_of(connection, sql, first, last)  # the module throws away the row before the one that fails
            if row is not None and row[0] >= first:
                yield row
                first = row[0] + 1
            else:
                behind = _behind(connection, first, last)
                bad.add((first, behind - 1), err)
                first = behind
        else:
            return


def first_of(connection: sqlite3.Connection, sql: str, first: int, last: int) -> Sequence[Any] | None:
    """The first row of a range; None where there is none, or it cannot be read."""
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
        connection.execute(query(connection, SELECT_RANGE), (first, last, 1)).fetchall()
    except sqlite3.Error:
        return False
    return True


def query(connection: sqlite3.Connection, select: str) -> str:
    """The query for this file; rows of version 1 have no checksum."""
    ((found,),) = connection.execute(HAS_CHECKS).fetchall()
    return select if found else select.replace("crc", "NULL")


def examined(
    connection: sqlite3.Connection, rows: Iterator[Sequence[Any]] | sqlite3.Cursor
) -> Iterator[tuple[SavedRow, bool, bool]]:
    """Each row, whether it is sound, and whether it has a checksum."""
    members: Mapping[int, Member] = {}
    for *fields, check in rows:
        row = SavedRow(*fields)
        if not row.payload:
            members = members if row.seq in members else _members_around(connection, row.seq)
            payload = payload_in(members, fields, check)
            yield row._replace(payload=payload or b""), payload is not None, True
            continue
        if check is None:
            envelope = envelope_of(row.payload)
            yield row, envelope is not None and envelope.seq == row.seq, False
        else:
            yield row, check == row_check(*row), True


def _members_around(connection: sqlite3.Connection, seq: int) -> Mapping[int, Member]:
    """The members of the bundle that has, or would have, a batch; none where that cannot be read."""
    with suppress(sqlite3.Error, NotABundle, TypeError):
        for _, body in connection.execute(SELECT_BUNDLE, (seq,)):
            return members_of(body)
    return {}


def envelope_of(payload: bytes) -> Envelope | None:
    """None where this is no payload of a batch."""
    try:
        return msgspec.json.decode(plain(payload), type=Envelope)
    except (NotPacked, msgspec.MsgspecError, TypeError):
        return None
