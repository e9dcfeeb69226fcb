"""Modbus requests and what answers them, as bytes. Pure.

Promises: a frame answers a request only when unit, function, count and checksum (or number) all match.
Must not know: ports, time. Source: Modbus Application Protocol V1.1b3, Serial Line V1.02, Messaging on TCP/IP V1.0b.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from drivers.errors import BadReply, DeviceRefused
from drivers.modbus.plan import reply_bytes
from drivers.modbus.profile import BIT_TABLES, Table

FUNCTIONS: dict[Table, int] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
EXCEPTIONS = {
    1: "illegal function", 2: "illegal address", 3: "illegal count or value", 4: "device failure", 5: "acknowledge",
    6: "busy", 8: "memory parity error", 10: "gateway path unavailable", 11: "gateway target did not answer",
}  # fmt: skip
NOISE = b"\x00\xff"
"""What the line shows while an RS-485 driver switches direction: stray bytes of these values stand around frames."""

_MBAP_BYTES = 6


@dataclass(frozen=True, slots=True)
class Request:
    """A read: `count` registers or bits of `table` of `unit`, from `address`."""

    unit: int
    table: Table
    address: int
    count: int

    @property
    def function(self) -> int:
        return FUNCTIONS[self.table]

    @property
    def reply_bytes(self) -> int:
        """How many data bytes the right answer has; answers of another size are not ours."""
        return reply_bytes(self.table, self.count)

    def __str__(self) -> str:
        last = self.address + self.count - 1
        return f"{self.table} {self.address}{f'..{last}' if self.count > 1 else ''} of unit {self.unit}"


@dataclass(frozen=True, slots=True)
class Identify:
    """Function 43/14: what `unit` says that it is, from `object_id` on (Application Protocol V1.1b3, 6.21).

    `code` is 1 for the basic objects (vendor name, product code, revision), 2 for the regular ones too.
    """

    unit: int
    code: int = 1
    object_id: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """The words (bits as 0 and 1) that a request got, or the exception code (not 0) of a refusal.

    For `Identify`: `objects` by number, and the number to ask from next, or None where that was all.
    """

    words: tuple[int, ...]
    refused: int = 0
    objects: tuple[tuple[int, bytes], ...] = ()
    next_object: int | None = None


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS; it goes on the wire low byte first (Serial Line V1.02, 6.2.2)."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def crc_ok(frame: bytes) -> bool:
    """Do the last two bytes of an RTU frame fit the others?"""
    return len(frame) >= 4 and crc16(frame[:-2]) == int.from_bytes(frame[-2:], "little")


def answer(request: Request, pdu: bytes) -> Answer | None:
    """What `pdu` (function and data) answers to `request`, or None: another function or another count."""
    if len(pdu) == 2 and pdu[0] == request.function | 0x80 and pdu[1]:
        return Answer((), refused=pdu[1])
    if pdu[:2] != bytes((request.function, request.reply_bytes)) or len(pdu) != 2 + request.reply_bytes:
        return None
    return Answer(_words(request.table, pdu[2:])[: request.count])


def rtu_answer(request: Request, heard: bytes, sent: bytes = b"") -> tuple[Answer, bytes] | None:
    """The first RTU frame in `heard` that answers `request`, and the bytes around it; None where there is none yet.

    `sent` is the request as sent: half-duplex adapters echo it, and an echo is no answer.
    """
    if sent:
        if sent.startswith(heard):
            return None
        heard = heard.replace(sent, b"", 1)
    for at in range(len(heard) - 4):
        if heard[at] != request.unit:
            continue
        size = 5 + request.reply_bytes if heard[at + 1] == request.function else 5
        frame = heard[at : at + size]
        found = answer(request, frame[1:-2]) if len(frame) == size else None
        if found and crc_ok(frame):
            return found, heard[:at] + heard[at + size :]
    return None


def mbap_frames(stream: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The whole frames at the start of a Modbus/TCP stream: transaction number, unit, PDU.

    Raises `BadReply` where the stream is no Modbus/TCP.
    """
    while len(stream) > _MBAP_BYTES:
        if stream[2:4] != b"\0\0" or not 3 <= (length := int.from_bytes(stream[4:6], "big")) <= 254:
            raise BadReply(f"{stream[:8].hex(' ')} is no Modbus/TCP header; is this RTU over TCP?")
        if len(stream) < _MBAP_BYTES + length:
            return
        yield int.from_bytes(stream[:2], "big"), stream[6], stream[7 : _MBAP_BYTES + length]
        stream = stream[_MBAP_BYTES + length :]


def refusal(request: Request, code: int) -> DeviceRefused:
    """The error for an exception reply."""
    what = EXCEPTIONS.get(code, "unknown exception")
    return DeviceRefused(f"{request} was refused with exception {code} ({what})", code)


def _words(table: Table, data: bytes) -> tuple[int, ...]:
    if table in BIT_TABLES:
        return tuple(byte >> bit & 1 for byte in data for bit in range(8))
    return tuple(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
