"""Frames of the specification and of the field, both ways."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numbered import MakeNumbered, body, options

from drivers.errors import BadReply
from drivers.modbus.framing import ascii_answer, ascii_body, crc16, lrc, mbap_frames, rtu_answer
from drivers.modbus.line import open_line
from drivers.modbus.pdu import FUNCTIONS, Identify, Request, answer

FRAMES = tomllib.loads((Path(__file__).parent / "conformance.toml").read_text(encoding="utf-8"))["frame"]
TABLES = {function: table for table, function in FUNCTIONS.items()}
ANY_REQUEST = st.one_of(
    st.builds(Request, st.integers(1, 247), st.sampled_from(("holding", "input", "coil", "discrete")),
              st.integers(0, 100), st.integers(1, 8)),
    st.builds(Identify, st.integers(1, 247)),
)  # fmt: skip


def pdu_of(frame: dict[str, Any], hexes: str) -> tuple[int, bytes]:
    """Unit and PDU; every check of the framing is made."""
    data = bytes.fromhex(hexes)
    match frame["transport"]:
        case "rtu":
            assert crc16(data[:-2]).to_bytes(2, "little") == data[-2:]
            return data[0], data[1:-2]
        case "ascii":
            body = ascii_body(data)
            assert body
            return body[0], body[1:]
        case "tcp":
            [(_, unit, pdu)] = mbap_frames(data)
            return unit, pdu
        case _:
            return frame["unit"], data


def asked(unit: int, pdu: bytes) -> Request | Identify:
    if pdu[0] == 0x2B:
        return Identify(unit, pdu[2], pdu[3])
    return Request(unit, TABLES[pdu[0]], int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big"))


@pytest.mark.parametrize("frame", [f for f in FRAMES if "response" in f and f["valid"]], ids=lambda f: f["name"])
def test_the_answers_of_the_specification_are_understood(frame: dict[str, Any]) -> None:
    unit, pdu = pdu_of(frame, frame["response"])
    request = asked(*pdu_of(frame, frame["request"])) if "request" in frame else Identify(unit)
    found = answer(request, pdu)
    assert found
    assert found.refused == frame.get("exception", 0)
    words = frame.get("registers") or frame.get("bits") or []
    assert list(found.words) == words
    assert {str(number): text.decode() for number, text in found.objects} == frame.get("objects", {})


@pytest.mark.parametrize("kind", ["rtu", "ascii", "tcp"])
async def test_what_is_asked_is_written_as_the_specification_writes_it(kind: str, numbered: MakeNumbered) -> None:
    frames = [pdu_of(f, f["request"]) for f in FRAMES if "request" in f]
    first, *others = {unit for unit, _ in frames}
    device = numbered(kind, first)
    for unit in others:
        numbered(kind, unit, on=device)
    async with open_line(options(device, 1.0)) as line:
        for unit, pdu in frames:
            await line.request(asked(unit, pdu))
    bare = [body(kind, request) for request in device.line.requests]
    assert bare == [bytes((unit,)) + pdu for unit, pdu in frames]


@pytest.mark.parametrize("frame", [f for f in FRAMES if not f["valid"]], ids=lambda f: f["name"])
def test_a_frame_that_must_be_discarded_is(frame: dict[str, Any]) -> None:
    with pytest.raises(BadReply):
        list(mbap_frames(bytes.fromhex(frame["response"])))


def test_the_checksum_vectors_of_the_specification_come_out() -> None:
    vector = bytes.fromhex("1234234534564567")
    assert crc16(vector).to_bytes(2, "little").hex() == "e2db"
    assert lrc(vector) == 0x1C


@given(st.binary(max_size=300))
def test_the_checksum_is_what_the_specification_does_bit_by_bit(data: bytes) -> None:
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    assert crc16(data) == crc


@given(ANY_REQUEST, st.binary(max_size=80), st.binary(max_size=8))
def test_random_bytes_answer_nothing_unless_all_matches(request: Any, heard: bytes, sent: bytes) -> None:
    for find in (rtu_answer, ascii_answer):
        found = find(request, heard, sent)
        assert found is None or find(request, heard) is not None


@given(ANY_REQUEST, st.binary(max_size=20), st.binary(max_size=20), st.integers(0, 200), st.integers(1, 255))
def test_an_answer_is_found_in_noise_and_never_when_a_byte_is_changed(
    request: Any, before: bytes, after: bytes, at: int, change: int
) -> None:
    if isinstance(request, Request):
        data = bytes(index * 37 & 0xFF for index in range(request.reply_bytes))
        body = bytes((request.unit, request.function, len(data))) + data
    else:
        body = bytes((request.unit, 0x2B, 0x0E, 1, 1, 0, 0, 1, 0, 3)) + b"ABC"
    rtu = body + crc16(body).to_bytes(2, "little")
    plain = b":" + (body + bytes((lrc(body),))).hex().upper().encode() + b"\r\n"
    assert rtu_answer(request, before + rtu + after) is not None
    assert ascii_answer(request, before + plain + after) is not None
    broken = bytearray(rtu)
    broken[at % len(rtu)] ^= change
    assert rtu_answer(request, bytes(broken)) is None
    broken = bytearray(plain)
    broken[at % len(plain)] ^= change
    found = ascii_answer(request, bytes(broken))
    assert found is None or bytes(broken).upper() == plain
