"""The journal: files on the RAM disk to which every reading is written at once.

What `write` has returned for is in the kernel's hands and outlives a kill -9; nothing here waits for a disk.
A torn end of a file is cut off in reading, never an error: its writer never came back to say that it was kept.
Knows records and files, not what they mean.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from agent.store.records import OFFSET_BITS, Record, RecordType, SegmentHead, pack, parse, parse_segment_head

CHUNK_BYTES = 256 * 1024
_OFFSET_MASK = (1 << OFFSET_BITS) - 1
_NAME = re.compile(r"^(\d{8})\.seg$")
_RAM_FILE_SYSTEMS = frozenset({"tmpfs", "ramfs"})


class OldSegment(NamedTuple):
    """A segment that an earlier process wrote: its head and all its whole records."""

    path: Path
    number: int
    head: SegmentHead
    records: tuple[Record, ...]

    @property
    def start(self) -> int:
        return self.number << OFFSET_BITS

    @property
    def end(self) -> int:
        return self.records[-1].end


class _Segment:
    """One open file; `size` is where the next record goes."""

    def __init__(self, path: Path, number: int, size: int) -> None:
        self.path = path
        self.number = number
        self.size = size
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


class Journal:
    """The segments of one folder, written by one process. Opening adopts segments that are to be read on.

    `begin` writes what every segment begins with; it is called before the first record of one that is empty.
    """

    def __init__(self, folder: Path, number: int, adopted: tuple[OldSegment, ...] = ()) -> None:
        self.begin: Callable[[], None] = lambda: None
        self._folder = folder
        self._segments = [_Segment(old.path, old.number, old.end & _OFFSET_MASK) for old in adopted]
        self._segments.append(self._create(number))

    @property
    def end(self) -> int:
        """The position of the next record."""
        current = self._segments[-1]
        return current.number << OFFSET_BITS | current.size

    @property
    def segment_bytes(self) -> int:
        """How long the segment is that is being written."""
        return self._segments[-1].size

    def bytes_from(self, start: int) -> int:
        """How long the journal is from `start` on."""
        number, offset = start >> OFFSET_BITS, start & _OFFSET_MASK
        return sum(s.size - (offset if s.number == number else 0) for s in self._segments if s.number >= number)

    def write(self, type_: int, count: int, mono_ns: int, body: bytes) -> int:
        """Write one record whole and give its position; raises OSError and leaves nothing of it behind."""
        segment = self._segments[-1]
        if not segment.size and type_ != RecordType.SEGMENT:
            self.begin()
        data = pack(type_, count, mono_ns, body)
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(segment.fd, data[written:], segment.size + written)
        except OSError:
            os.ftruncate(segment.fd, segment.size)
            raise
        position = segment.number << OFFSET_BITS | segment.size
        segment.size += len(data)
        return position

    def read(self, position: int, size: int) -> bytes:
        """`size` bytes from `position`, which must be in one segment; raises OSError."""
        number = position >> OFFSET_BITS
        for segment in self._segments:
            if segment.number == number:
                return os.pread(segment.fd, size, position & _OFFSET_MASK)
        raise FileNotFoundError(f"segment {number} of the journal is gone")

    def records(self, start: int) -> Iterator[Record]:
        """The records from `start` on, in the order of writing; `start` is where a record begins or a file ends."""
        for segment in tuple(self._segments):
            base = segment.number << OFFSET_BITS
            if base + segment.size > start:
                yield from self._records_of(segment, max(start - base, 0))

    def slices(self, start: int) -> Iterator[tuple[int, bytes]]:
        """The raw bytes from `start` on, as pieces of one segment each, with their positions."""
        for segment in tuple(self._segments):
            base = segment.number << OFFSET_BITS
            offset = max(start - base, 0)
            if segment.size > offset:
                yield base + offset, os.pread(segment.fd, segment.size - offset, offset)

    @contextmanager
    def rotated(self) -> Iterator[None]:
        """Go on in a new segment, whose first records are written within; on OSError the old one stays."""
        self._segments.append(self._create(self._segments[-1].number + 1))
        try:
            yield
        except OSError:
            self._remove(self._segments.pop())
            raise

    def start_over(self) -> None:
        """Delete everything; nothing in it may be needed any more. The new segment begins when there is room."""
        new = self._create(self._segments[-1].number + 1)
        for segment in self._segments:
            self._remove(segment)
        self._segments = [new]

    def drop_before(self, position: int) -> None:
        """Delete the segments that end before `position`, but never the one that is being written."""
        number = position >> OFFSET_BITS
        gone = [segment for segment in self._segments[:-1] if segment.number < number]
        self._segments = [segment for segment in self._segments if segment not in gone]
        for segment in gone:
            self._remove(segment)

    def close(self, *, delete: bool) -> None:
        """Close the files; delete them where nothing in them is needed any more."""
        for segment in self._segments:
            os.close(segment.fd)
            if delete:
                segment.path.unlink(missing_ok=True)
        self._segments = []

    @staticmethod
    def _remove(segment: _Segment) -> None:
        os.close(segment.fd)
        segment.path.unlink(missing_ok=True)

    def _create(self, number: int) -> _Segment:
        return _Segment(self._folder / f"{number:08d}.seg", number, 0)

    def _records_of(self, segment: _Segment, offset: int) -> Iterator[Record]:
        base, want = segment.number << OFFSET_BITS, CHUNK_BYTES
        while offset < segment.size:
            data = os.pread(segment.fd, min(want, segment.size - offset), offset)
            end = base + offset
            for record in parse(data, base + offset):
                yield record
                end = record.end
            if end == base + offset and len(data) < want:
                return  # damaged: nothing after this point of the file can be read
            want = CHUNK_BYTES if end > base + offset else want * 4
            offset = end - base


def old_segments(folder: Path) -> list[OldSegment]:
    """What earlier processes left in `folder`, oldest first; files without a readable head are passed over."""
    found: list[OldSegment] = []
    for path in sorted(folder.glob("*.seg")):
        match = _NAME.match(path.name)
        if match is None:
            continue
        number = int(match[1])
        records = tuple(parse(path.read_bytes(), number << OFFSET_BITS))
        head = parse_segment_head(records[0]) if records else None
        if head is not None:
            found.append(OldSegment(path, number, head, records))
    return found


def last_number(folder: Path) -> int:
    """The highest number of any segment in `folder`, readable or not; 0 for none."""
    matches = (_NAME.match(path.name) for path in folder.glob("*.seg"))
    return max((int(match[1]) for match in matches if match), default=0)


def is_ram_disk(folder: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> bool:
    """Whether `folder` is on a file system that lives in memory (proc(5), mountinfo)."""
    best, kind = -1, ""
    resolved = folder.resolve()
    for line in mountinfo.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        left, _, right = line.partition(" - ")
        point = Path(left.split()[4].replace("\\040", " "))
        if resolved.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), right.split()[0]
    return kind in _RAM_FILE_SYSTEMS
