"""What bytes on a bus say of its wiring."""

import pytest

from agent.cli.wiring import Symptom, symptom, wiring_hints
from drivers.modbus.framing import crc16

ASKED = bytes.fromhex("05 03 00 00 00 01 85 8E")
S = Symptom


def frame(text: str) -> bytes:
    data = bytes.fromhex(text)
    return data + crc16(data).to_bytes(2, "little")


GOOD = frame("05 03 02 00 07")


@pytest.mark.parametrize(
    ("heard", "expected"),
    [
        (b"", S.SILENT),
        (ASKED, S.ECHO),
        (ASKED + b"\xff", S.ECHO),
        (b"\x00\xff\x00", S.NOISE),
        (GOOD, S.ANSWER),
        (ASKED + GOOD, S.ANSWER),
        (b"\x00" + GOOD + b"\xff", S.ANSWER),
        (frame("05 83 02"), S.ANSWER),
        (GOOD + GOOD, S.TWICE),
        (frame("06 03 02 00 07"), S.FOREIGN),
        (GOOD[:-1] + b"\x11", S.CHECKSUM),
        (frame("05 83 02")[:-1] + b"\x11", S.CHECKSUM),
        (b"\xf8\x1c\xe0\x07", S.GARBAGE),
        (GOOD[:-2], S.CHECKSUM),
        (b"\x05", S.GARBAGE),
        (b"\x05\x03\x02" + bytes(range(40)), S.GARBAGE),
    ],
)
def test_what_came_after_one_request(heard: bytes, expected: Symptom) -> None:
    assert symptom(5, ASKED, heard) is expected


@pytest.mark.parametrize(
    ("seen", "codes"),
    [
        ({}, []),
        ({1: [S.ANSWER], 2: [S.SILENT]}, []),
        ({1: [S.SILENT], 2: [S.SILENT]}, ["silent"]),
        ({1: [S.ECHO], 2: [S.ECHO, S.SILENT]}, ["only_echo"]),
        ({1: [S.NOISE], 2: [S.SILENT]}, ["noise"]),
        ({1: [S.GARBAGE], 2: [S.NOISE]}, ["garbage"]),
        ({1: [S.ANSWER], 2: [S.NOISE]}, ["noise"]),
        ({1: [S.CHECKSUM], 2: [S.SILENT]}, ["checksum"]),
        ({1: [S.ANSWER], 2: [S.CHECKSUM]}, ["checksum"]),
        ({1: [S.ANSWER], 2: [S.GARBAGE]}, ["collision"]),
        ({1: [S.ANSWER, S.CHECKSUM]}, ["checksum"]),
        ({1: [S.ANSWER, S.TWICE], 2: [S.SILENT]}, ["two_devices"]),
    ],
)
def test_what_all_units_say_together(seen: dict[int, list[Symptom]], codes: list[str]) -> None:
    assert [hint.code for hint in wiring_hints(seen)] == codes


def test_one_unit_that_is_spoilt_among_good_ones_is_two_devices() -> None:
    (hint,) = wiring_hints({1: [S.ANSWER], 7: [S.CHECKSUM]})
    assert "unit 7" in hint.what
    assert "others answer well" in hint.advice


def test_an_echo_before_answers_is_told_and_no_fault() -> None:
    (hint,) = wiring_hints({1: [S.ANSWER]}, own_echo=True)
    assert hint.code == "echo"
