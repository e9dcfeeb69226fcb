"""Requests are found on the wire however they are cut, and rubbish never becomes one."""

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.modbus.dialects import ASCII
from simulators.modbus.framing import (
    AsciiRequests,
    MbapRequests,
    NotModbus,
    RtuRequests,
    ascii_frame,
    crc16,
    lrc8,
    mbap_frame,
    rtu_frame,
)

READ = st.tuples(st.integers(1, 4), st.binary(min_size=4, max_size=4)).map(lambda p: bytes((p[0],)) + p[1])
REQUESTS = st.lists(st.tuples(st.integers(1, 247), READ), max_size=5)


def _pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in pairwise(ends)]


@pytest.mark.parametrize("frame", ["010400010002200b", "010404013102222ace"])
def test_the_crc_is_that_of_documented_frames(frame: str) -> None:
    data = bytes.fromhex(frame)
    assert crc16(data[:-2]) == int.from_bytes(data[-2:], "little")


@given(REQUESTS, st.lists(st.integers(0, 1_000)))
def test_rtu_requests_are_found_however_they_are_cut(requests: list[tuple[int, bytes]], cuts: list[int]) -> None:
    line = RtuRequests()
    found = [r for piece in _pieces(b"".join(rtu_frame(*r) for r in requests), cuts) for r in line.feed(piece)]
    assert found == requests


@given(REQUESTS, st.lists(st.integers(0, 1_000)))
def test_tcp_requests_are_found_however_they_are_cut(requests: list[tuple[int, bytes]], cuts: list[int]) -> None:
    stream = MbapRequests()
    data = b"".join(mbap_frame(n, *request) for n, request in enumerate(requests))
    found = [r for piece in _pieces(data, cuts) for r in stream.feed(piece)]
    assert found == [(n, *request) for n, request in enumerate(requests)]


@given(st.binary(max_size=600), st.tuples(st.integers(1, 247), READ))
def test_rubbish_is_gone_after_a_silence(rubbish: bytes, request: tuple[int, bytes]) -> None:
    line = RtuRequests()
    for unit, pdu in [*line.feed(rubbish), *line.silence()]:
        assert rtu_frame(unit, pdu) in rubbish
    assert list(line.feed(rtu_frame(*request))) == [request]


def test_a_request_of_unknown_length_is_taken_when_the_line_falls_silent() -> None:
    line = RtuRequests()
    assert list(line.feed(rtu_frame(5, bytes.fromhex("2b0e0100")))) == []
    assert list(line.silence()) == [(5, bytes.fromhex("2b0e0100"))]


def test_a_broken_crc_is_counted_and_never_answered() -> None:
    line = RtuRequests()
    assert list(line.feed(bytes.fromhex("010400010002200c"))) == []
    assert list(line.silence()) == []
    assert line.discarded_bytes == 8


def test_what_is_not_modbus_tcp_is_named() -> None:
    with pytest.raises(NotModbus):
        list(MbapRequests().feed(b"GET / HTTP/1.1\r\n"))


def test_the_checksum_vectors_of_a_library_come_out() -> None:
    """pymodbus test/framer/test_framer.py @73612751."""
    vector = bytes.fromhex("1234234534564567")
    assert crc16(vector).to_bytes(2, "little").hex() == "e2db"
    assert lrc8(vector) == 0x1C


@given(REQUESTS, st.lists(st.integers(0, 1_000)))
def test_ascii_requests_are_found_however_they_are_cut(requests: list[tuple[int, bytes]], cuts: list[int]) -> None:
    line = AsciiRequests()
    found = [r for piece in _pieces(b"".join(ascii_frame(*r) for r in requests), cuts) for r in line.feed(piece)]
    assert found == requests
    assert line.discarded_bytes == 0


@given(st.binary(max_size=1_500), st.tuples(st.integers(1, 247), READ))
def test_ascii_begins_anew_at_a_colon_whatever_came_before(rubbish: bytes, request: tuple[int, bytes]) -> None:
    line = AsciiRequests()
    for unit, pdu in line.feed(rubbish):
        assert ascii_frame(unit, pdu) in rubbish
    assert list(line.feed(ascii_frame(*request))) == [request]
    assert line.discarded_bytes <= len(rubbish)


@pytest.mark.parametrize(
    "frame",
    [
        b":1103007C00026F\r\n",
        b":1103007c00026e\r\n",
        b":1103007C00026\r\n",
        b"1103007C00026E\r\n",
        b":11EF\r\n",
        b"\r\n",
    ],
    ids=["wrong LRC", "lower case", "half a byte", "no colon", "no function", "empty"],
)
def test_what_is_no_ascii_frame_is_counted_and_never_answered(frame: bytes) -> None:
    line = AsciiRequests()
    assert list(line.feed(frame)) == []
    assert line.discarded_bytes == len(frame)


@pytest.mark.parametrize("rubbish", [b"0" * 5_000, b":" + b"0" * 513])
def test_ascii_that_never_ends_is_not_kept(rubbish: bytes) -> None:
    line = AsciiRequests()
    assert list(line.feed(rubbish)) == []
    assert line.discarded_bytes == len(rubbish)


def test_an_ascii_frame_that_pauses_too_long_is_forgotten() -> None:
    line = AsciiRequests()
    assert list(line.feed(b":1103007C")) == []
    assert list(line.silence()) == []
    assert list(line.feed(b"00026E\r\n")) == []
    assert line.discarded_bytes == 17


def test_an_ascii_answer_goes_wrong_in_what_the_fault_names_and_nothing_else() -> None:
    answer = b":110304008D008ECD\r\n"
    assert ASCII.wrong_check(answer) == b":110304008D008ECC\r\n"
    assert ASCII.wrong_unit(answer) == ascii_frame(0x12, bytes.fromhex("0304008d008e"))
    counts = {ASCII.wrong_count(answer, Random(seed)) for seed in range(20)}
    assert counts == {ascii_frame(0x11, bytes.fromhex(pdu)) for pdu in ("0302008d", "0306008d008e008e")}
    assert ASCII.exception(b"", answer, 4) == ascii_frame(0x11, b"\x83\4")
