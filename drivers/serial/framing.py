"""From a stream of bytes to whole frames, and only whole ones. Pure and incremental.

Promises: a frame that comes out has the right form and checksum; rubbish costs at most the broken frame, since what
looked like a frame is searched again from its second byte; no more than one frame is ever kept waiting.
Must not know: ports, time, what fields mean.
"""

from typing import Final

from drivers.serial.cutters import Broken, cutter, stuffed
from drivers.serial.profile import Frame

MAX_BURST: Final = 8192


class Framer:
    """Cuts a stream into frames. `bad_frames` and `skipped_bytes` count what was thrown away."""

    def __init__(self, frame: Frame) -> None:
        self._cutter = cutter(frame)
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
                self.skipped_bytes += cut.skip
                self.problem = cut.why
                at += cut.skip
            else:
                frames.append(self._cutter.content(buffer[at:cut]))
                at = self._cutter.next(cut)
        del self._waiting[:at]
        return frames


class Burst:
    """What comes between two pauses, for frames that come alone: bytes that are stuck to a frame break it."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._waiting = bytearray()
        self.bad_frames = 0
        self.problem = ""

    @property
    def waits(self) -> bool:
        """Has a burst begun that is not yet judged?"""
        return bool(self._waiting)

    def hear(self, data: bytes) -> None:
        """More of the burst. It is never kept longer than a frame can be: more is as wrong as one byte too many."""
        self._waiting += data[: MAX_BURST - len(self._waiting)]

    def end(self) -> list[bytes]:
        """The frames of the burst, now that a pause ended it: all of it, or nothing."""
        burst = bytes(self._waiting)
        self._waiting.clear()
        if not burst:
            return []
        frames, problem = whole_frames(self._frame, burst)
        if problem:
            self.bad_frames += 1
            self.problem = problem
        return frames


def whole_frames(frame: Frame, burst: bytes) -> tuple[list[bytes], str]:
    """The frames of a burst that is nothing but whole frames; else none, and why."""
    framer = Framer(frame)
    frames = framer.feed(burst)
    left = framer.waiting_bytes - (frame.framing == "stuffed" and bool(frames))
    if frames and not framer.skipped_bytes and not left:
        return frames, ""
    shown = burst[:64].hex(" ").upper()
    return [], framer.problem or f"{shown} is {'a frame and other bytes' if frames else 'no whole frame'}"


def with_checksum(frame: Frame, data: bytes) -> bytes:
    """The complete frame `data` with its checksum made anew."""
    return frame.checked.mended(data)


def on_the_wire(frame: Frame, data: bytes) -> bytes:
    """The bytes that are sent for the frame `data`."""
    return stuffed(frame.stuffing, data) if frame.framing == "stuffed" else data
