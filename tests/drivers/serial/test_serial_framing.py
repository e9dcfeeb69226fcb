"""Frames out of any stream: only whole ones, and rubbish costs only the broken frame."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from drivers.serial.checksums import CHECKSUMS, PlacedChecksum
from drivers.serial.framing import Framer, on_the_wire, with_checksum
from drivers.serial.profile import ChecksumPlace, Frame, Length

NMEA = Frame(framing="line", checksum="xor_hex", start="$!", max_length=100, talker=2)
PMS = Frame(
    framing="length",
    checksum="sum16_be",
    header="42 4D",
    length=Length(at=2, size=2, add=4, min=28, max=28),
)
ANY_LENGTH = Frame(framing="length", checksum="sum8", header="AA", length=Length(at=1, add=3, min=0, max=40))
SDS = Frame(
    framing="fixed", header="AA C0", size=10, trailer="AB", checksum=ChecksumPlace(name="sum8", skip=2, behind=1)
)
SHDLC = Frame(
    framing="stuffed", header="00", length=Length(at=3, add=5, min=0, max=40), checksum="inverted_sum8", max_length=100
)
POLLED = Frame(mode="poll", framing="line", checksum="sdi12_crc", max_length=100)
FRAMES = {
    "line": NMEA, "fixed length": PMS, "any length": ANY_LENGTH, "fixed": SDS, "stuffed": SHDLC, "polled line": POLLED,
}  # fmt: skip


def sentence(text: str) -> bytes:
    return with_checksum(NMEA, f"${text}*00\r\n".encode())


def dust(payload: bytes) -> bytes:
    return with_checksum(PMS, b"BM\0\x1c" + payload + b"\0\0")


def short(payload: bytes) -> bytes:
    return with_checksum(ANY_LENGTH, b"\xaa" + bytes([len(payload)]) + payload + b"\0")


def shdlc(payload: bytes) -> bytes:
    """The content of an answer to command 3."""
    return with_checksum(SHDLC, bytes([0, 3, 0, len(payload)]) + payload + b"\0")


TEXT = st.text(st.sampled_from("ABCW,.0123456789"), min_size=1, max_size=60)
GOOD: dict[str, st.SearchStrategy[bytes]] = {
    "line": TEXT.map(sentence),
    "fixed length": st.binary(min_size=26, max_size=26).map(dust),
    "any length": st.binary(max_size=40).map(short),
    "fixed": st.binary(min_size=6, max_size=6).map(lambda p: with_checksum(SDS, b"\xaa\xc0" + p + b"\0\xab")),
    "stuffed": st.binary(max_size=40).map(lambda p: on_the_wire(SHDLC, shdlc(p))),
    "polled line": TEXT.map(lambda text: with_checksum(POLLED, f"{text}...\r\n".encode())),
}


def is_good(frame: Frame, data: bytes) -> bool:
    """Checked in another way than the framer does it."""
    if frame is NMEA:
        covered = 0
        for byte in data[1:-5]:
            covered ^= byte
        return data[:1] in (b"$", b"!") and data[-5:] == b"*%02X\r\n" % covered
    if frame is PMS:
        return data[:4] == b"BM\0\x1c" and len(data) == 32 and sum(data[:30]) == int.from_bytes(data[30:], "big")
    if frame is SDS:
        return data[:2] == b"\xaa\xc0" and len(data) == 10 and data[9] == 0xAB and sum(data[2:8]) % 256 == data[8]
    if frame is SHDLC:
        return data[0] == 0 and len(data) == data[3] + 5 and (sum(data[:-1]) + data[-1]) % 256 == 255
    if frame is POLLED:
        return data.isascii() and data[-2:] == b"\r\n" and all(0x40 <= byte <= 0x7F for byte in data[-5:-2])
    return data[:1] == b"\xaa" and len(data) == data[1] + 3 and sum(data[:-1]) % 256 == data[-1]


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


@pytest.mark.parametrize("name", FRAMES)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_comes_out_has_the_right_form_and_checksum(name: str, data: st.DataObject) -> None:
    frame = FRAMES[name]
    pieces = data.draw(st.lists(st.binary(max_size=40) | GOOD[name] | GOOD[name].map(lambda g: g[3:]), max_size=12))
    framer = Framer(frame)
    for piece in pieces:
        for found in framer.feed(piece):
            assert is_good(frame, found)


@pytest.mark.parametrize("name", FRAMES)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_stream_gives_the_same_frames_wherever_it_is_split(name: str, data: st.DataObject) -> None:
    stream = b"".join(data.draw(st.lists(st.binary(max_size=40) | GOOD[name], max_size=8)))
    framer = Framer(FRAMES[name])
    found = [f for piece in in_pieces(stream, data.draw(st.lists(st.integers(0, 999)))) for f in framer.feed(piece)]
    assert found == Framer(FRAMES[name]).feed(stream)


@pytest.mark.parametrize("name", ["line", "fixed length"])
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_rubbish_before_good_frames_costs_none_of_them(name: str, data: st.DataObject) -> None:
    good = data.draw(st.lists(GOOD[name], min_size=1, max_size=4))
    rubbish = data.draw(st.binary(max_size=60) | GOOD[name].map(lambda frame: frame[:-1]))
    assume(not Framer(FRAMES[name]).feed(rubbish + good[0][:-1]))  # a frame by chance is no rubbish
    framer = Framer(FRAMES[name])
    found = framer.feed(rubbish + b"".join(good)) + framer.silence()
    assert found[-len(good) :] == good


@given(text=TEXT, lost=st.integers(0, 200), next_text=TEXT)
@example(text="WIMWV,1", lost=3, next_text="WIMWV,2")
def test_a_line_with_a_lost_byte_costs_only_itself(text: str, lost: int, next_text: str) -> None:
    first, second = sentence(text), sentence(next_text)
    at = lost % len(first)
    found = Framer(NMEA).feed(first[:at] + first[at + 1 :] + second)
    assert found[-1:] == [second]
    assert len(found) <= 2


@given(payload=st.binary(min_size=26, max_size=26), lost=st.integers(0, 31))
def test_a_binary_frame_with_a_lost_byte_costs_only_itself(payload: bytes, lost: int) -> None:
    first, second = dust(payload), dust(b"\x07" * 26)
    framer = Framer(PMS)
    assert framer.feed(first[:lost] + first[lost + 1 :]) + framer.silence() == []
    assert framer.feed(second + second) == [second, second]


@pytest.mark.parametrize("name", FRAMES)
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_no_more_than_one_frame_is_ever_kept_waiting(name: str, data: st.DataObject) -> None:
    framer = Framer(FRAMES[name])
    byte = data.draw(st.sampled_from([b"$", b"A", b"\xaa", b"B", b"BM\0\x1c", b"\xaa\x28", b"\r"]))
    for _ in range(20):
        framer.feed(byte * 30)
        assert framer.waiting_bytes <= 100


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"$SDDBT,50.0,f,15.24,M,8.33,F*2A\r\n", "has the checksum '2A', '09' would fit"),
        (b"$WIMTA,010.0,C\r\n", "has no `*` before a checksum"),
        (b"$" + b"A" * 200, "no end within 100 bytes"),
        (b"$WIMTA,010.0$WIMTA", "broken off by the next one"),
        (b"$WIMTA,\xff010.0,C*2A\r\n", "0xFF, which is no text"),
        (b"$\r\n", "is too short"),
    ],
)
def test_a_broken_line_is_named(data: bytes, problem: str) -> None:
    framer = Framer(NMEA)
    assert framer.feed(data) == []
    assert problem in framer.problem
    assert framer.bad_frames >= 1


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"BM\0\x14" + bytes(20), "length is 20, 28 would fit"),
        (b"BM\0\x1c" + bytes(26) + b"\0\0", "has the checksum 00 00, 00 AB would fit"),
    ],
)
def test_a_broken_binary_frame_is_named(data: bytes, problem: str) -> None:
    framer = Framer(PMS)
    assert framer.feed(data) == []
    assert problem in framer.problem


def test_silence_frees_a_frame_that_hides_behind_a_broken_one() -> None:
    framer = Framer(ANY_LENGTH)
    assert framer.feed(b"\xaa\x28" + short(b"xy")) == []
    assert framer.silence() == [short(b"xy")]
    assert framer.problem == "a frame was broken off after 7 bytes"
    assert framer.waiting_bytes == 0


def test_what_was_thrown_away_is_counted() -> None:
    framer = Framer(NMEA)
    assert framer.feed(b"xyz" + sentence("WIMTA,010.0,C") + b"12") == [b"$WIMTA,010.0,C*2A\r\n"]
    assert (framer.skipped_bytes, framer.bad_frames) == (5, 0)


@pytest.mark.parametrize("name", CHECKSUMS)
@given(
    body=st.binary(min_size=4, max_size=40),
    skip=st.integers(0, 4),
    marker=st.sampled_from((b"", b"*", b"\x03")),
    behind=st.binary(max_size=3),
    around=st.booleans(),
)
def test_the_checksum_that_is_made_is_the_one_that_is_accepted(
    name: Any, body: bytes, skip: int, marker: bytes, behind: bytes, around: bool
) -> None:
    checksum = CHECKSUMS[name]
    placed = PlacedChecksum(checksum, skip, marker, len(behind), around)
    mended = placed.mended(body + marker + bytes(checksum.size) + behind)
    assert placed.problem(mended) is None
    assert len(mended) == len(body) + placed.tail
    assert mended.startswith(body + marker)
    assert mended.endswith(behind)


@pytest.mark.parametrize(
    ("name", "covered", "right"),
    [
        ("xor_hex", b"Q,229,002.74,M,00,", b"16"),  # Gill WindSonic manual
        ("negative_sum8", bytes.fromhex("01 86 00 00 00 00 00"), b"\x79"),  # Winsen MH-Z19B
        ("negative_sum8", bytes.fromhex("68 01 04"), b"\x93"),  # Honeywell HPMA115
        ("inverted_sum8", bytes.fromhex("00 03 00"), b"\xfc"),  # Sensirion SPS30
        ("crc16_modbus", bytes.fromhex("01 03 00 00 00 01"), bytes.fromhex("84 0A")),
        ("crc16_ccitt", bytes.fromhex("C6 CE A2 03"), bytes.fromhex("E2 B4")),  # Davis serial reference
        ("crc16_ccitt_ffff", b"123456789", bytes.fromhex("29 B1")),
        ("sdi12_crc", b"0r1", b"Goe"),  # Vaisala WXT520 user's guide
        ("sdi12_crc", b"0r3,Rc=0.00M,Rd=0s,Ri=0.0M", b"Ilm"),
    ],
)
def test_a_checksum_is_the_one_of_the_manuals(name: Any, covered: bytes, right: bytes) -> None:
    assert CHECKSUMS[name].digits(covered) == right


def test_hex_digits_of_a_checksum_may_be_small_letters() -> None:
    assert Framer(NMEA).feed(b"$WIMTA,010.0,C*2a\r\n")


@given(
    good=st.lists(st.binary(max_size=40), min_size=1, max_size=4),
    rubbish=st.binary(max_size=60),
    one_flag=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_rubbish_before_stuffed_frames_costs_none_of_them(good: list[bytes], rubbish: bytes, one_flag: bool) -> None:
    frames = [on_the_wire(SHDLC, shdlc(payload)) for payload in good]
    stream = b"".join(frames).replace(b"\x7e\x7e", b"\x7e") if one_flag else b"".join(frames)
    found = Framer(SHDLC).feed(rubbish.replace(b"\x7e", b"") + stream)
    assert found == [shdlc(payload) for payload in good]


@given(payload=st.binary(max_size=40))
def test_what_is_stuffed_has_no_flag_inside_and_comes_back(payload: bytes) -> None:
    sent = on_the_wire(SHDLC, shdlc(payload))
    assert sent[0] == sent[-1] == 0x7E
    assert not set(sent[1:-1]) & {0x7E, 0x11, 0x13}
    assert Framer(SHDLC).feed(sent) == [shdlc(payload)]


def test_a_line_without_a_start_that_is_broken_costs_only_itself() -> None:
    good = with_checksum(POLLED, b"0r1,Sn=0.1M...\r\n")
    framer = Framer(POLLED)
    assert framer.feed(b"0TX,Start-up\r\n" + good[:5] + good[6:] + good) == [good]
    assert framer.bad_frames == 2


def test_a_stuffed_frame_whose_length_field_is_wrong_is_refused_though_its_checksum_is_right() -> None:
    wrong = with_checksum(SHDLC, bytes([0, 3, 0, 5]) + b"four" + b"\0")
    framer = Framer(SHDLC)
    assert framer.feed(on_the_wire(SHDLC, wrong)) == []
    assert "9 bytes long, its length field says 10" in framer.problem
