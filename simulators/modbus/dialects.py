"""How a Modbus answer goes wrong: what a fault needs to know of the frames. Pure.

Sources: MODBUS Application Protocol V1.1b3, sections 6 and 7; MODBUS over Serial Line V1.02, 2.5.1; MODBUS Messaging
on TCP/IP V1.0b, 3.1.3.
"""

import struct
from random import Random
from typing import Final

from simulators.faults.catalogue import Transport
from simulators.modbus.framing import ascii_frame, mbap_frame, rtu_frame

_ERROR: Final = 0x80
_BIT_READS: Final = (1, 2)
_SINGLE: Final = (5, 6, 22)
_SPANS: Final = (1, 2, 3, 4, 15, 16, 23)
_COUNTED: Final = (1, 2, 3, 4, 23)
"""Functions whose answer begins with the count of its bytes; the others echo a quantity or a value."""


def with_other_count(pdu: bytes, random: Random) -> bytes:
    """One register (or eight bits) more or less, with a byte count that fits; of a write, another quantity."""
    if pdu[0] & _ERROR or len(pdu) < 4:
        return pdu
    if pdu[0] not in _COUNTED:
        return pdu[:-1] + bytes((pdu[-1] ^ 0x01,))
    step, data = (1 if pdu[0] in _BIT_READS else 2), pdu[2:]
    shorter = len(data) > step and random.random() < 0.5
    data = data[:-step] if shorter else data + data[-step:]
    return bytes((pdu[0], len(data) & 0xFF)) + data


def registers_of(pdu: bytes) -> range:
    """What a request names by an address and a count; of 5 and 6 the one that it writes."""
    if len(pdu) < 5 or pdu[0] not in (*_SINGLE, *_SPANS):
        return range(0)
    address, count = struct.unpack_from(">HH", pdu, 1)
    return range(address, address + (1 if pdu[0] in _SINGLE else count))


class RtuDialect:
    """Unit, PDU, CRC."""

    transport: Transport = "rtu"

    def wrong_check(self, answer: bytes) -> bytes:
        return answer[:-1] + bytes((answer[-1] ^ 0x01,))

    def wrong_unit(self, answer: bytes) -> bytes:
        return rtu_frame(answer[0] % 247 + 1, answer[1:-2])

    def wrong_count(self, answer: bytes, random: Random) -> bytes:
        return rtu_frame(answer[0], with_other_count(answer[1:-2], random))

    def exception(self, request: bytes, answer: bytes, code: int) -> bytes:
        del request
        return rtu_frame(answer[0], bytes((answer[1] | _ERROR, code)))

    def registers(self, request: bytes) -> range:
        return registers_of(request[1:-2])


class AsciiDialect:
    """A colon, unit, PDU and LRC in hexadecimal digits, CR and LF."""

    transport: Transport = "ascii"

    def wrong_check(self, answer: bytes) -> bytes:
        check = int(answer[-4:-2], 16) ^ 0x01
        return answer[:-4] + f"{check:02X}\r\n".encode()

    def wrong_unit(self, answer: bytes) -> bytes:
        unit, pdu = self._parts(answer)
        return ascii_frame(unit % 247 + 1, pdu)

    def wrong_count(self, answer: bytes, random: Random) -> bytes:
        unit, pdu = self._parts(answer)
        return ascii_frame(unit, with_other_count(pdu, random))

    def exception(self, request: bytes, answer: bytes, code: int) -> bytes:
        del request
        unit, pdu = self._parts(answer)
        return ascii_frame(unit, bytes((pdu[0] | _ERROR, code)))

    def registers(self, request: bytes) -> range:
        return registers_of(self._parts(request)[1])

    @staticmethod
    def _parts(answer: bytes) -> tuple[int, bytes]:
        body = bytes.fromhex(answer[1:-4].decode())
        return body[0], body[1:]


class TcpDialect:
    """MBAP header, PDU. There is no checksum that could be wrong."""

    transport: Transport = "tcp"

    def wrong_check(self, answer: bytes) -> bytes:
        return answer

    def wrong_unit(self, answer: bytes) -> bytes:
        return answer[:6] + bytes((answer[6] % 247 + 1,)) + answer[7:]

    def wrong_count(self, answer: bytes, random: Random) -> bytes:
        return mbap_frame(_transaction(answer), answer[6], with_other_count(answer[7:], random))

    def exception(self, request: bytes, answer: bytes, code: int) -> bytes:
        del request
        return mbap_frame(_transaction(answer), answer[6], bytes((answer[7] | _ERROR, code)))

    def registers(self, request: bytes) -> range:
        return registers_of(request[7:])


RTU: Final = RtuDialect()
ASCII: Final = AsciiDialect()
TCP: Final = TcpDialect()


def _transaction(answer: bytes) -> int:
    return int.from_bytes(answer[:2], "big")
