"""From a stream of bytes to whole frames, and only whole ones. Pure and incremental.

Promises: a frame that comes out has the right form and checksum; rubbish costs at most the broken frame, since what
looked like a frame is searched again from its second byte; no more than one frame is ever kept waiting.
Must not know: ports, time, what fields mean.
"""

import re
from dataclasses import dataclass

from drivers.serial.checksums import CHECKSUMS
from drivers.serial.options import Frame, Length


@dataclass(frozen=True, slots=True)
class Broken:
    """Why the bytes at some place are no frame."""

    why: str


Cut = int | Broken | None
"""Where a frame ends, why it is none, or None: more bytes are needed to tell."""


class Framer:
    """Cuts a stream into frames. `bad_frames` and `skipped_bytes` count what was thrown away."""

    def __init__(self, frame: Frame) -> None:
        self._cutter = _LineCutter(frame) if frame.framing == "line" else _LengthCutter(frame)
        self._waiting = bytearray()
        self.bad_frames = 0
        self.skipped_bytes = 0
        self.problem = ""
        """What was wrong with the last frame that was thrown away."""

    @property
    def waiting_bytes(self) -> int:
        """How many bytes of an unfinished frame are kept."""
        return len(self._waiting)

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that `data` completes, in order, each with header or start character, checksum and end."""
        self._waiting += data
        return self._scan(more_may_come=True)

    def silence(self) -> list[bytes]:
        """The frames hidden in what waits, now that the line was silent and it will never be whole."""
        return self._scan(more_may_come=False)

    def _scan(self, *, more_may_come: bool) -> list[bytes]:
        frames: list[bytes] = []
        buffer = bytes(self._waiting)
        at = 0
        while True:
            start = self._cutter.start(buffer, at)
            self.skipped_bytes += start - at
            at = start
            cut = self._cutter.end(buffer, at)
            if cut is None and (more_may_come or at == len(buffer)):
                break
            if cut is None:
                cut = Broken(f"a frame was broken off after {len(buffer) - at} bytes")
            if isinstance(cut, Broken):
                self.bad_frames += 1
                self.skipped_bytes += 1
                self.problem = cut.why
                at += 1
            else:
                frames.append(buffer[at:cut])
                at = cut
        del self._waiting[:at]
        return frames


def with_checksum(frame: Frame, data: bytes) -> bytes:
    """The complete frame `data` with its checksum made anew."""
    end = len(data) - len(end_bytes(frame))
    return CHECKSUMS[frame.checksum].mended(data[:end]) + data[end:]


def end_bytes(frame: Frame) -> bytes:
    """What ends a frame behind its checksum; nothing where a length says it."""
    return frame.end.encode("latin-1") if frame.framing == "line" else b""


class _LineCutter:
    def __init__(self, frame: Frame) -> None:
        self._starts = frame.start.encode("latin-1")
        self._end = end_bytes(frame)
        self._max_length = frame.max_length
        self._checksum = CHECKSUMS[frame.checksum]
        self._start = re.compile(b"[" + re.escape(self._starts) + b"]")
        self._body = re.compile(rb"(?:(?![" + re.escape(self._starts) + rb"])[ -~])*")

    def start(self, buffer: bytes, at: int) -> int:
        found = self._start.search(buffer, at)
        return found.start() if found else len(buffer)

    def end(self, buffer: bytes, at: int) -> Cut:
        if at == len(buffer):
            return None
        body = self._body.match(buffer, at + 1)
        stop = body.end() if body else at + 1
        if stop + len(self._end) - at > self._max_length:
            return Broken(f"a line has no end within {self._max_length} bytes")
        if buffer.startswith(self._end, stop):
            problem = self._checksum.problem(buffer[at:stop])
            shown = buffer[at:stop].decode("ascii")
            return Broken(f"{shown} {problem}") if problem else stop + len(self._end)
        if self._end.startswith(buffer[stop:]):
            return None
        if buffer[stop] in self._starts:
            return Broken("a line was broken off by the next one")
        return Broken(f"a line has the byte 0x{buffer[stop]:02X}, which is no text")


class _LengthCutter:
    def __init__(self, frame: Frame) -> None:
        assert frame.length is not None
        self._header = bytes.fromhex(frame.header)
        self._length: Length = frame.length
        self._checksum = CHECKSUMS[frame.checksum]

    def start(self, buffer: bytes, at: int) -> int:
        found = buffer.find(self._header, at)
        if found >= 0:
            return found
        for size in range(min(len(self._header) - 1, len(buffer) - at), 0, -1):
            if buffer.endswith(self._header[:size]):
                return len(buffer) - size
        return len(buffer)

    def end(self, buffer: bytes, at: int) -> Cut:
        field = self._length
        value_at = at + field.at
        if len(buffer) < value_at + field.size:
            return None
        value = int.from_bytes(buffer[value_at : value_at + field.size], field.byte_order)
        if not field.min <= value <= field.max:
            right = str(field.min) if field.min == field.max else f"{field.min} to {field.max}"
            return Broken(f"a frame says that its length is {value}, {right} would fit this model")
        end = at + value + field.add
        if len(buffer) < end:
            return None
        problem = self._checksum.problem(buffer[at:end])
        return Broken(f"{buffer[at:end].hex(' ').upper()} {problem}") if problem else end
