"""The records of the journal: how each is written as bytes and read back. Pure.

A record is a header (length of the body, CRC-32 of all that follows it, type, number, monotonic time) and a body.
A record that was cut short, or whose bytes changed, ends the reading: nothing after it is taken for a record.
A position names a byte of the journal for ever: the number of the segment file, then the offset in it.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Final, NamedTuple

import msgspec

from agent.clock import ClockState
from agent.model import BatchKind, SeqRange

VERSION: Final = 1
OFFSET_BITS: Final = 32
_CHECKED = struct.Struct("<BIq")
_HEADER = struct.Struct("<II")
HEADER_BYTES: Final = _HEADER.size + _CHECKED.size
_SEGMENT = struct.Struct("<4sB16s36s")
_MAGIC = b"OCJ\n"
_ANCHOR = struct.Struct("<qB")
_BATCH = struct.Struct("<QBqqqqQ")
BATCH_HEAD_BYTES: Final = _BATCH.size
_RANGE = struct.Struct("<QQ")
_CURSORS = struct.Struct("<QQ")
KINDS: Final[tuple[BatchKind, ...]] = ("data", "event", "snapshot", "result")
"""As they are numbered in the file. An event record of an earlier version has the number 0, which is an event too."""
_STATES = tuple(ClockState)


class RecordType(IntEnum):
    """What a record says. Numbers are part of the file format; never use one again for something else."""

    SEGMENT = 1
    SCAN = 2
    EVENT = 3
    BATCH = 4
    SETTLED = 5
    ANCHOR = 6
    CONNECTION = 7
    SEALED = 8


class Record(NamedTuple):
    """One record; `mono_ns`: when it was.

    `number`: readings of a scan or batch, the kind of a single (`EVENT`), or which connection or fate.
    """

    position: int
    type: int
    number: int
    mono_ns: int
    body: bytes

    @property
    def end(self) -> int:
        """Where the next record begins."""
        return self.position + HEADER_BYTES + len(self.body)


class SegmentHead(NamedTuple):
    """What the first record of a segment says: whose numbers and whose monotonic times are in it."""

    epoch: str
    boot_id: str


class Anchor(NamedTuple):
    """The wall clock at one monotonic time, and how far it was to be believed."""

    mono_ns: int
    wall_ms: int
    state: ClockState


class SealedHead(msgspec.Struct, frozen=True, kw_only=True):
    """All of a sealed batch but its payload. `cursor` is up to where its kind of records are sealed with it."""

    seq: int
    kind: BatchKind
    readings: int
    sealed_ms: int
    sealed_mono_ns: int
    first_ms: int
    last_ms: int
    oldest_mono_ns: int
    cursor: int


def pack(type_: int, number: int, mono_ns: int, body: bytes) -> bytes:
    """Give a record as bytes."""
    checked = _CHECKED.pack(type_, number, mono_ns)
    return _HEADER.pack(len(body), zlib.crc32(body, zlib.crc32(checked))) + checked + body


def parse(data: bytes, position: int) -> Iterator[Record]:
    """Read the records of `data`, which begins at `position`; ends before the first that is torn or damaged."""
    offset = 0
    while len(data) - offset >= HEADER_BYTES:
        length, crc = _HEADER.unpack_from(data, offset)
        start = offset + HEADER_BYTES
        body = data[start : start + length]
        if len(body) < length or zlib.crc32(body, zlib.crc32(data[offset + _HEADER.size : start])) != crc:
            return
        type_, number, mono_ns = _CHECKED.unpack_from(data, offset + _HEADER.size)
        yield Record(position + offset, type_, number, mono_ns, body)
        offset = start + length


def pack_segment_head(epoch: str, boot_id: str) -> bytes:
    """The body of the record that every segment begins with."""
    return _SEGMENT.pack(_MAGIC, VERSION, epoch.encode("ascii"), boot_id.encode("ascii"))


def parse_segment_head(record: Record) -> SegmentHead | None:
    """None where this is not the head of a segment that this version understands."""
    if record.type != RecordType.SEGMENT or len(record.body) != _SEGMENT.size:
        return None
    magic, version, epoch, boot_id = _SEGMENT.unpack(record.body)
    if magic != _MAGIC or version != VERSION:
        return None
    return SegmentHead(epoch.rstrip(b"\0").decode("ascii"), boot_id.rstrip(b"\0").decode("ascii"))


def pack_anchor(anchor: Anchor) -> bytes:
    """The body of an anchor record; its monotonic time is the record's."""
    return _ANCHOR.pack(anchor.wall_ms, _STATES.index(anchor.state))


def parse_anchor(record: Record) -> Anchor:
    """The anchor that a record holds."""
    wall_ms, state = _ANCHOR.unpack(record.body)
    return Anchor(record.mono_ns, wall_ms, _STATES[state])


def pack_batch(head: SealedHead, payload: bytes) -> bytes:
    """The body of a batch record; the payload begins `BATCH_HEAD_BYTES` into it."""
    kind = KINDS.index(head.kind)
    times = (head.sealed_ms, head.first_ms, head.last_ms, head.oldest_mono_ns)
    return _BATCH.pack(head.seq, kind, *times, head.cursor) + payload


def parse_batch(record: Record) -> tuple[SealedHead, bytes]:
    """The head and the payload of a batch record."""
    seq, kind, sealed_ms, first_ms, last_ms, oldest_mono_ns, cursor = _BATCH.unpack_from(record.body)
    head = SealedHead(
        seq=seq,
        kind=KINDS[kind],
        readings=record.number,
        sealed_ms=sealed_ms,
        sealed_mono_ns=record.mono_ns,
        first_ms=first_ms,
        last_ms=last_ms,
        oldest_mono_ns=oldest_mono_ns,
        cursor=cursor,
    )
    return head, record.body[_BATCH.size :]


def pack_cursors(scan_cursor: int, event_cursor: int) -> bytes:
    """The body of a record that says up to where scans and events are sealed in batches that are not in the journal."""
    return _CURSORS.pack(scan_cursor, event_cursor)


def parse_cursors(record: Record) -> tuple[int, int]:
    """Up to where scans, and events, are sealed."""
    scan_cursor, event_cursor = _CURSORS.unpack(record.body)
    return scan_cursor, event_cursor


def pack_ranges(ranges: Iterable[SeqRange]) -> bytes:
    """The body of a record that names batches."""
    return b"".join(_RANGE.pack(first, last) for first, last in ranges)


def parse_ranges(body: bytes) -> list[SeqRange]:
    """The batches that a record names."""
    return list(_RANGE.iter_unpack(body))
