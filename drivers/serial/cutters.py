"""What a frame of each form looks like in a buffer: lines, binary frames, stuffed ones. Pure.

Promises: what is cut out has the right form and checksum; `None` only where more bytes can still make it whole.
Must not know: what came before, what fields mean.
"""

import re
from dataclasses import dataclass
from typing import Protocol

from drivers.serial.checksums import PlacedChecksum
from drivers.serial.profile import Frame, Length, Stuffing


@dataclass(frozen=True, slots=True)
class Broken:
    """Why the bytes at some place are no frame, and how many of them are certainly no beginning of one."""

    why: str
    skip: int = 1


Cut = int | Broken | None
"""Where a frame ends, why it is none, or None: more bytes are needed to tell."""


def end_bytes(frame: Frame) -> bytes:
    """What ends a line behind its checksum; nothing in binary frames."""
    return frame.end.encode("latin-1") if frame.is_text else b""


def cutter(frame: Frame) -> "Cutter":
    """The one for frames of this form."""
    if frame.is_text:
        return _LineCutter(frame)
    return _StuffedCutter(frame) if frame.framing == "stuffed" else _BinaryCutter(frame)


class Cutter(Protocol):
    """Finds frames of one form in a buffer."""

    def start(self, buffer: bytes, at: int) -> int:
        """Where the next frame may begin, from `at` on; the end of the buffer where none does."""

    def end(self, buffer: bytes, at: int) -> Cut:
        """What is at `at`."""

    def content(self, cut: bytes) -> bytes:
        """The frame in the bytes that were cut out."""

    def next(self, end: int) -> int:
        """Where to search on behind a frame that ends at `end`."""


class _LineCutter:
    def __init__(self, frame: Frame) -> None:
        self._starts = frame.start.encode("latin-1")
        self._end = end_bytes(frame)
        self._max_length = frame.max_length
        self._checksum = frame.checked
        not_start = rb"(?![" + re.escape(self._starts) + rb"])" if self._starts else b""
        begin = self._starts or bytes(range(0x20, 0x7F))
        marker = self._checksum.marker
        self._start = re.compile(b"[" + re.escape(begin) + b"]")
        self._body = re.compile(rb"(?:" + not_start + rb"[ -~" + re.escape(marker) + rb"])*")

    def start(self, buffer: bytes, at: int) -> int:
        found = self._start.search(buffer, at)
        return found.start() if found else len(buffer)

    def end(self, buffer: bytes, at: int) -> Cut:
        if at == len(buffer):
            return None
        body = self._body.match(buffer, at + 1)
        stop = body.end() if body else at + 1
        skip = 1 if self._starts else stop - at
        if stop + len(self._end) - at > self._max_length:
            return Broken(f"a line has no end within {self._max_length} bytes", skip)
        if buffer.startswith(self._end, stop):
            problem = self._checksum.problem(buffer[at : stop + len(self._end)])
            shown = buffer[at:stop].decode("ascii")
            return Broken(f"{shown} {problem}", skip) if problem else stop + len(self._end)
        if self._end.startswith(buffer[stop:]):
            return None
        if buffer[stop] in self._starts:
            return Broken("a line was broken off by the next one")
        return Broken(f"a line has the byte 0x{buffer[stop]:02X}, which is no text", skip)

    def content(self, cut: bytes) -> bytes:
        return cut

    def next(self, end: int) -> int:
        return end


class _BinaryCutter:
    """A header, and a length that the frame says or that never changes."""

    def __init__(self, frame: Frame) -> None:
        self._header = bytes.fromhex(frame.header)
        self._trailer = bytes.fromhex(frame.trailer)
        self._length = frame.length
        self._size = frame.size
        self._checksum = frame.checked

    def start(self, buffer: bytes, at: int) -> int:
        found = buffer.find(self._header, at)
        if found >= 0:
            return found
        for size in range(min(len(self._header) - 1, len(buffer) - at), 0, -1):
            if buffer.endswith(self._header[:size]):
                return len(buffer) - size
        return len(buffer)

    def end(self, buffer: bytes, at: int) -> Cut:
        size = self._size if self._length is None else _told_size(self._length, buffer, at)
        if size is None or isinstance(size, Broken):
            return size
        if len(buffer) < at + size:
            return None
        problem = _binary_problem(self._checksum, self._trailer, buffer[at : at + size])
        return problem or at + size

    def content(self, cut: bytes) -> bytes:
        return cut

    def next(self, end: int) -> int:
        return end


def _told_size(field: Length, buffer: bytes, at: int) -> int | Broken | None:
    """How long the frame at `at` says that it is."""
    value_at = at + field.at
    if len(buffer) < value_at + field.size:
        return None
    value = int.from_bytes(buffer[value_at : value_at + field.size], field.byte_order)
    if not field.min <= value <= field.max:
        right = str(field.min) if field.min == field.max else f"{field.min} to {field.max}"
        return Broken(f"a frame says that its length is {value}, {right} would fit this model")
    return value + field.add


def _binary_problem(checksum: PlacedChecksum, trailer: bytes, frame: bytes) -> Broken | None:
    shown = frame.hex(" ").upper()
    if not frame.endswith(trailer):
        return Broken(
            f"{shown} ends with {frame[-len(trailer) :].hex(' ').upper()}, {trailer.hex(' ').upper()} would fit"
        )
    problem = checksum.problem(frame)
    return Broken(f"{shown} {problem}") if problem else None


class _StuffedCutter:
    """Between two flags, other bytes that would be mistaken are escaped. One flag may end a frame and begin another."""

    def __init__(self, frame: Frame) -> None:
        self._flag = bytes.fromhex(frame.stuffing.flag)
        self._stuffing = frame.stuffing
        self._max_length = frame.max_length
        self._header = bytes.fromhex(frame.header)
        self._length = frame.length
        self._checksum = frame.checked

    def start(self, buffer: bytes, at: int) -> int:
        """The last of several flags in a row: what stands between them is empty."""
        found = buffer.find(self._flag, at)
        if found < 0:
            return len(buffer)
        while buffer.startswith(self._flag, found + 1):
            found += 1
        return found

    def end(self, buffer: bytes, at: int) -> Cut:
        stop = buffer.find(self._flag, at + 1)
        if (len(buffer) if stop < 0 else stop) - at > self._max_length:
            return Broken(f"a frame has no end within {self._max_length} bytes")
        if stop < 0:
            return None
        frame = _unstuffed(self._stuffing, buffer[at + 1 : stop])
        if frame is None:
            return Broken("a frame ends with half an escaped byte")
        return self._judged(frame) or stop

    def _judged(self, frame: bytes) -> Broken | None:
        if not frame.startswith(self._header):
            return Broken(f"{frame.hex(' ').upper()} does not begin with {self._header.hex(' ').upper()}")
        if self._length is not None:
            size = _told_size(self._length, frame, 0)
            if isinstance(size, Broken):
                return size
            if size != len(frame):
                return Broken(f"{frame.hex(' ').upper()} is {len(frame)} bytes long, its length field says {size}")
        return _binary_problem(self._checksum, b"", frame)

    def content(self, cut: bytes) -> bytes:
        frame = _unstuffed(self._stuffing, cut[1:])
        assert frame is not None
        return frame

    def next(self, end: int) -> int:
        """At the flag that ends the frame: it may begin the next one."""
        return end


def _unstuffed(stuffing: Stuffing, data: bytes) -> bytes | None:
    escape, xor = int(stuffing.escape, 16), int(stuffing.xor, 16)
    out = bytearray()
    escaped = False
    for byte in data:
        if not escaped and byte == escape:
            escaped = True
            continue
        out.append(byte ^ xor if escaped else byte)
        escaped = False
    return None if escaped else bytes(out)


def stuffed(stuffing: Stuffing, frame: bytes) -> bytes:
    """`frame` with its flags; XON and XOFF are escaped too, as SHDLC does it."""
    flag, escape, xor = (int(text, 16) for text in (stuffing.flag, stuffing.escape, stuffing.xor))
    out = bytearray([flag])
    for byte in frame:
        out += bytes([escape, byte ^ xor]) if byte in (flag, escape, 0x11, 0x13) else bytes([byte])
    return bytes(out) + bytes([flag])
