"""The IOC's database: one transaction a message, committed before anything is acknowledged.

`message.id` is the order of arrival, so that "in order within each lane" can be asked in SQL.
"""

import sqlite3
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import msgspec

from simulators.ioc.messages import Event, Sealed, Value

_INSERT_MESSAGE = """
INSERT INTO message (gateway, epoch, seq, low, lane, clock, sealed_ms, received_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (gateway, epoch, seq) DO NOTHING
"""
_INSERT_DUPLICATE = "INSERT INTO duplicate (gateway, epoch, seq, low, lane, received_ms) VALUES (?, ?, ?, ?, ?, ?)"
_INSERT_READING = """
INSERT INTO reading (gateway, device, point, time_ms, value, quality, message) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (gateway, device, point, time_ms) DO NOTHING
"""
_CHANGE_READING = """
UPDATE reading SET value = ?5, quality = ?6, changed = changed + 1
WHERE gateway = ?1 AND device = ?2 AND point = ?3 AND time_ms = ?4 AND (value <> ?5 OR quality <> ?6) AND ?7
"""
_INSERT_EVENT = """
INSERT INTO event (message, gateway, epoch, type, severity, device, time_ms, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_INSERT_RESULT = "INSERT INTO result (message, gateway, request, ok, body) VALUES (?, ?, ?, ?, ?)"
_INSERT_CORRECTION = "INSERT INTO correction (gateway, epoch, first, last, offset_ms) VALUES (?, ?, ?, ?, ?)"
_OFFSET_OF = """
SELECT coalesce(sum(offset_ms), 0) FROM correction WHERE gateway = ? AND epoch = ? AND ? BETWEEN first AND last
"""
_MOVE_EVENTS = """
UPDATE event SET time_ms = time_ms + ?1 WHERE message IN
(SELECT id FROM message WHERE gateway = ?2 AND epoch = ?3 AND seq BETWEEN ?4 AND ?5 AND clock = 'unsync')
"""
_MOVE_READINGS = """
UPDATE reading SET time_ms = -(time_ms + ?1) WHERE gateway = ?2 AND message IN
(SELECT id FROM message WHERE gateway = ?2 AND epoch = ?3 AND seq BETWEEN ?4 AND ?5 AND clock = 'unsync')
"""
_MOVED_READINGS = "UPDATE OR REPLACE reading SET time_ms = -time_ms WHERE gateway = ? AND time_ms < 0"
"""In two steps: one reading may move to where another still is."""
_UPSERT_RETAINED = """
INSERT INTO retained (topic, received_ms, payload) VALUES (?, ?, ?)
ON CONFLICT (topic) DO UPDATE SET received_ms = excluded.received_ms, payload = excluded.payload
"""
_DELETE_RETAINED = "DELETE FROM retained WHERE topic = ?"
_HISTORY = """
SELECT gateway, epoch, seq, low, received_ms FROM (
    SELECT gateway, epoch, seq, low, received_ms FROM message
    UNION ALL SELECT gateway, epoch, seq, low, received_ms FROM duplicate
) ORDER BY received_ms, seq
"""
_COUNTS = "SELECT gateway, COUNT(*), SUM(changed) FROM reading GROUP BY gateway ORDER BY gateway"

_encode = msgspec.json.Encoder().encode


class Stored(msgspec.Struct, frozen=True):
    """What became of one message: `readings` were new, `changed` were there with another value."""

    new: bool
    readings: int = 0
    changed: int = 0


class Database:
    """Opened with `:memory:` or a file; whoever opens closes. Used from one thread."""

    def __init__(self, path: Path | None) -> None:
        self._path = str(path) if path else ":memory:"
        self._db: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open and make the tables; raises `sqlite3.Error`."""
        self._db = sqlite3.connect(self._path, isolation_level=None)
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000;")
        self._db.executescript(files("simulators.ioc").joinpath("schema.sql").read_text(encoding="utf-8"))

    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def store(self, lane: str, message: Sealed, received_ms: int) -> Stored:
        """Store one message whole, or nothing of it; not `new` where its key is there already."""
        key = (message.gateway, message.epoch, message.seq, message.low, lane)
        with self._transaction() as db:
            cursor = db.execute(_INSERT_MESSAGE, (*key, message.clock, message.sealed_ms, received_ms))
            if cursor.rowcount == 0:
                db.execute(_INSERT_DUPLICATE, (*key, received_ms))
                return Stored(new=False)
            number = cursor.lastrowid or 0
            offset_ms = _offset_ms(db, message)
            rows = list(_rows(message, number, offset_ms))
            readings = db.executemany(_INSERT_READING, rows).rowcount if rows else 0
            changed = db.executemany(_CHANGE_READING, rows).rowcount if readings < len(rows) else 0
            if message.event:
                event = message.event
                head = (number, message.gateway, message.epoch, event.type, event.severity, event.device)
                db.execute(_INSERT_EVENT, (*head, event.time_ms + offset_ms, _encode(event).decode()))
                if event.type == "clock.step":
                    _correct(db, message, event)
            if message.result:
                result = message.result
                body = _encode(result).decode()
                db.execute(_INSERT_RESULT, (number, message.gateway, result.id, result.ok, body))
        return Stored(new=True, readings=readings, changed=changed)

    def keep_retained(self, topic: str, payload: str, received_ms: int) -> None:
        """Remember the newest birth, status or health; an empty payload takes it back."""
        with self._transaction() as db:
            if payload:
                db.execute(_UPSERT_RETAINED, (topic, received_ms, payload))
            else:
                db.execute(_DELETE_RETAINED, (topic,))

    def history(self) -> Iterator[tuple[str, str, int, int, int]]:
        """(gateway, epoch, seq, low, received_ms) of all that ever came, to build the ledgers again."""
        yield from self._connection.execute(_HISTORY)

    def counts(self) -> Iterator[tuple[str, int, int]]:
        """(gateway, readings, changes) of everything that is stored; reads the whole table."""
        yield from self._connection.execute(_COUNTS)

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._connection)

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            raise RuntimeError("the database is not open")
        return self._db


class _Transaction:
    """BEGIN IMMEDIATE, then COMMIT, or ROLLBACK where anything was raised."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> sqlite3.Connection:
        self._db.execute("BEGIN IMMEDIATE")
        return self._db

    def __exit__(self, kind: object, err: object, at: object) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")


def _offset_ms(db: sqlite3.Connection, message: Sealed) -> int:
    """What the gateway has said already of the times in this message."""
    if message.clock != "unsync":
        return 0
    ((offset_ms,),) = db.execute(_OFFSET_OF, (message.gateway, message.epoch, message.seq)).fetchall()
    return int(offset_ms)


def _correct(db: sqlite3.Connection, message: Sealed, step: Event) -> None:
    """The clock was set: make the times right of what came before, and remember it for what is still to come."""
    for first, last in step.ranges:
        key = (message.gateway, message.epoch, first, last)
        db.execute(_INSERT_CORRECTION, (*key, step.offset_ms))
        db.execute(_MOVE_EVENTS, (step.offset_ms, *key))
        db.execute(_MOVE_READINGS, (step.offset_ms, *key))
    db.execute(_MOVED_READINGS, (message.gateway,))


def _rows(message: Sealed, number: int, offset_ms: int) -> Iterator[tuple[str, str, str, int, str, str, int]]:
    for scan in message.scans or ():
        for point, value in scan.values.items():
            quality = scan.quality.get(point, "")
            yield message.gateway, scan.device, point, scan.time_ms + offset_ms, _json(value), quality, number


def _json(value: Value) -> str:
    return _encode(value).decode()
