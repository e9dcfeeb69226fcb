"""Is this a whole JPEG picture? Pure.

Looks at the form: every segment up to the scan, its length, and the marker at the end (ITU-T T.81, annex B). What is
inside the scan is not decoded: a byte that changed there shows in the picture only.
"""

from dataclasses import dataclass

SOI, EOI, SOS = 0xD8, 0xD9, 0xDA
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
RESTARTS = frozenset(range(0xD0, 0xD8))


class NoPicture(Exception):
    """These bytes are no whole JPEG picture; the message says why."""


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int


def whole(data: bytes) -> tuple[bytes, Size]:
    """The picture from its first to its last marker, and its size; what a camera fills up behind it is cut off.

    Raises `NoPicture`.
    """
    if not data.startswith(b"\xff\xd8"):
        raise NoPicture(f"it begins with {data[:2].hex(' ').upper()}, not with FF D8")
    size: Size | None = None
    at = 2
    while True:
        marker, at = _marker(data, at)
        if marker == EOI:
            raise NoPicture("it ends before its scan")
        end = at + _length(data, at)
        if marker in FRAMES:
            size = _size(data, at)
        at = end
        if marker == SOS:
            break
    if size is None:
        raise NoPicture("it has a scan, but no frame header")
    return data[: _end_of_scan(data, at)], size


def _marker(data: bytes, at: int) -> tuple[int, int]:
    if at >= len(data) or data[at] != 0xFF:
        raise NoPicture(f"there is no marker at byte {at}")
    while at < len(data) and data[at] == 0xFF:
        at += 1
    if at >= len(data) or data[at] == 0:
        raise NoPicture(f"there is no marker at byte {at}")
    return data[at], at + 1


def _length(data: bytes, at: int) -> int:
    length = int.from_bytes(data[at : at + 2], "big")
    if length < 2 or at + length > len(data):
        raise NoPicture(f"the segment at byte {at} goes past the end")
    return length


def _size(data: bytes, at: int) -> Size:
    height, width = int.from_bytes(data[at + 3 : at + 5], "big"), int.from_bytes(data[at + 5 : at + 7], "big")
    if not width or not height:
        raise NoPicture("its width or height is 0")
    return Size(width, height)


def _end_of_scan(data: bytes, at: int) -> int:
    """Behind the last marker; between scans further segments may stand (progressive pictures)."""
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            raise NoPicture("it has no end: FF D9 is missing")
        marker = data[at + 1]
        if marker == EOI:
            return at + 2
        if marker == 0xFF:
            at += 1
        elif marker == 0 or marker in RESTARTS:
            at += 2
        else:
            at += 2 + _length(data, at + 2)
