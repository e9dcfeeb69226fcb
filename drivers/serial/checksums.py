"""Checksums of frames by name: where they stand, what they cover, how they are made. Pure.

Promises: what `digits` gives is what `problem` accepts. Must not know: where frames begin and end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import Literal

ChecksumName = Literal["none", "xor_hex", "sum8", "sum16_be"]


@dataclass(frozen=True, slots=True)
class Checksum:
    """`size` bytes at the end of a frame, behind `marker`, over everything before that but the first `skip` bytes."""

    size: int
    digits: Callable[[bytes], bytes]
    marker: bytes = b""
    skip: int = 0
    text: bool = False

    @property
    def tail(self) -> int:
        """How many bytes at the end of a frame belong to the checksum."""
        return len(self.marker) + self.size

    def problem(self, frame: bytes) -> str | None:
        """What is wrong with the checksum of `frame`, or None. `frame` comes without its end characters."""
        if len(frame) < self.skip + self.tail:
            return "is too short"
        if not frame.endswith(self.marker, 0, len(frame) - self.size):
            return f"has no `{self.marker.decode()}` before a checksum"
        sent = frame[len(frame) - self.size :]
        right = self._right(frame)
        if sent == right or (self.text and sent.upper() == right):
            return None
        return f"has the checksum {self._shown(sent)}, {self._shown(right)} would fit"

    def mended(self, frame: bytes) -> bytes:
        """The same frame with the right checksum."""
        return frame[: len(frame) - self.size] + self._right(frame)

    def _right(self, frame: bytes) -> bytes:
        return self.digits(frame[self.skip : len(frame) - self.tail])

    def _shown(self, digits: bytes) -> str:
        return repr(digits.decode("ascii", "replace")) if self.text else digits.hex(" ").upper()


def _xor_hex(covered: bytes) -> bytes:
    return b"%02X" % reduce(xor, covered, 0)


def _sum8(covered: bytes) -> bytes:
    return bytes([sum(covered) & 0xFF])


def _sum16_be(covered: bytes) -> bytes:
    return (sum(covered) & 0xFFFF).to_bytes(2, "big")


CHECKSUMS: dict[ChecksumName, Checksum] = {
    "none": Checksum(0, lambda _covered: b""),
    "xor_hex": Checksum(2, _xor_hex, marker=b"*", skip=1, text=True),
    "sum8": Checksum(1, _sum8),
    "sum16_be": Checksum(2, _sum16_be),
}
"""xor_hex: XOR of what stands between the start character and `*`, two hex digits (NMEA 0183).

sum8, sum16_be: sum of all bytes before it, its lowest byte or 16 bits big-endian (Plantower).
"""
