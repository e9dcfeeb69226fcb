"""Checksums of frames by name, and where they stand in a frame. Pure.

Promises: what `mended` makes is what `problem` accepts. Must not know: where frames begin and end.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import Literal, get_args

ChecksumName = Literal[
    "none",
    "xor_hex",
    "sum8",
    "sum16_be",
    "sum16_le",
    "negative_sum8",
    "negative_sum8_hex",
    "inverted_sum8",
    "crc16_modbus",
    "crc16_ccitt",
    "crc16_ccitt_ffff",
    "sdi12_crc",
]


@dataclass(frozen=True, slots=True)
class Checksum:
    """`size` bytes made of the bytes that are covered; `text`: they are characters."""

    size: int
    digits: Callable[[bytes], bytes]
    text: bool = False


@dataclass(frozen=True, slots=True)
class PlacedChecksum:
    """A checksum in a frame: `behind` bytes before its end, behind `marker`.

    Covered is what stands between the first `skip` bytes and the marker; with `around`, what stands behind it too.
    """

    checksum: Checksum
    skip: int = 0
    marker: bytes = b""
    behind: int = 0
    around: bool = False

    @property
    def tail(self) -> int:
        """How many bytes at the end of a frame are no content: marker, checksum, and what stands behind them."""
        return len(self.marker) + self.checksum.size + self.behind

    def problem(self, frame: bytes) -> str | None:
        """What is wrong with the checksum of the complete `frame`, or None."""
        if len(frame) < self.skip + self.tail:
            return "is too short"
        stands = len(frame) - self.behind - self.checksum.size
        if not frame.endswith(self.marker, 0, stands):
            return f"has no `{self.marker.decode('latin-1')}` before a checksum"
        sent = frame[stands : stands + self.checksum.size]
        right = self._right(frame)
        if sent == right or (self.checksum.text and sent.upper() == right.upper()):
            return None
        return f"has the checksum {self._shown(sent)}, {self._shown(right)} would fit"

    def mended(self, frame: bytes) -> bytes:
        """The same frame with the right checksum."""
        stands = len(frame) - self.behind - self.checksum.size
        return frame[:stands] + self._right(frame) + frame[stands + self.checksum.size :]

    def _right(self, frame: bytes) -> bytes:
        stands = len(frame) - self.behind - self.checksum.size
        if self.around:
            return self.checksum.digits(frame[self.skip : stands] + frame[stands + self.checksum.size :])
        return self.checksum.digits(frame[self.skip : stands - len(self.marker)])

    def _shown(self, digits: bytes) -> str:
        return repr(digits.decode("latin-1")) if self.checksum.text else digits.hex(" ").upper()


def _sum(covered: bytes) -> int:
    return sum(covered) & 0xFFFF


def crc16(covered: bytes, *, start: int, polynomial: int) -> int:
    """A CRC of 16 bits, highest bit first (CCITT)."""
    crc = start
    for byte in covered:
        crc ^= byte << 8
        for _ in range(8):
            crc = ((crc << 1) ^ polynomial if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc


def crc16_reflected(covered: bytes, *, start: int) -> int:
    """A CRC of 16 bits with the polynomial 0xA001, lowest bit first (Modbus, SDI-12)."""
    crc = start
    for byte in covered:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def _sdi12_crc(covered: bytes) -> bytes:
    crc = crc16_reflected(covered, start=0)
    return bytes(0x40 | (crc >> shift) & 0x3F for shift in (12, 6, 0))


CHECKSUMS: dict[ChecksumName, Checksum] = {
    "none": Checksum(0, lambda _covered: b""),
    "xor_hex": Checksum(2, lambda covered: b"%02X" % reduce(xor, covered, 0), text=True),
    "sum8": Checksum(1, lambda covered: bytes([_sum(covered) & 0xFF])),
    "sum16_be": Checksum(2, lambda covered: _sum(covered).to_bytes(2, "big")),
    "sum16_le": Checksum(2, lambda covered: _sum(covered).to_bytes(2, "little")),
    "negative_sum8": Checksum(1, lambda covered: bytes([-_sum(covered) & 0xFF])),
    "negative_sum8_hex": Checksum(2, lambda covered: b"%02X" % (-_sum(covered) & 0xFF), text=True),
    "inverted_sum8": Checksum(1, lambda covered: bytes([~_sum(covered) & 0xFF])),
    "crc16_modbus": Checksum(2, lambda covered: crc16_reflected(covered, start=0xFFFF).to_bytes(2, "little")),
    "crc16_ccitt": Checksum(2, lambda covered: crc16(covered, start=0, polynomial=0x1021).to_bytes(2, "big")),
    "crc16_ccitt_ffff": Checksum(2, lambda covered: crc16(covered, start=0xFFFF, polynomial=0x1021).to_bytes(2, "big")),
    "sdi12_crc": Checksum(3, _sdi12_crc),
}
"""What each name means stands in the README of this folder, in the words of the devices' manuals."""

assert CHECKSUMS.keys() == set(get_args(ChecksumName))
