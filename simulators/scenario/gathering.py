"""Evidence out of what a run has left: the IOC's database and pictures, the gateway's output."""

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from simulators.scenario.evidence import Account, Arrival, Event, Line, Stream, json_account

PICTURE: Final = "picture"
_READINGS: Final = """
SELECT reading.device, reading.point, reading.value, reading.time_ms, message.received_ms, reading.quality, message.lane
FROM reading JOIN message ON message.id = reading.message ORDER BY reading.time_ms, reading.device, reading.point
"""
_CHANGED: Final = (
    "SELECT device, point, time_ms, changed FROM reading WHERE changed > 0 ORDER BY time_ms, device, point"
)
_EVENTS: Final = "SELECT type, time_ms, device, body FROM event ORDER BY id"
_MESSAGES: Final = "SELECT (SELECT COUNT(*) FROM message) + (SELECT COUNT(*) FROM duplicate)"


class _Body(msgspec.Struct, frozen=True):
    """What the IOC has kept of an event, beside its columns."""

    reason: str = ""
    readings: int | None = None


class IocEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """What the reference IOC has stored."""

    arrivals: list[Arrival]
    events: list[Event]
    duplicates: int
    changed: list[str]
    readings: int


def at_ioc(database: Path, pictures: Path) -> IocEvidence:
    """Everything that has arrived; raises `sqlite3.Error`."""
    db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        readings = list(_readings(db))
        (duplicates,) = db.execute("SELECT COUNT(*) FROM duplicate").fetchone()
        return IocEvidence(
            arrivals=[*readings, *_pictures(pictures)],
            events=list(_events(db)),
            duplicates=duplicates,
            changed=[
                f"{device}.{point} at {at} ms, {times} times" for device, point, at, times in db.execute(_CHANGED)
            ],
            readings=len(readings),
        )
    finally:
        db.close()


def messages_at_ioc(database: Path) -> int:
    """How many messages have come so far, duplicates too; 0 while the database cannot be read."""
    try:
        db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        try:
            return int(db.execute(_MESSAGES).fetchone()[0])
        finally:
            db.close()
    except sqlite3.Error:
        return 0


def twice(arrivals: Iterable[Arrival]) -> tuple[int, list[str]]:
    """How many came again as they were, and which with another value, where no IOC has looked at it."""
    first: dict[tuple[str, str, int], Arrival] = {}
    duplicates, changed = 0, list[str]()
    for one in arrivals:
        known = first.setdefault((one.device, one.point, one.time_ms), one)
        if known is not one:
            duplicates += 1
            if known.value != one.value:
                changed.append(f"{one.device}.{one.point} at {one.time_ms} ms: {known.value!r}, then {one.value!r}")
    return duplicates, changed


def account_in(output: Sequence[Line]) -> Account | None:
    """The last account that the gateway has printed on stdout."""
    for line in reversed(output):
        if line.stream == "stdout" and line.text.startswith("{"):
            try:
                found = json_account(msgspec.json.decode(line.text))
            except msgspec.DecodeError:
                continue
            if found is not None:
                return found
    return None


class Tail:
    """Reads what is appended to a file, line by line, with the time when it was seen."""

    def __init__(self, file: Path, stream: Stream, max_lines: int = 200_000) -> None:
        self._file = file
        self._stream: Stream = stream
        self._left = max_lines
        self._read = 0
        self._rest = b""
        self.missed = 0

    def lines(self, now_ms: int, *, at_end: bool = False) -> Iterator[Line]:
        """What is new; `at_end` also what no newline has ended. Beyond `max_lines` they are counted in `missed`."""
        if not self._file.exists():
            return
        with self._file.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        self._read += len(data)
        *whole, self._rest = (self._rest + data).split(b"\n")
        if at_end and self._rest:
            whole.append(self._rest)
        for line in whole:
            if self._left <= 0:
                self.missed += 1
                continue
            self._left -= 1
            yield Line(now_ms, self._stream, line.decode("utf-8", "replace"))


def bytes_in(folder: Path) -> int:
    """The sizes of all files below a folder; what vanishes meanwhile counts for nothing."""
    sizes = Counter[str]()
    for path in folder.rglob("*"):
        try:
            sizes["bytes"] += path.lstat().st_size if path.is_file() else 0
        except OSError:
            continue
    return sizes["bytes"]


def _readings(db: sqlite3.Connection) -> Iterator[Arrival]:
    for device, point, value, time_ms, received_ms, quality, lane in db.execute(_READINGS):
        yield Arrival(device, point, msgspec.json.decode(value), time_ms, received_ms, quality, lane == "data")


def _events(db: sqlite3.Connection) -> Iterator[Event]:
    for name, time_ms, device, body in db.execute(_EVENTS):
        event = msgspec.json.decode(body, type=_Body)
        yield Event(name, time_ms, device or "", event.reason, event.readings)


def _pictures(folder: Path) -> Iterator[Arrival]:
    """DIR/GATEWAY/DEVICE/TIME-ID.jpg; in the truth a picture is its SHA-256."""
    for file in sorted(folder.glob("*/*/*.jpg")):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        came_ms = int(file.stat().st_mtime * 1_000)
        yield Arrival(file.parent.name, PICTURE, digest, _taken_ms(file.stem.partition("-")[0]), came_ms, live=False)


def _taken_ms(name: str) -> int:
    """20261126T214700123Z, in ms since 1970."""
    taken = datetime.strptime(name[:15] + "Z", "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return int(taken.timestamp()) * 1_000 + int(name[15:18])
