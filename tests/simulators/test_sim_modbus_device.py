"""The Modbus server of the simulators answers as the specification says, whatever it is asked."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.modbus.device import Memory, Refused, Table, broadcast, respond


class Counting(Memory):
    """Words that count up, and bits of which every third is set; nothing from 1,000 to 2,000."""

    def read(self, table: Table, address: int, count: int) -> Sequence[int]:
        if 1_000 < address + count <= 2_000:
            raise Refused(2)
        bits = table in ("coil", "discrete")
        return [int(n % 3 == 0) if bits else n & 0xFFFF for n in range(address, address + count)]


@pytest.mark.parametrize("function", [3, 4])
def test_registers_come_high_byte_first(function: int) -> None:
    assert respond(bytes((function, 1, 2, 0, 2)), Counting()) == bytes((function, 4, 1, 2, 1, 3))


@pytest.mark.parametrize("function", [1, 2])
def test_bits_come_lowest_first_and_the_last_byte_is_filled_with_zeros(function: int) -> None:
    assert respond(bytes((function, 0, 0, 0, 10)), Counting()) == bytes((function, 2, 0b01001001, 0b10))


@pytest.mark.parametrize(
    ("request_hex", "answer_hex"),
    [
        ("0300000000", "8303"),
        ("030000007e", "8303"),
        ("03000003e9", "8303"),
        ("01000007d1", "8103"),
        ("0300000001ff", "8303"),
        ("03ffff0002", "8302"),
        ("0403e70002", "8402"),
        ("06000a0001", "8601"),
        ("2b0e0100", "ab01"),
        ("0f", "8f01"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_exception_of_the_specification(
    request_hex: str, answer_hex: str
) -> None:
    assert respond(bytes.fromhex(request_hex), Counting()).hex() == answer_hex


def test_the_largest_reads_of_the_specification_are_served() -> None:
    assert len(respond(bytes.fromhex("030000007d"), Counting())) == 2 + 250
    assert len(respond(bytes.fromhex("01000003e8"), Counting())) == 2 + 125


@given(st.binary(max_size=300))
def test_any_bytes_get_an_answer_with_their_own_function_or_an_exception(pdu: bytes) -> None:
    answer = respond(pdu, Counting())
    if pdu:
        assert answer[0] in (pdu[0], pdu[0] | 0x80)
        assert len(answer) <= 253
    else:
        assert answer == b""


class Board(Memory):
    """Everything can be asked of it; registers 0 to 9 are there, and what is written is kept."""

    functions = range(256)

    def __init__(self) -> None:
        self.words = [0x12] * 10

    def check(self, table: Table, address: int, count: int, *, write: bool = False) -> None:
        if address + count > len(self.words):
            raise Refused(2)

    def read(self, table: Table, address: int, count: int) -> Sequence[int]:
        self.check(table, address, count)
        return self.words[address : address + count]

    def write(self, table: Table, address: int, values: Sequence[int]) -> None:
        self.check(table, address, len(values), write=True)
        self.words[address : address + len(values)] = values

    def exception_status(self) -> int:
        return 0x6D

    def server_id(self) -> bytes:
        return b"\x11\xffPump"

    def queue(self, address: int) -> Sequence[int]:
        if address not in (0x04DE, 0x04DF):
            raise Refused(2)
        return (0x01B8, 0x1284) if address == 0x04DE else range(32)

    def identify(self, access: int, number: int) -> bytes:
        return bytes((access, number))


@pytest.mark.parametrize(
    ("request_hex", "answer_hex"),
    [
        ("050001ff00", "050001ff00"),
        ("0600010003", "0600010003"),
        ("07", "076d"),
        ("080000a537", "080000a537"),
        ("080000a5371234", "080000a5371234"),
        ("0f0000000a02cd01", "0f0000000a"),
        ("1000010002040005000a", "1000010002"),
        ("11", "110611ff50756d70"),
        ("16000400f20025", "16000400f20025"),
        ("1700030002000400020400ff00fe", "1704001200ff"),
        ("1804de", "18000600" + "0201b81284"),
        ("2b0e0402", "2b0e040402"),
    ],
)
def test_every_function_answers_as_the_specification_says(request_hex: str, answer_hex: str) -> None:
    assert respond(bytes.fromhex(request_hex), Board()).hex() == answer_hex


def test_a_mask_write_keeps_some_bits_and_sets_others() -> None:
    board = Board()
    respond(bytes.fromhex("16000400f20025"), board)
    assert board.words[4] == 0x17


@pytest.mark.parametrize("function", sorted({*range(1, 9), 15, 16, 17, 22, 23, 24, 43}))
def test_a_function_that_the_device_does_not_have_is_refused_before_anything_else(function: int) -> None:
    class Nothing(Memory):
        functions = ()

    for rest in (b"", b"\xff" * 4, bytes(20)):
        assert respond(bytes((function,)) + rest, Nothing()) == bytes((function | 0x80, 1))


@pytest.mark.parametrize(
    "request_hex",
    [
        "05ffff0001", "050001ff", "06ffff00", "06ffff000000", "0700", "08", "080000", "080000aa", "11ff",
        "0fffff0000" + "00", "0fffff07b1" + "f7" + "00" * 247, "0fffff000a01cd", "0fffff000a02cd", "0fffff000802cd01",
        "10ffff0000" + "00", "10ffff007c" + "f8" + "00" * 248, "10ffff000103000500", "10ffff00020400", "10ffff0001",
        "16ffff00f2", "17ffff0000ffff000102" + "0000", "17ffff007effff000102" + "0000", "17ffff0001ffff000000",
        "17ffff0001ffff007a" + "f4" + "00" * 244, "17ffff0001ffff000103" + "000000", "18ff", "1804df", "2b0e01", "2b",
    ],
)  # fmt: skip
def test_counts_lengths_and_values_are_looked_at_before_addresses(request_hex: str) -> None:
    request = bytes.fromhex(request_hex)
    assert respond(request, Board()) == bytes((request[0] | 0x80, 3))


@pytest.mark.parametrize(
    "request_hex",
    [
        "05000aff00", "06000a0000", "0f0009000201" + "03", "0fffff000201" + "03", "100009000204" + "00000000",
        "10ffff000204" + "00000000", "16000a00000000", "17000000010009000204" + "00000000",
        "17000900020000000102" + "0000", "17ffff00020000000102" + "0000", "1704de000100000001020000", "180000",
    ],
)  # fmt: skip
def test_addresses_that_are_not_there_are_refused_and_nothing_is_written(request_hex: str) -> None:
    board = Board()
    request = bytes.fromhex(request_hex)
    assert respond(request, board) == bytes((request[0] | 0x80, 2))
    assert board.words == [0x12] * 10


@pytest.mark.parametrize("request_hex", ["080001a537", "08ffff0000", "2b0d0000", "2b0d", "14", "64", "00"])
def test_a_subfunction_or_function_that_nobody_has_is_an_illegal_function(request_hex: str) -> None:
    request = bytes.fromhex(request_hex)
    assert respond(request, Board()) == bytes((request[0] | 0x80, 1))


def test_the_largest_writes_of_the_specification_are_taken() -> None:
    board = Board()
    board.words = [0] * 2_000
    assert respond(bytes.fromhex("10000000" + "7bf6" + "1234" * 123), board).hex() == "100000007b"
    assert board.words[122:124] == [0x1234, 0]
    assert respond(bytes.fromhex("0f000007b0f6" + "ff" * 246), board).hex() == "0f000007b0"
    assert board.words[1_967:1_969] == [1, 0]
    assert len(respond(bytes.fromhex("17" + "0000007d" + "00000079f2" + "abcd" * 121), board)) == 252


def test_a_broadcast_writes_everywhere_and_does_nothing_else() -> None:
    boards = [Board(), Board()]
    broadcast(bytes.fromhex("0600010003"), boards)
    assert [board.words[1] for board in boards] == [3, 3]
    broadcast(bytes.fromhex("17000000010002000102" + "0009"), boards)
    broadcast(b"", boards)
    assert [board.words[2] for board in boards] == [0x12, 0x12]


@given(st.binary(max_size=253))
def test_no_request_breaks_a_device_that_has_everything(pdu: bytes) -> None:
    answer = respond(pdu, Board())
    assert len(answer) <= 253
    assert not pdu or answer[0] in (pdu[0], pdu[0] | 0x80)
