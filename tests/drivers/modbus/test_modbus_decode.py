"""Captured bytes under a profile: the documented values, or an error, never a wrong value."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.errors import BadReply, DeviceRefused
from drivers.modbus.decode import decode
from drivers.modbus.framing import crc16, mbap_frames, rtu_answer
from drivers.modbus.pdu import Answer, Request, answer
from drivers.modbus.profile import ModbusPoint, ModbusProfile
from simulators.modbus.framing import rtu_frame

ASK = bytes.fromhex("01 04 00 01 00 02 20 0B")
REPLY = bytes.fromhex("01 04 04 01 31 02 22 2A CE")


def point(name: str, address: int, table: str = "input", **keys: Any) -> ModbusPoint:
    keys = {"type": "u16", "scale": 0.1} | keys
    return ModbusPoint(name=name, table=table, address=address, **keys)  # type: ignore[arg-type]


PROFILE = ModbusProfile(
    vendor="V", model="M", kind="modbus", source="tests", point=(point("temperature", 1), point("humidity", 2))
)


def values(request: bytes | None, response: bytes, profile: ModbusProfile = PROFILE) -> dict[str, object]:
    return {r.point: r.value for r in decode(profile, request, response)}


def seal(frame: bytes) -> bytes:
    """With a checksum that was not worked out by the driver."""
    return rtu_frame(frame[0], frame[1:])


def test_the_checksum_is_the_one_of_the_catalogue() -> None:
    assert crc16(b"123456789") == 0x4B37
    assert crc16(bytes.fromhex("12 34 23 45 34 56 45 67")).to_bytes(2, "little") == b"\xe2\xdb"


def test_a_reply_is_placed_by_its_request() -> None:
    assert values(ASK, REPLY) == {"temperature": 30.5, "humidity": 54.6}


def test_without_a_request_the_only_place_that_fits_is_taken() -> None:
    assert values(None, REPLY) == {"temperature": 30.5, "humidity": 54.6}


def test_without_a_request_a_reply_that_fits_two_places_is_an_error() -> None:
    with pytest.raises(BadReply, match="--request is needed"):
        decode(PROFILE, None, seal(bytes.fromhex("01 04 02 01 31")))


@pytest.mark.parametrize("noise", [("00", ""), ("", "00"), ("00 00", "FF"), ("FF", "00 FF")])
def test_stray_bytes_of_the_line_around_a_frame_are_no_harm(noise: tuple[str, str]) -> None:
    framed = bytes.fromhex(noise[0]) + REPLY + bytes.fromhex(noise[1])
    assert values(ASK, framed) == {"temperature": 30.5, "humidity": 54.6}


@pytest.mark.parametrize(
    ("request_hex", "response_hex"),
    [
        ("01 04 00 01 00 02 20 0C", "01 04 04 01 31 02 22 2A CE"),
        ("01 04 00 01 00 02 20 0B", "01 04 04 01 31 02 22 2A CF"),
        ("01 04 00 01 00 02 20 0B", "01 04 04 01 31 02 22 2A"),
        ("01 04 00 01 00 02 20 0B", "41 01 04 04 01 31 02 22 2A CE"),
        ("01 04 00 01 00 02 20 0B", ""),
        ("01 04 00 01 00 02 20 0B", "01 04 00 01 00 02 20 0B"),
        ("02 04 00 01 00 02 20 38", "01 04 04 01 31 02 22 2A CE"),
        ("01 04 00 01 00 01", "01 04 04 01 31 02 22"),
        ("01 03 00 01 00 02", "01 04 04 01 31 02 22"),
        ("01 04 00 00 00 00", "01 04 00"),
        ("01 06 00 01 00 02", "01 06 00 01 00 02"),
        ("", "01 04 04 01 31 02 22 2A CE"),
        ("00 01 00 00 00 06 01 04 00 01 00 02", "00 02 00 00 00 07 01 04 04 01 31 02 22"),
        ("00 01 00 00 00 06 01 04 00 01 00 02", "00 01 00 00 00 07 02 04 04 01 31 02 22"),
        ("00 01 00 00 00 06 01 04 00 01 00 02", "00 01 00 01 00 07 01 04 04 01 31 02 22"),
        ("00 01 00 00 00 06 01 04 00 01 00 02", "00 01 00 00 00 07 01 04 04 01 31 02 22 00"),
        ("00 01 00 00 00 06 01 04 00 01 00 02", "00 01 00 00 00 05 01 04 02 01 31"),
        ("01 04 00 30 00 02", "01 04 04 01 31 02 22"),
    ],
)
def test_an_exchange_that_does_not_match_gives_no_value(request_hex: str, response_hex: str) -> None:
    with pytest.raises(BadReply):
        decode(PROFILE, bytes.fromhex(request_hex), bytes.fromhex(response_hex))


def test_an_exception_reply_names_its_code() -> None:
    for request in (ASK, None):
        with pytest.raises(DeviceRefused, match="illegal address") as caught:
            decode(PROFILE, request, seal(b"\x01\x84\x02"))
        assert caught.value.code == 2


def test_only_points_wholly_inside_are_decoded() -> None:
    request = seal(bytes.fromhex("01 04 00 02 00 01"))
    assert values(request, seal(bytes.fromhex("01 04 02 02 22"))) == {"humidity": 54.6}


def test_bits_come_lowest_first() -> None:
    coils = tuple(point(f"c{i}", i, "coil", type="bool", scale=1.0) for i in range(10))
    profile = ModbusProfile(vendor="V", model="M", kind="modbus", source="tests", point=coils)
    found = values(bytes.fromhex("01 01 00 00 00 0A"), bytes.fromhex("01 01 02 05 02"), profile)
    assert [name for name, value in found.items() if value] == ["c0", "c2", "c9"]


@given(st.binary(max_size=40), st.booleans())
def test_random_bytes_never_become_a_value(data: bytes, asked: bool) -> None:
    if data.strip(b"\0\xff") == REPLY:
        return
    with pytest.raises((BadReply, DeviceRefused)):
        decode(PROFILE, ASK if asked else None, data)


@given(st.integers(0, len(REPLY) * 8 - 1))
def test_a_flipped_bit_never_becomes_a_value(bit: int) -> None:
    broken = bytearray(REPLY)
    broken[bit // 8] ^= 1 << bit % 8
    with pytest.raises(BadReply):
        decode(PROFILE, ASK, bytes(broken))


REQUEST = Request(1, "input", 1, 2)


@given(st.binary(max_size=20), st.binary(max_size=20), st.data())
def test_a_reply_is_found_in_noise_as_it_comes_in_pieces(before: bytes, after: bytes, data: st.DataObject) -> None:
    stream = before + REPLY + after
    found = [rtu_answer(REQUEST, stream[:end]) for end in range(len(before) + len(REPLY))]
    assert not any(found)
    whole = rtu_answer(REQUEST, stream)
    assert whole is not None
    assert whole[0].words == (0x131, 0x222)
    assert whole[1] == before + after


def test_an_echo_is_no_answer() -> None:
    assert all(rtu_answer(REQUEST, ASK[:end], ASK) is None for end in range(len(ASK) + 1))
    found = rtu_answer(REQUEST, ASK + REPLY, ASK)
    assert found == (Answer((0x131, 0x222)), b"")


@given(st.binary(max_size=60))
def test_a_pdu_of_another_size_or_function_is_no_answer(pdu: bytes) -> None:
    found = answer(REQUEST, pdu)
    fits = pdu[:2] == b"\x04\x04" and len(pdu) == 6
    assert bool(found) == (fits or (len(pdu) == 2 and pdu[0] == 0x84 and pdu[1] != 0))


def test_frames_of_a_tcp_stream_may_come_together_or_in_pieces() -> None:
    one = bytes.fromhex("00 01 00 00 00 05 01 04 02 01 31")
    assert list(mbap_frames(one + one + one[:7])) == [(1, 1, one[7:]), (1, 1, one[7:])]
    with pytest.raises(BadReply, match="no Modbus/TCP"):
        list(mbap_frames(REPLY))
