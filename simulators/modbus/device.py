"""A Modbus server's answer to one request. Pure: a PDU in, a PDU out.

Source: MODBUS Application Protocol Specification V1.1b3, section 6 (the functions) and 7 (exceptions). What is wrong
with a request is said in the order of the state diagrams of section 6: the function (01), then counts, lengths and
values (03), then addresses (02), then what the device makes of it.
Knows nothing of transports, profiles or time; what is behind a unit is a `Memory`.
"""

import struct
from collections.abc import Callable, Container, Iterable, Sequence
from typing import Literal

Table = Literal["coil", "discrete", "holding", "input"]

ILLEGAL_FUNCTION = 0x01
ILLEGAL_ADDRESS = 0x02
ILLEGAL_VALUE = 0x03
NO_TARGET = 0x0B
MAX_BITS = 2_000
MAX_REGISTERS = 125
MAX_QUEUE = 31
_MAX_WRITTEN_BITS = 1_968
_MAX_WRITTEN_REGISTERS = 123
_MAX_WRITTEN_WHERE_ALSO_READ = 121
_IDENTIFICATION = 0x0E

READS = frozenset((1, 2, 3, 4))
WRITES = frozenset((5, 6, 15, 16, 22))
"""The functions that write and tell nothing: those that make sense as a broadcast."""
_TABLES: dict[int, Table] = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}


class Refused(Exception):
    """The device says no, with an exception `code`."""

    def __init__(self, code: int) -> None:
        super().__init__(f"Modbus exception {code:#04x}")
        self.code = code


class Unheard(Exception):
    """The device does not answer at all."""


class Memory:
    """What one unit has. A subclass names its `functions`, and overrides what they need; all others are exception 01.

    Every method raises `Refused` where the device would say no, `Unheard` where it would say nothing.
    """

    functions: Container[int] = READS

    def admit(self, function: int) -> None:
        """Called first, before anything else of a request is looked at."""
        if function not in self.functions:
            raise Refused(ILLEGAL_FUNCTION)

    def check(self, table: Table, address: int, count: int, *, write: bool = False) -> None:
        """Whether a read or a write of this would be refused; changes nothing."""

    def read(self, table: Table, address: int, count: int) -> Sequence[int]:
        """Exactly `count` words (0 to 65535) or bits (0 or 1)."""
        raise NotImplementedError

    def write(self, table: Table, address: int, values: Sequence[int]) -> None:
        """Take all of `values`, or refuse and take none."""
        raise NotImplementedError

    def exception_status(self) -> int:
        """Eight bits of the maker's choice (function 7)."""
        raise NotImplementedError

    def server_id(self) -> bytes:
        """What the device says of itself, run indicator included (function 17)."""
        raise NotImplementedError

    def queue(self, address: int) -> Sequence[int]:
        """The words that wait in the FIFO queue at `address`; they stay (function 24)."""
        raise NotImplementedError

    def identify(self, access: int, number: int) -> bytes:
        """The identification from its conformity level on, by access code and object (function 43/14)."""
        raise NotImplementedError


def respond(pdu: bytes, memory: Memory) -> bytes:
    """The answer to one request: its data, or an exception; empty where there is none.

    Any bytes get an answer, but an empty request, and what the memory leaves unheard.
    """
    if not pdu:
        return b""
    try:
        memory.admit(pdu[0])
        return _FUNCTIONS.get(pdu[0], _unknown)(pdu, memory)
    except Refused as err:
        return bytes((pdu[0] | 0x80, err.code))
    except Unheard:
        return b""


def broadcast(pdu: bytes, memories: Iterable[Memory]) -> None:
    """A request to unit 0 of a serial line: all do it, none answers, and what does not write has no effect.

    Source: MODBUS over Serial Line V1.02, 2.1.
    """
    if pdu and pdu[0] in WRITES:
        for memory in memories:
            respond(pdu, memory)


def _unknown(_pdu: bytes, _memory: Memory) -> bytes:
    raise Refused(ILLEGAL_FUNCTION)


def _read(pdu: bytes, memory: Memory) -> bytes:
    table = _TABLES[pdu[0]]
    bits = table in ("coil", "discrete")
    address, count = _words(pdu[1:], 2)
    _demand(1 <= count <= (MAX_BITS if bits else MAX_REGISTERS))
    _demand_space(address, count)
    values = memory.read(table, address, count)
    data = _packed(values) if bits else struct.pack(f">{count}H", *values)
    return bytes((pdu[0], len(data))) + data


def _write_coil(pdu: bytes, memory: Memory) -> bytes:
    address, value = _words(pdu[1:], 2)
    _demand(value in (0x0000, 0xFF00))
    memory.write("coil", address, (int(value != 0),))
    return pdu


def _write_register(pdu: bytes, memory: Memory) -> bytes:
    address, value = _words(pdu[1:], 2)
    memory.write("holding", address, (value,))
    return pdu


def _exception_status(pdu: bytes, memory: Memory) -> bytes:
    _demand(len(pdu) == 1)
    return bytes((pdu[0], memory.exception_status()))


def _diagnose(pdu: bytes, _memory: Memory) -> bytes:
    """Sub-function 0 gives back what was sent, any number of words; there is no other."""
    _demand(len(pdu) >= 3)
    if pdu[1:3] != b"\0\0":
        raise Refused(ILLEGAL_FUNCTION)
    _demand(len(pdu) > 3 and len(pdu) % 2 == 1)
    return pdu


def _write_coils(pdu: bytes, memory: Memory) -> bytes:
    address, count, data = _counted(pdu)
    _demand(1 <= count <= _MAX_WRITTEN_BITS and len(data) == (count + 7) // 8)
    _demand_space(address, count)
    number = int.from_bytes(data, "little")
    memory.write("coil", address, [number >> index & 1 for index in range(count)])
    return pdu[:5]


def _write_registers(pdu: bytes, memory: Memory) -> bytes:
    address, count, data = _counted(pdu)
    _demand(1 <= count <= _MAX_WRITTEN_REGISTERS and len(data) == 2 * count)
    _demand_space(address, count)
    memory.write("holding", address, _words(data, count))
    return pdu[:5]


def _server_id(pdu: bytes, memory: Memory) -> bytes:
    _demand(len(pdu) == 1)
    data = memory.server_id()
    return bytes((pdu[0], len(data))) + data


def _write_mask(pdu: bytes, memory: Memory) -> bytes:
    address, kept, added = _words(pdu[1:], 3)
    (word,) = memory.read("holding", address, 1)
    memory.write("holding", address, (word & kept | added & ~kept & 0xFFFF,))
    return pdu


def _write_and_read(pdu: bytes, memory: Memory) -> bytes:
    """The write is done before the read, and neither where one of them is refused."""
    _demand(len(pdu) >= 10 and len(pdu) == 10 + pdu[9])
    read_at, read_count, write_at, write_count = _words(pdu[1:9], 4)
    _demand(1 <= read_count <= MAX_REGISTERS)
    _demand(1 <= write_count <= _MAX_WRITTEN_WHERE_ALSO_READ and pdu[9] == 2 * write_count)
    _demand_space(read_at, read_count)
    _demand_space(write_at, write_count)
    memory.check("holding", read_at, read_count)
    memory.write("holding", write_at, _words(pdu[10:], write_count))
    values = memory.read("holding", read_at, read_count)
    return bytes((pdu[0], 2 * read_count)) + struct.pack(f">{read_count}H", *values)


def _read_queue(pdu: bytes, memory: Memory) -> bytes:
    (address,) = _words(pdu[1:], 1)
    values = memory.queue(address)
    _demand(len(values) <= MAX_QUEUE)
    return struct.pack(f">BHH{len(values)}H", pdu[0], 2 * len(values) + 2, len(values), *values)


def _identify(pdu: bytes, memory: Memory) -> bytes:
    if len(pdu) > 1 and pdu[1] != _IDENTIFICATION:
        raise Refused(ILLEGAL_FUNCTION)
    _demand(len(pdu) == 4)
    return pdu[:3] + memory.identify(pdu[2], pdu[3])


_FUNCTIONS: dict[int, Callable[[bytes, Memory], bytes]] = {
    **dict.fromkeys(_TABLES, _read),
    5: _write_coil,
    6: _write_register,
    7: _exception_status,
    8: _diagnose,
    15: _write_coils,
    16: _write_registers,
    17: _server_id,
    22: _write_mask,
    23: _write_and_read,
    24: _read_queue,
    43: _identify,
}


def _demand(right: bool) -> None:  # noqa: FBT001 - it is the one thing that this says
    if not right:
        raise Refused(ILLEGAL_VALUE)


def _demand_space(address: int, count: int) -> None:
    if address + count > 0x10000:
        raise Refused(ILLEGAL_ADDRESS)


def _words(data: bytes, count: int) -> tuple[int, ...]:
    """Exactly `count` words, high byte first."""
    _demand(len(data) == 2 * count)
    return struct.unpack(f">{count}H", data)


def _counted(pdu: bytes) -> tuple[int, int, bytes]:
    """Address, quantity, and the data behind a byte count that must be true."""
    _demand(len(pdu) >= 6 and len(pdu) == 6 + pdu[5])
    address, count = _words(pdu[1:5], 2)
    return address, count, pdu[6:]


def _packed(bits: Sequence[int]) -> bytes:
    """Eight bits a byte, the first in the lowest bit, the last byte filled up with zeros."""
    number = sum(1 << index for index, bit in enumerate(bits) if bit)
    return number.to_bytes((len(bits) + 7) // 8, "little")
