"""A Modbus server's answer to one request. Pure: a PDU in, a PDU out.

Source: MODBUS Application Protocol Specification V1.1b3, sections 6.1 to 6.4 (the four reads) and 7 (exceptions).
Knows nothing of transports, profiles or time; the memory behind it is a `Memory`.
"""

import struct
from collections.abc import Sequence
from typing import Literal, Protocol

Table = Literal["coil", "discrete", "holding", "input"]

ILLEGAL_FUNCTION = 0x01
ILLEGAL_ADDRESS = 0x02
ILLEGAL_VALUE = 0x03
NO_TARGET = 0x0B
MAX_BITS = 2_000
MAX_REGISTERS = 125

_TABLES: dict[int, Table] = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}


class Refused(Exception):
    """The device says no, with an exception `code`."""

    def __init__(self, code: int) -> None:
        super().__init__(f"Modbus exception {code:#04x}")
        self.code = code


class Memory(Protocol):
    """Where the registers and bits of one unit are."""

    def read(self, table: Table, address: int, count: int) -> Sequence[int]:
        """Exactly `count` words (0 to 65535) or bits (0 or 1); raises `Refused`."""


def respond(pdu: bytes, memory: Memory) -> bytes:
    """The answer to one request: its data, or an exception. Any bytes get an answer; an empty request gets none."""
    if not pdu:
        return b""
    try:
        return _read(pdu, memory)
    except Refused as err:
        return bytes((pdu[0] | 0x80, err.code))


def _read(pdu: bytes, memory: Memory) -> bytes:
    table = _TABLES.get(pdu[0])
    if table is None:
        raise Refused(ILLEGAL_FUNCTION)
    if len(pdu) != 5:
        raise Refused(ILLEGAL_VALUE)
    address, count = struct.unpack(">HH", pdu[1:])
    bits = table in ("coil", "discrete")
    if not 1 <= count <= (MAX_BITS if bits else MAX_REGISTERS):
        raise Refused(ILLEGAL_VALUE)
    if address + count > 0x10000:
        raise Refused(ILLEGAL_ADDRESS)
    values = memory.read(table, address, count)
    data = _packed(values) if bits else struct.pack(f">{count}H", *values)
    return bytes((pdu[0], len(data))) + data


def _packed(bits: Sequence[int]) -> bytes:
    """Eight bits a byte, the first in the lowest bit, the last byte filled up with zeros."""
    number = sum(1 << index for index, bit in enumerate(bits) if bit)
    return number.to_bytes((len(bits) + 7) // 8, "little")
