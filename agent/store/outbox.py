"""The outbox: the SQLite file on the card with what is undelivered, and the archive of what was delivered.

One connection writes and checkpoints, a second one only reads (SQLite up to 3.51.2 can damage a WAL file when two
connections checkpoint at once, sqlite.org/wal.html#walresetbug). A commit is durable when it returns: WAL with
synchronous=FULL. All SQL that the store runs on its own file is in this module, its schema in `schema.py`; `damage`
and `inspection` add what reads a file from outside. Raises `sqlite3.Error`; whoever calls decides what it means.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import aiosqlite

from agent.durable import sync_folder
from agent.model import Batch, SeqRange
from agent.store.bundle import SELECT_BUNDLE, Bundle, Member, NotABundle, members_of, payload_in
from agent.store.checks import BATCH_COLUMNS, CHECK_KEY, picture_check, readable_text, row_check
from agent.store.file_card import Picture, picture_of, rows_of_card
from agent.store.ledger import Card
from agent.store.numbers import file_identity
from agent.store.records import SealedHead
from agent.store.schema import migrate
from agent.store.sqlite_errors import out_of_order

UPLINK = "ioc"
BUSY_TIMEOUT_S = 2.0
"""So long a commit waits for a process that holds the file, before it counts as failed and is tried again later."""
BUSY_AT_END_S = 0.5
"""So long it waits when the agent stops: what is not on the card then is in the journal."""
WAL_LIMIT_BYTES = 4 * 1024 * 1024
CACHE_KIB = 512
"""Of each connection; SQLite takes 2 MB otherwise. What is written grows at its end, what is read is read once."""
OVER_LIMIT = 1.04
ROW_BYTES = 64
PAGE_BYTES = 4096
VACUUM_PAGES = 2_000
MAX_EVICTED = 2_000
WINDOW_ROWS = 10_000
LONGEST_MS = 3_600_000
"""No batch spans more (`building.SPAN_S`)."""

SELECT_BATCHES = f"SELECT {BATCH_COLUMNS} FROM batch WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?"  # noqa: S608 - a constant
SELECT_ROWS = (
    "SELECT seq, CAST(readings AS INTEGER), coalesce(iif(length(payload), length(payload),"
    " (SELECT length(body) / (last - first + 1) FROM bundle WHERE last >= seq ORDER BY last LIMIT 1)), 0) FROM batch"
    " WHERE seq BETWEEN ? AND ? AND (kind <> 'event' OR ?) ORDER BY seq LIMIT 500"
)
SELECT_BORDERING = (
    "SELECT coalesce(CAST(body AS BLOB), X'') FROM bundle"
    " WHERE last >= ? AND first <= ? AND NOT (first >= ? AND last <= ?)"
)
SELECT_EXPIRED = "SELECT seq FROM batch WHERE last_ms BETWEEN ? AND ? ORDER BY last_ms LIMIT 10000"
SELECT_WINDOW = (
    "SELECT last_ms, seq FROM batch WHERE (last_ms, seq) > (?, ?) AND last_ms < ? ORDER BY last_ms, seq LIMIT ?"
)
SELECT_META = "SELECT key, value FROM meta ORDER BY key"
SELECT_UNDELIVERED = "SELECT first, last FROM undelivered WHERE uplink = ? ORDER BY first"
SELECT_UNSEALED = "SELECT position, boot_id, coalesce(CAST(records AS BLOB), X'') FROM unsealed ORDER BY position"
COUNT_READINGS = "SELECT count(*), CAST(total(readings) AS INTEGER) FROM batch WHERE seq BETWEEN ? AND ?"
SELECT_SEALED = "SELECT CAST(sealed_ms AS INTEGER) FROM batch WHERE seq = ?"
SELECT_SIZES = (
    "SELECT page_count, freelist_count, page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
)
INSERT_BATCH = "INSERT OR REPLACE INTO batch VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_BUNDLE = "INSERT OR REPLACE INTO bundle VALUES (?, ?, ?)"
DELETE_BATCH = "DELETE FROM batch WHERE seq = ?"
DELETE_BATCHES = "DELETE FROM batch WHERE seq BETWEEN ? AND ?"
DELETE_BUNDLES = "DELETE FROM bundle WHERE last >= ? AND first <= ?"
DELETE_HOLLOW_BUNDLES = (
    "DELETE FROM bundle WHERE last >= ? AND first <= ? AND NOT EXISTS"
    " (SELECT 1 FROM batch WHERE seq BETWEEN bundle.first AND bundle.last AND length(payload) = 0)"
)


class OutboxRow(NamedTuple):
    """A sealed batch on its way onto the card."""

    head: SealedHead
    payload: bytes


class EvictedRow(NamedTuple):
    """What is known of a batch that had to go."""

    seq: int
    readings: int


class Found(NamedTuple):
    """What a look into the file gave: batches as they were sealed, and the numbers of those that are damaged."""

    batches: list[Batch]
    damaged: list[int]

    def gaps_in(self, seqs: Sequence[int]) -> list[int]:
        """Those of `seqs`, which go up, that should have come before the last one that came; all where none came."""
        came = {*self.damaged, *(batch.seq for batch in self.batches)}
        last = max(came, default=seqs[-1])
        return [seq for seq in seqs if seq <= last and seq not in came]


class RawPiece(NamedTuple):
    """A piece of the journal of one boot, with readings that are not sealed yet."""

    position: int
    boot_id: str
    records: bytes


class Sizes(NamedTuple):
    """How long the file is, and how much of it is in use."""

    file_bytes: int
    used_bytes: int


class Outbox:
    """The open file. Only the owner of the writing lock calls what changes it."""

    def __init__(
        self, stack: AsyncExitStack, writer: aiosqlite.Connection, reader: aiosqlite.Connection, path: Path
    ) -> None:
        self.path = path
        self.identity = file_identity(path)
        self.closed = False
        self._stack = stack
        self._writer = writer
        self._reader = reader

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """All or nothing; on the card when it is left without an exception."""
        await self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
            await self._writer.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                if self._writer.in_transaction:
                    await self._writer.execute("ROLLBACK")
            raise

    @asynccontextmanager
    async def impatient(self) -> AsyncIterator[None]:
        """Within, a process that holds the file is not waited for long."""
        await self._wait_for_others(BUSY_AT_END_S)
        try:
            yield
        finally:
            await self._wait_for_others(BUSY_TIMEOUT_S)

    async def close(self) -> None:
        """Close the file; what was committed stays."""
        self.closed = True
        with suppress(sqlite3.Error):
            await self._stack.aclose()

    async def load(self) -> Picture:
        """The file's picture of itself; raises `Damaged` where the checksum says that it is not what was written."""
        return picture_of(await self._rows(SELECT_META), await self._rows(SELECT_UNDELIVERED, UPLINK))

    async def unsealed(self) -> list[RawPiece]:
        """What was not sealed yet when a process ended."""
        return [RawPiece(*row) for row in await self._rows(SELECT_UNSEALED)]

    async def write_picture(self, card: Card, undelivered: Sequence[SeqRange], *, changed: bool) -> None:
        """Within a transaction: what the file says of itself; `changed`: whether the undelivered are others."""
        meta = dict(rows_of_card(card))
        meta[CHECK_KEY] = picture_check(meta, undelivered)
        await self._writer.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta.items())
        if not changed:
            return
        await self._writer.execute("DELETE FROM undelivered WHERE uplink = ?", (UPLINK,))
        rows = ((UPLINK, first, last) for first, last in undelivered)
        await self._writer.executemany("INSERT INTO undelivered VALUES (?, ?, ?)", rows)

    async def write_batches(self, rows: Iterable[OutboxRow]) -> None:
        """Within a transaction: sealed batches. Writing one again with the same bytes changes nothing."""
        await self._writer.executemany(INSERT_BATCH, (_row(head, payload) for head, payload in rows))

    async def write_bundles(self, bundles: Iterable[Bundle]) -> None:
        """Within a transaction: delivered batches that are kept together."""
        for bundle in bundles:
            rows = [(*_columns(head), b"", check) for head, check in bundle.rows]
            await self._writer.executemany(INSERT_BATCH, rows)
            await self._writer.execute(INSERT_BUNDLE, (bundle.last, bundle.first, bundle.body))

    async def delete_unsealed(self, cursor: int) -> None:
        """Within a transaction: forget the pieces of the journal that end before `cursor`."""
        await self._writer.execute("DELETE FROM unsealed WHERE position + length(records) <= ?", (cursor,))

    async def write_unsealed(self, pieces: Sequence[RawPiece]) -> None:
        """Within a transaction: keep these pieces of the journal."""
        await self._writer.executemany("INSERT OR REPLACE INTO unsealed VALUES (?, ?, ?)", pieces)

    async def delete_batches(self, seqs: Iterable[int]) -> None:
        """Within a transaction: take batches out of the file."""
        gone = list(seqs)
        if gone:
            await self._writer.executemany(DELETE_BATCH, ((seq,) for seq in gone))
            await self._writer.execute(DELETE_HOLLOW_BUNDLES, (min(gone), max(gone)))

    async def delete_ranges(self, ranges: Iterable[SeqRange]) -> None:
        """Within a transaction: take all batches of `ranges` out of the file, also out of bundles that keep others."""
        for first, last in ranges:
            await self._loosen(first, last)
            await self._writer.execute(DELETE_BATCHES, (first, last))

    async def _loosen(self, first: int, last: int) -> None:
        """Give the batches of a bundle that is only partly in a range payloads of their own."""
        for (body,) in await self._rows(SELECT_BORDERING, first, last, first, last):
            members = await opened(body)
            for seq in members:
                for *row, check in await self._rows(SELECT_BATCHES, seq, seq, 1):
                    payload = payload_in(members, row, check)
                    if not row[-1] and payload is not None:
                        fields = (*row[:-1], payload)
                        await self._writer.execute(INSERT_BATCH, (*fields, row_check(*fields)))
        await self._writer.execute(DELETE_BUNDLES, (first, last))

    async def readings_of(self, ranges: Iterable[SeqRange]) -> tuple[int, int]:
        """How many batches of `ranges` are in the file, and how many readings they hold."""
        batches = readings = 0
        for first, last in ranges:
            for count, total in await self._rows(COUNT_READINGS, first, last):
                batches, readings = batches + count, readings + total
        return batches, readings

    async def read(self, ranges: Iterable[SeqRange], max_batches: int, max_bytes: int) -> Found:
        """The batches of `ranges` that are in the file, lowest first; at least one where there is any sound one.

        Numbers that do not go up are as malformed as a page that SQLite makes no sense of: one stands for another.
        """
        found, bundle = Found([], []), _OpenBundle(self._reader)
        size = 0
        for first, last in ranges:
            limit = max_batches - len(found.batches)
            async with self._reader.execute(SELECT_BATCHES, (first, last, limit)) as rows:
                async for *row, check in rows:
                    seq, kind, sealed_ms, _, _, readings, payload = row
                    if not first <= seq <= last:
                        raise out_of_order(seq)
                    first = seq + 1
                    if not payload:
                        payload = payload_in(await bundle.members(seq), row, check)
                    elif check is not None and check != row_check(*row):
                        payload = None
                    if payload is None:
                        found.damaged.append(seq)
                        continue
                    size += len(payload)
                    if found.batches and size > max_bytes:
                        return found
                    found.batches.append(
                        Batch(seq=seq, kind=kind, payload=payload, readings=readings, sealed_ms=sealed_ms)
                    )
            if len(found.batches) >= max_batches:
                break
        return found

    async def sealed_ms(self, seq: int) -> int | None:
        """When a batch was sealed; None where it is not in the file."""
        for (sealed_ms,) in await self._rows(SELECT_SEALED, seq):
            return int(sealed_ms)
        return None

    async def oldest(self, ranges: Iterable[SeqRange], need_bytes: int, *, events: bool = True) -> list[EvictedRow]:
        """The oldest batches of `ranges`, so many that `need_bytes` come free."""
        chosen: list[EvictedRow] = []
        freed = 0
        for first, last in ranges:
            while rows := await self._rows(SELECT_ROWS, first, last, events):
                for seq, readings, size in rows:
                    if len(chosen) >= MAX_EVICTED or freed >= need_bytes:
                        return chosen
                    chosen.append(EvictedRow(seq, readings))
                    freed += size + ROW_BYTES  # not `room_for`: better too few, and once more, than too many
                first = rows[-1][0] + 1
        return chosen

    async def expired(self, after_ms: int, before_ms: int) -> list[int]:
        """Numbers of batches, the oldest first, whose last reading is of that time; not all where they are many."""
        return [seq for (seq,) in await self._rows(SELECT_EXPIRED, after_ms, before_ms)]

    async def window(self, after: tuple[int, int], to_ms: int) -> list[tuple[int, int]]:
        """(last_ms, seq) of batches that can have readings before `to_ms`, those behind `after`; not all if many."""
        parameters = (*after, to_ms + LONGEST_MS, WINDOW_ROWS)
        return [(last_ms, seq) for last_ms, seq in await self._reader.execute_fetchall(SELECT_WINDOW, parameters)]

    async def average_bytes(self, ranges: Iterable[SeqRange]) -> float:
        """About how long a batch of `ranges` is, by the oldest of them; 0 where there is none."""
        for first, last in ranges:
            if rows := await self._rows(SELECT_ROWS, first, last, 1):
                return float(sum(size + ROW_BYTES for _, _, size in rows) / len(rows))
        return 0.0

    async def sizes(self) -> Sizes:
        """The length of the file and what is used of it, in bytes, as this connection sees them."""
        ((pages, free, page_bytes),) = await self._rows(SELECT_SIZES)
        return Sizes(pages * page_bytes, (pages - free) * page_bytes)

    async def shrink(self) -> None:
        """Give some free pages back to the file system."""
        await self._writer.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")  # `execute` gives back one page

    async def _wait_for_others(self, seconds: float) -> None:
        if not self.closed:
            await self._writer.execute(f"PRAGMA busy_timeout = {round(1000 * seconds)}")

    async def _rows(self, sql: str, *parameters: Any) -> list[Any]:
        return list(await self._writer.execute_fetchall(sql, parameters))


class _OpenBundle:
    """The bundle that was looked into last: batches are read in order, and each is unpacked once."""

    def __init__(self, reader: aiosqlite.Connection) -> None:
        self._reader = reader
        self._last = 0
        self._members: Mapping[int, Member] = {}

    async def members(self, seq: int) -> Mapping[int, Member]:
        """The members of the bundle that has, or would have, this batch."""
        if seq not in self._members:
            async with self._reader.execute(SELECT_BUNDLE, (seq,)) as rows:
                found = await rows.fetchone()
            if found is not None and found[0] != self._last:
                self._last, self._members = found[0], await opened(found[1])
        return self._members


async def opened(body: bytes) -> Mapping[int, Member]:
    """What is in a bundle, beside everything else; nothing where it is damaged."""
    with suppress(NotABundle):
        return await asyncio.to_thread(members_of, body)
    return {}


async def open_outbox(path: Path, max_bytes: int) -> Outbox:
    """Open the file and bring its schema up to date; raises `sqlite3.Error` and `NewerSchema`."""
    async with AsyncExitStack() as stack:
        connect = aiosqlite.connect(path, isolation_level=None, timeout=BUSY_TIMEOUT_S)
        writer = await stack.enter_async_context(connect)
        await _set_up(writer)
        ((pages,),) = await writer.execute_fetchall("PRAGMA page_count")
        if not pages:  # in a file that is not new it would be written again, for which a full card has no room
            await writer.execute("PRAGMA auto_vacuum = INCREMENTAL")
        for pragma in ("journal_mode = WAL", "synchronous = FULL"):
            await writer.execute(f"PRAGMA {pragma}")
        await writer.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT_BYTES}")
        await migrate(writer)
        ((page_bytes,),) = await writer.execute_fetchall("PRAGMA page_size")
        await writer.execute_fetchall(f"PRAGMA max_page_count = {int(max_bytes * OVER_LIMIT) // page_bytes}")
        await asyncio.to_thread(sync_folder, path.parent)  # names of the file and its WAL, and those it had before
        uri = f"file:{quote(str(path))}?mode=ro"
        connect = aiosqlite.connect(uri, uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S, iter_chunk_size=16)
        reader = await stack.enter_async_context(connect)
        await _set_up(reader)
        return Outbox(stack.pop_all(), writer, reader, path)


async def _set_up(connection: aiosqlite.Connection) -> None:
    connection.text_factory = readable_text
    await connection.execute(f"PRAGMA cache_size = {-CACHE_KIB}")


def room_for(lengths: Iterable[int]) -> int:
    """How many bytes of the file rows with blobs of these lengths take at the most: a long one ends within a page."""
    return sum(length + ROW_BYTES + (PAGE_BYTES if length > PAGE_BYTES // 8 else 0) for length in lengths)


def _row(head: SealedHead, payload: bytes) -> tuple[Any, ...]:
    fields = (*_columns(head), payload)
    return *fields, row_check(*fields)


def _columns(head: SealedHead) -> tuple[int, str, int, int, int, int]:
    return head.seq, head.kind, head.sealed_ms, head.first_ms, head.last_ms, head.readings
