"""An outbox file as others than its owner read it: of a running agent, or a copy from a dead card. Changes nothing.

The owner is never held up: what must fit together is read in one transaction, everything else in portions of one
short statement each (a long one would keep the owner's WAL from starting over). Where SQLite cannot make its `-shm`
beside the file, a temporary copy is read, or, where there is no WAL, the file alone. Blocks.
"""

import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import quote

from agent.model import SeqRange
from agent.ranges import RangeSet
from agent.store.checks import readable_text
from agent.store.damage.damaged_file import MAX_SEQ, Chunk, chunk_of
from agent.store.damage.damaged_word import undelivered_in
from agent.store.file_card import Picture, picture_of
from agent.store.ledger import Card
from agent.store.outbox import (
    COUNT_READINGS,
    LONGEST_MS,
    SELECT_META,
    SELECT_SEALED,
    SELECT_SIZES,
    SELECT_UNDELIVERED,
    SELECT_UNSEALED,
    SELECT_WINDOW,
    UPLINK,
    WINDOW_ROWS,
    RawPiece,
)
from agent.store.recovery import unsealed_readings
from agent.store.schema import known_version
from agent.store.sqlite_errors import is_held

BUSY_TIMEOUT_S: Final = 5.0
PORTION_ROWS: Final = 128
PORTION_BYTES: Final = 1024 * 1024
INDEXED_VERSION: Final = 2
MAGIC: Final = b"SQLite format 3\0"
TABLES: Final = 4
SELECT_TABLES: Final = (
    "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('meta', 'batch', 'undelivered', 'unsealed')"
)
SELECT_SPAN: Final = "SELECT coalesce(min(seq), 1), coalesce(max(seq), 0) FROM batch"
SELECT_SEQS: Final = "SELECT seq FROM batch WHERE seq BETWEEN ? AND ? ORDER BY seq"
_FOREVER_MS: Final = 1 << 62

Why = Literal["missing", "forbidden", "failed", "not_sqlite", "not_outbox", "newer", "old", "damaged", "held"]
How = Literal["as it is", "copied", "alone"]


class UnreadableFile(Exception):
    """A file cannot be read as an outbox; `why` is for the one who explains it, `detail` what the system said."""

    def __init__(self, why: Why, path: Path, detail: object) -> None:
        super().__init__(f"{path}: {why}: {detail}")
        self.why: Why = why
        self.path = path
        self.detail = str(detail)


class Census(NamedTuple):
    """What the file says of itself at one moment, and what of that is there.

    `unsealed`: readings in pieces of the journal. `waiting`: rows of what is undelivered, or arrived and is not
    counted yet; None where bad pages are among them. `oldest_ms`: when the lowest undelivered batch was sealed, where
    its row is there.
    """

    picture: Picture
    unsealed: int = 0
    waiting: "Waiting | None" = None
    oldest_ms: int | None = None


class Waiting(NamedTuple):
    """How many rows there are up to `stored_high`, their readings, and numbers without a row."""

    batches: int
    readings: int
    absent: Sequence[SeqRange]


class OutboxFile:
    """An open file; `how` it is read, and its schema's `version`. Made by `open_file` only."""

    def __init__(self, path: Path, connection: sqlite3.Connection, how: How, version: int) -> None:
        self.path = path
        self.how: How = how
        self.version = version
        self._connection = connection

    def bytes(self) -> int:
        """The length of the file, with what its WAL would add."""
        ((pages, _, page_bytes),) = self._rows(SELECT_SIZES)
        return int(pages * page_bytes)

    def picture(self) -> Picture:
        """What the file says of itself; raises `Damaged` where that cannot be believed."""
        return picture_of(self._rows(SELECT_META), self._rows(SELECT_UNDELIVERED, UPLINK))

    def pieces(self) -> list[RawPiece]:
        """Pieces of the journal, with readings that were not sealed."""
        return [RawPiece(*row) for row in self._rows(SELECT_UNSEALED)]

    def undelivered(self) -> tuple[str, list[SeqRange]]:
        """Whose numbers these are, and what is undelivered, as well as it can be told of a damaged file."""
        return undelivered_in(self._connection)

    def census(self) -> Census:
        """Count in one transaction; raises `Damaged` where the file's word for itself cannot be believed."""
        self._connection.execute("BEGIN")
        try:
            picture = self.picture()
            if picture.card is None:
                return Census(picture)
            unsealed = unsealed_readings(self.pieces(), picture.card.scan_cursor)
            try:
                return Census(picture, unsealed, self._waiting(picture, picture.card), self._oldest_ms(picture))
            except sqlite3.Error as err:
                if is_held(err):
                    raise
                return Census(picture, unsealed)
        finally:
            with suppress(sqlite3.Error):  # behind a bad page SQLite refuses to end what it has begun, and ends it
                self._connection.execute("ROLLBACK")

    def _waiting(self, picture: Picture, card: Card) -> Waiting:
        unsettled = (part for ranges in card.unsettled.values() for part in ranges)
        held = RangeSet([*picture.undelivered, *unsettled])
        batches = readings = 0
        absent: list[SeqRange] = []
        for first, last in held.overlap(1, card.stored_high):
            ((count, total),) = self._rows(COUNT_READINGS, first, last)
            batches, readings = batches + count, readings + total
            if count <= last - first:
                there = RangeSet((seq, seq) for (seq,) in self._rows(SELECT_SEQS, first, last))
                absent += there.missing(first, last)
        return Waiting(batches, readings, absent)

    def _oldest_ms(self, picture: Picture) -> int | None:
        rows = self._rows(SELECT_SEALED, picture.undelivered[0][0]) if picture.undelivered else []
        return rows[0][0] if rows else None

    def span(self) -> SeqRange:
        """The lowest and the highest number in the file; (1, 0) where it is empty."""
        try:
            ((first, last),) = self._rows(SELECT_SPAN)
        except sqlite3.Error as err:
            if is_held(err):
                raise
            rows = (
                seq for chunk in self.chunks([(1, MAX_SEQ)]) for seq in (*(r.seq for r in chunk.rows), *chunk.damaged)
            )
            return 1, max(rows, default=0)
        return first, last

    def window(self, from_ms: int | None, to_ms: int | None) -> list[SeqRange]:
        """Numbers of all batches that can have readings of that time, `to_ms` excluded; maybe of some others too."""
        if self.version < INDEXED_VERSION or (from_ms is None and to_ms is None):
            return [(1, MAX_SEQ)]
        try:
            found = self._by_time(from_ms, None if to_ms is None else to_ms + LONGEST_MS)
        except sqlite3.Error as err:
            if is_held(err):
                raise
            return [(1, MAX_SEQ)]
        return found.ranges()

    def older(self, before_ms: int) -> RangeSet:
        """Numbers of the batches whose readings are all from before then."""
        if self.version < INDEXED_VERSION:
            raise UnreadableFile("old", self.path, self.version)
        return self._by_time(None, before_ms)

    def count(self, ranges: Iterable[SeqRange]) -> tuple[int, int]:
        """How many batches of `ranges` are there, and how many readings they hold."""
        batches = readings = 0
        for first, last in ranges:
            ((count, total),) = self._rows(COUNT_READINGS, first, last)
            batches, readings = batches + count, readings + total
        return batches, readings

    def _by_time(self, from_ms: int | None, end_ms: int | None) -> RangeSet:
        at = (-_FOREVER_MS if from_ms is None else from_ms, 0)
        found = RangeSet()
        while rows := self._rows(SELECT_WINDOW, *at, _FOREVER_MS if end_ms is None else end_ms, WINDOW_ROWS):
            for _, seq in rows:
                found.add(seq)
            at = rows[-1]
        return found

    def chunks(self, ranges: Iterable[SeqRange]) -> Iterator[Chunk]:
        """The batches of `ranges`, lowest first, in portions."""
        for first, last in ranges:
            at = first
            while at <= last:
                chunk = chunk_of(self._connection, (at, last), PORTION_ROWS, PORTION_BYTES)
                yield chunk
                at = chunk.reached + 1

    def chunks_backwards(self, ranges: Sequence[SeqRange]) -> Iterator[Chunk]:
        """The batches of `ranges` in portions, the highest portion first; within each the lowest number first."""
        lowest, highest = self.span()
        for first, last in reversed(ranges):
            top = min(last, highest)
            while top >= max(first, lowest):
                bottom = max(first, lowest, top - PORTION_ROWS + 1)
                yield from reversed(list(self.chunks([(bottom, top)])))
                top = bottom - 1

    def problems(self) -> list[str]:
        """What SQLite finds wrong with the pages of the file; this takes long with a large one."""
        try:
            found = [str(text) for (text,) in self._rows("PRAGMA quick_check(20)")]
        except sqlite3.Error as err:
            if is_held(err):
                raise
            return [str(err)]
        return [] if found == ["ok"] else found

    def _rows(self, sql: str, *parameters: Any) -> list[Any]:
        return self._connection.execute(sql, parameters).fetchall()


@contextmanager
def open_file(path: Path) -> Iterator[OutboxFile]:
    """Open an outbox file to read it; raises `UnreadableFile`, also for what goes wrong while it is open."""
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
    except (FileNotFoundError, NotADirectoryError) as err:
        raise UnreadableFile("missing", path, err.strerror) from err
    except OSError as err:
        raise UnreadableFile(_why(err), path, err.strerror) from err
    if magic != MAGIC:
        raise UnreadableFile("not_sqlite", path, magic)
    with ExitStack() as stack:
        try:
            yield _checked(path, *_connected(path, stack))
        except sqlite3.Error as err:
            raise UnreadableFile("held" if is_held(err) else "damaged", path, err) from err


def _why(err: OSError) -> Why:
    return "forbidden" if isinstance(err, PermissionError) else "failed"


def _connected(path: Path, stack: ExitStack) -> tuple[sqlite3.Connection, How]:
    connection = _connection(path, "mode=ro", stack)
    try:
        connection.execute("PRAGMA user_version").fetchall()
    except sqlite3.OperationalError as err:
        if err.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
    else:
        return connection, "as it is"
    wal = path.with_name(path.name + "-wal")
    if not wal.exists() or not wal.stat().st_size:
        return _connection(path, "immutable=1", stack), "alone"
    from tempfile import TemporaryDirectory  # `run` has this module loaded, and never comes here

    folder = Path(stack.enter_context(TemporaryDirectory(prefix="oc-outbox-")))
    try:
        for file in (path, wal):
            shutil.copyfile(file, folder / file.name)
    except OSError as err:
        raise UnreadableFile(_why(err), path, f"{folder}: {err.strerror}") from err
    return _connection(folder / path.name, "mode=ro", stack), "copied"


def _connection(path: Path, mode: str, stack: ExitStack) -> sqlite3.Connection:
    connect = sqlite3.connect(f"file:{quote(str(path))}?{mode}", uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S)
    connection = stack.enter_context(closing(connect))
    connection.text_factory = readable_text
    return connection


def _checked(path: Path, connection: sqlite3.Connection, how: How) -> OutboxFile:
    ((tables,),) = connection.execute(SELECT_TABLES).fetchall()
    ((version,),) = connection.execute("PRAGMA user_version").fetchall()
    if tables < TABLES or not version:
        raise UnreadableFile("not_outbox", path, f"{tables} of {TABLES} tables")
    if version > known_version():
        raise UnreadableFile("newer", path, version)
    return OutboxFile(path, connection, how, version)
