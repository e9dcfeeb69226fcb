"""Modbus requests and what answers them, as PDUs: function and data. Pure.

Promises: a PDU answers a request only when function and count match. Must not know: frames, ports, time.
Source: Modbus Application Protocol V1.1b3.
"""

import struct
from dataclasses import dataclass

from drivers.errors import DeviceRefused
from drivers.modbus.plan import reply_bytes
from drivers.modbus.profile import BIT_TABLES, Table

FUNCTIONS: dict[Table, int] = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
IDENTIFY = 0x2B
_MEI_DEVICE = 0x0E
_OBJECTS_AT = 7
"""Where the objects begin in an answer to `Identify`: after function, type, code, conformity, more, next, number."""
EXCEPTIONS = {
    1: "illegal function", 2: "illegal address", 3: "illegal count or value", 4: "device failure", 5: "acknowledge",
    6: "busy", 8: "memory parity error", 10: "gateway path unavailable", 11: "gateway target did not answer",
}  # fmt: skip


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

    @property
    def function(self) -> int:
        return IDENTIFY

    @property
    def reply_bytes(self) -> int:
        """0: the answer says itself how long it is, and no read has an answer of this size."""
        return 0

    def __str__(self) -> str:
        return f"identification of unit {self.unit}"


@dataclass(frozen=True, slots=True)
class Answer:
    """The words (bits as 0 and 1) that a request got, or the exception code (not 0) of a refusal.

    For `Identify`: `objects` by number, and the number to ask from next, or None where that was all.
    """

    words: tuple[int, ...]
    refused: int = 0
    objects: tuple[tuple[int, bytes], ...] = ()
    next_object: int | None = None


def answer(request: Request | Identify, pdu: bytes) -> Answer | None:
    """What `pdu` (function and data) answers to `request`, or None: another function or another count."""
    if len(pdu) == 2 and pdu[0] == request.function | 0x80 and pdu[1]:
        return Answer((), refused=pdu[1])
    if isinstance(request, Identify):
        return _objects(request, pdu)
    size = request.reply_bytes
    if len(pdu) != 2 + size or pdu[0] != request.function or pdu[1] != size:
        return None
    return Answer(_words(request.table, pdu[2:])[: request.count])


def answer_length(request: Request | Identify, begun: bytes) -> int | None:
    """How many bytes the PDU has that begins with `begun`; None where it is no answer, or too little to tell."""
    if begun[:1] == bytes((request.function | 0x80,)):
        return 2
    if begun[:1] != bytes((request.function,)):
        return None
    if isinstance(request, Request):
        return 2 + request.reply_bytes
    end = _OBJECTS_AT
    if len(begun) < end:
        return None
    for _ in range(begun[end - 1]):
        if len(begun) < end + 2:
            return None
        end += 2 + begun[end + 1]
    return end


def refusal(request: Request | Identify, code: int) -> DeviceRefused:
    """The error for an exception reply."""
    what = EXCEPTIONS.get(code, "unknown exception")
    return DeviceRefused(f"{request} was refused with exception {code} ({what})", code)


def _objects(request: Identify, pdu: bytes) -> Answer | None:
    if pdu[:3] != bytes((IDENTIFY, _MEI_DEVICE, request.code)) or answer_length(request, pdu) != len(pdu):
        return None
    objects, at = [], _OBJECTS_AT
    while at < len(pdu):
        objects.append((pdu[at], pdu[at + 2 : at + 2 + pdu[at + 1]]))
        at += 2 + pdu[at + 1]
    more = pdu[4] == 0xFF and pdu[5] > request.object_id
    return Answer((), objects=tuple(objects), next_object=pdu[5] if more else None)


def _words(table: Table, data: bytes) -> tuple[int, ...]:
    if table in BIT_TABLES:
        return tuple(byte >> bit & 1 for byte in data for bit in range(8))
    return struct.unpack(f">{len(data) // 2}H", data)
