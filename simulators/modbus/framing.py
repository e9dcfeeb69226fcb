"""How requests stand on the wire: MBAP on TCP, RTU with CRC or ASCII with LRC on serial lines. Pure and incremental.

Written apart from pymodbus and from `drivers` on purpose: where both ends share a mistake, no test finds it.
Sources: MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 3.1.3; MODBUS over Serial Line V1.02, 2.5 and 6.2.
"""

import re
import struct
from collections.abc import Iterator

MAX_PDU_BYTES = 253
MAX_RTU_BYTES = 256
MAX_ASCII_BYTES = 513
_MBAP_BYTES = 7
_SHORTEST_RTU = 4
_ASCII_FRAME = re.compile(rb":((?:[0-9A-F]{2}){3,})")
_FIXED_RTU_BYTES = dict.fromkeys(range(1, 7), 8) | {7: 4, 8: 8, 11: 4, 12: 4, 17: 4, 22: 10, 24: 6}
_COUNTED_RTU = {15: 6, 16: 6, 23: 10, 20: 2, 21: 2}
"""Function -> where its byte count stands; the frame ends that many bytes and a CRC later."""


class NotModbus(Exception):
    """These bytes cannot be Modbus TCP; a server closes the connection."""


def mbap_frame(transaction: int, unit: int, pdu: bytes) -> bytes:
    """One Modbus TCP frame."""
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


def rtu_frame(unit: int, pdu: bytes) -> bytes:
    """One RTU frame with its CRC, low byte first."""
    body = bytes((unit,)) + pdu
    return body + crc16(body).to_bytes(2, "little")


def ascii_frame(unit: int, pdu: bytes) -> bytes:
    """One ASCII frame: a colon, hexadecimal digits with the LRC behind, CR and LF."""
    body = bytes((unit,)) + pdu
    return b":" + (body + bytes((lrc8(body),))).hex().upper().encode() + b"\r\n"


def lrc8(data: bytes) -> int:
    """LRC: what must be added to the sum of the bytes to make it 0, in 8 bits."""
    return -sum(data) & 0xFF


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS: polynomial 0xA001 reflected, start 0xFFFF."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc


class MbapRequests:
    """Cuts a TCP stream into requests: (transaction, unit, PDU)."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Every request that is complete now; raises `NotModbus`."""
        self._buffer += data
        while len(self._buffer) >= _MBAP_BYTES:
            transaction, protocol, length, unit = struct.unpack_from(">HHHB", self._buffer)
            if protocol != 0 or not 2 <= length <= MAX_PDU_BYTES + 1:
                raise NotModbus(f"protocol {protocol}, length {length}")
            end = 6 + length
            if len(self._buffer) < end:
                return
            pdu = bytes(self._buffer[_MBAP_BYTES:end])
            del self._buffer[:end]
            yield transaction, unit, pdu


class RtuRequests:
    """Cuts a serial line into requests: (unit, PDU). What fails its CRC is thrown away at the next silence."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.discarded_bytes = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Every request that is complete and whose CRC is right."""
        self._buffer += data
        while (length := self._length()) is not None and len(self._buffer) >= length:
            frame = bytes(self._buffer[:length])
            if not _crc_is_right(frame):
                break
            del self._buffer[:length]
            yield frame[0], frame[1:-2]
        if len(self._buffer) > MAX_RTU_BYTES:
            self._discard()

    def silence(self) -> Iterator[tuple[int, bytes]]:
        """The line was quiet: what waits is one whole frame of unknown length, or rubbish."""
        frame = bytes(self._buffer)
        if len(frame) >= _SHORTEST_RTU and _crc_is_right(frame):
            self._buffer.clear()
            yield frame[0], frame[1:-2]
        self._discard()

    def _discard(self) -> None:
        self.discarded_bytes += len(self._buffer)
        self._buffer.clear()

    def _length(self) -> int | None:
        """How long the frame at the start of the buffer is, None while that cannot be known."""
        if len(self._buffer) < 2:
            return None
        function = self._buffer[1]
        counted = _COUNTED_RTU.get(function)
        if counted is None:
            return _FIXED_RTU_BYTES.get(function)
        return counted + 1 + self._buffer[counted] + 2 if len(self._buffer) > counted else None


class AsciiRequests:
    """Cuts a serial line into requests: (unit, PDU). A colon begins anew, and what is no frame is thrown away."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.discarded_bytes = 0

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Every request that is complete and whose LRC is right. Digits are 0 to 9 and A to F, not a to f."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n")) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 2]
            start = max(0, line.rfind(b":"))
            frame = _ascii_bytes(line[start:])
            self.discarded_bytes += start if frame else len(line) + 2
            if frame:
                yield frame[0], frame[1:-1]
        begun = self._buffer.rfind(b":")
        if begun < 0 or len(self._buffer) - begun > MAX_ASCII_BYTES:
            begun = len(self._buffer)
        self._discard(begun)

    def silence(self) -> Iterator[tuple[int, bytes]]:
        """The line was quiet for longer than a frame may pause (1 s): what has begun will not go on."""
        self._discard(len(self._buffer))
        return iter(())

    def _discard(self, count: int) -> None:
        self.discarded_bytes += count
        del self._buffer[:count]


def _ascii_bytes(line: bytes) -> bytes | None:
    """Unit, PDU and LRC, where the line is a frame."""
    found = _ASCII_FRAME.fullmatch(line)
    if not found or len(line) + 2 > MAX_ASCII_BYTES:
        return None
    frame = bytes.fromhex(found[1].decode())
    return frame if lrc8(frame) == 0 else None


def _crc_is_right(frame: bytes) -> bool:
    return crc16(frame[:-2]) == int.from_bytes(frame[-2:], "little")


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0xA001 if byte & 1 else 0)
        table.append(byte)
    return tuple(table)


_CRC_TABLE = _crc_table()
