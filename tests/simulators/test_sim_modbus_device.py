"""The Modbus server of the simulators answers as the specification says, whatever it is asked."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.modbus import device
from simulators.modbus.device import Refused, Table, respond


class Memory(device.Memory):
    """Words that count up, and bits of which every third is set; nothing from 1,000 to 2,000."""

    def read(self, table: Table, address: int, count: int) -> Sequence[int]:
        if 1_000 < address + count <= 2_000:
            raise Refused(2)
        bits = table in ("coil", "discrete")
        return [int(n % 3 == 0) if bits else n & 0xFFFF for n in range(address, address + count)]


@pytest.mark.parametrize("function", [3, 4])
def test_registers_come_high_byte_first(function: int) -> None:
    assert respond(bytes((function, 1, 2, 0, 2)), Memory()) == bytes((function, 4, 1, 2, 1, 3))


@pytest.mark.parametrize("function", [1, 2])
def test_bits_come_lowest_first_and_the_last_byte_is_filled_with_zeros(function: int) -> None:
    assert respond(bytes((function, 0, 0, 0, 10)), Memory()) == bytes((function, 2, 0b01001001, 0b10))


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
    assert respond(bytes.fromhex(request_hex), Memory()).hex() == answer_hex


def test_the_largest_reads_of_the_specification_are_served() -> None:
    assert len(respond(bytes.fromhex("030000007d"), Memory())) == 2 + 250
    assert len(respond(bytes.fromhex("01000003e8"), Memory())) == 2 + 125


@given(st.binary(max_size=300))
def test_any_bytes_get_an_answer_with_their_own_function_or_an_exception(pdu: bytes) -> None:
    answer = respond(pdu, Memory())
    if pdu:
        assert answer[0] in (pdu[0], pdu[0] | 0x80)
        assert len(answer) <= 253
    else:
        assert answer == b""
