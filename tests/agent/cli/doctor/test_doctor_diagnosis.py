"""What `doctor` concludes from what was seen: pure, without a wire."""

from collections import Counter

import pytest

from agent.cli.doctor.devices.diagnosis import STILL_S, Diagnosis, diagnosed
from agent.cli.doctor.devices.exchanges import Exchange, Listener
from agent.cli.doctor.devices.faults import FAULTS
from agent.cli.doctor.devices.observation import LinkSeen, Observation, observed
from agent.cli.doctor.devices.shapes import Heard, heard_as
from agent.uplink.faults import filled
from drivers.modbus.framing import crc16

ASKED = bytes.fromhex("01 04 00 00 00 02 71 CB")
ANSWER = bytes.fromhex("01 04 04 43 66 33 34 1B 38")
TCP_ASKED, TCP_ANSWER = bytes.fromhex("0007000000060104 00000002"), bytes.fromhex("0007000000070104 0443663334")
ASCII_ASKED, ASCII_ANSWER = b":010400000002F9\r\n", b":01040443663334E7\r\n"


def framed(text: str) -> bytes:
    frame = bytes.fromhex(text)
    return frame + crc16(frame).to_bytes(2, "little")


@pytest.mark.parametrize(
    ("heard", "shape"),
    [
        (b"", Heard("nothing")),
        (ANSWER, Heard("answer")),
        (ASKED, Heard("echo", echo=True)),
        (ASKED + ANSWER, Heard("answer", echo=True)),
        (b"\x00\xff\x00", Heard("noise", noise=True)),
        (b"\xff" + ANSWER, Heard("answer", noise=True)),
        (ANSWER + b"\x00", Heard("answer", noise=True)),
        (ANSWER[:-1] + b"\x00", Heard("bad_checksum")),
        (ANSWER[:6], Heard("short")),
        (ANSWER[1:], Heard("short")),
        (ANSWER[:1] + ANSWER[2:], Heard("short")),
        (ANSWER[:2] + ANSWER[3:], Heard("short")),
        (ANSWER[:1], Heard("short")),
        (framed("01 84 02")[1:], Heard("short")),
        (b"\x77\x10", Heard("garbage")),
        (ANSWER + b"\x38\x38", Heard("answer", noise=True)),
        (ANSWER[:4] + b"\x43" + ANSWER[4:], Heard("long")),
        (framed("01 84 02"), Heard("refusal", code=2)),
        (b"\x01\x84\x02\x00\x00", Heard("bad_checksum")),
        (b"\x01\x84\x02", Heard("short")),
        (framed("02 04 04 43 66 33 34"), Heard("other_unit", unit=2)),
        (framed("02 04 04 43 66 33 34") + ANSWER, Heard("answer", noise=True)),
        (framed("01 04 02 43 66"), Heard("other_count")),
        (framed("01 03 04 43 66 33 34"), Heard("garbage")),
        (b"\x9a\x10\x77\x31", Heard("garbage")),
        (b"\r\nBoot v1.4 2021-06\r\nReady\r\n", Heard("garbage")),
    ],
)
def test_bytes_on_an_rtu_line_have_one_shape(heard: bytes, shape: Heard) -> None:
    assert heard_as(ASKED, heard, "rtu") == shape


@pytest.mark.parametrize(
    ("heard", "shape"),
    [
        (b"", "nothing"),
        (TCP_ANSWER, "answer"),
        (b"\x00\x06" + TCP_ANSWER[2:], "garbage"),
        (TCP_ANSWER[:10], "short"),
        (bytes.fromhex("000700000003018402"), "refusal"),
        (bytes.fromhex("0007000000070204 0443663334"), "other_unit"),
        (ANSWER, "not_modbus"),
        (b"HTTP/1.1 400 Bad Request\r\n", "not_modbus"),
    ],
)
def test_bytes_of_a_tcp_device_have_one_shape(heard: bytes, shape: str) -> None:
    assert heard_as(TCP_ASKED, heard, "mbap").shape == shape


@pytest.mark.parametrize(
    ("heard", "shape"),
    [
        (ASCII_ANSWER, "answer"),
        (ASCII_ASKED, "echo"),
        (ASCII_ANSWER.replace(b"E7\r", b"E8\r"), "bad_checksum"),
        (ASCII_ANSWER[:8], "short"),
        (b":01840279\r\n", "refusal"),
        (b":01840278\r\n", "bad_checksum"),
        (b"hello", "garbage"),
    ],
)
def test_bytes_on_an_ascii_line_have_one_shape(heard: bytes, shape: str) -> None:
    assert heard_as(ASCII_ASKED, heard, "ascii").shape == shape


def line(*devices: Observation, **more: object) -> LinkSeen:
    known = {"link": "bus-1", "endpoint": "/dev/ttyUSB0", "serial": True, "framing": "rtu"}
    return LinkSeen(devices=devices, **(known | more))  # type: ignore[arg-type]


def unit(name: str, total: int = 0, /, **shapes_or_more: object) -> Observation:
    more = {key: value for key, value in shapes_or_more.items() if key in Observation.__struct_fields__}
    shapes = Counter({key: value for key, value in shapes_or_more.items() if key not in more})
    return Observation(device=name, unit=1, shapes=shapes, total=total, **more)  # type: ignore[arg-type]


GOOD = unit("good", 2, answer=3)


def found(*devices: Observation, **more: object) -> list[tuple[str, str, str]]:
    return [(one.code, one.subject, one.state) for one in diagnosed(line(*devices, **more))]


def test_where_all_is_well_there_is_nothing_to_say() -> None:
    assert found(GOOD, unit("other", 2, answer=6)) == []


@pytest.mark.parametrize(
    ("shape", "code"),
    [
        ("nothing", "line_silent"), ("echo", "only_echo"), ("noise", "noise"), ("garbage", "line_garbage"),
        ("bad_checksum", "line_damaged"), ("not_modbus", "not_modbus_tcp"),
    ],
)  # fmt: skip
def test_what_all_devices_of_a_line_share_is_said_once_of_the_line(shape: str, code: str) -> None:
    assert found(unit("a", **{shape: 2}), unit("b", **{shape: 1})) == [(code, "bus-1", "fail")]


@pytest.mark.parametrize(
    ("shape", "code"),
    [
        ("nothing", "unit_silent"), ("garbage", "unit_garbage"), ("bad_checksum", "reply_damaged"),
        ("short", "reply_short"), ("long", "reply_long"), ("other_unit", "other_unit"), ("other_count", "other_count"),
    ],
)  # fmt: skip
def test_what_one_unit_does_alone_is_said_of_it_and_how_often_where_it_also_answers(shape: str, code: str) -> None:
    assert found(GOOD, unit("sick", **{shape: 2})) == [(code, "sick", "fail")]
    (sometimes,) = diagnosed(line(GOOD, unit("sick", 2, answer=4, **{shape: 2})))
    assert (sometimes.code, sometimes.state, sometimes.often) == (code, "warn", (2, 6))


def test_a_device_alone_on_its_line_is_its_line() -> None:
    assert found(unit("only", nothing=2)) == [("line_silent", "bus-1", "fail")]
    assert found(unit("only", nothing=2), serial=False, framing="mbap") == [("tcp_mute", "bus-1", "fail")]
    assert found(unit("only", nothing=2), framing="bytes") == [("instrument_silent", "bus-1", "fail")]
    assert found(unit("only", bytes=2), framing="bytes") == [("no_frame", "only", "fail")]
    assert found(unit("only", nothing=2, valueless=True), unit("b", answer=1), framing="bytes")[0][0] == "no_values"


def test_an_echo_before_good_answers_is_a_warning_of_the_line() -> None:
    assert found(unit("a", 2, answer=2, echoes=2)) == [("echo", "bus-1", "warn")]


def test_bytes_that_nobody_asked_for_are_babble_and_what_an_instrument_sends_is_not() -> None:
    assert found(GOOD, unasked=40) == [("babble", "bus-1", "warn")]
    assert found(unit("a"), unasked=40) == [("babble", "bus-1", "fail")]
    assert found(GOOD, unasked=3) == []
    assert found(GOOD, unasked=4_000, framing="bytes") == []


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (1, "registers_refused"), (2, "registers_refused"), (3, "registers_refused"), (4, "device_failure"),
        (6, "device_busy"), (10, "gateway_path"), (11, "gateway_target"),
    ],
)  # fmt: skip
def test_exceptions_are_told_apart(code: int, name: str) -> None:
    assert found(GOOD, unit("sick", refusal=2, codes=[code])) == [(name, "sick", "fail")]


def test_a_refused_part_is_told_by_its_points_and_a_block_that_was_narrowed_is_nothing() -> None:
    assert found(unit("a", 5, answer=3, refusal=1, codes=[2], refused=["power"])) == [("points_refused", "a", "warn")]
    assert found(unit("a", 5, answer=3, refusal=1, codes=[2])) == []
    assert found(unit("a", 0, refusal=3, codes=[2], refused=["power"])) == [("registers_refused", "a", "fail")]
    assert found(unit("a", 5, answer=3, refusal=1, codes=[6])) == [("device_busy", "a", "warn")]


def test_late_answers_tell_how_long_to_wait() -> None:
    (late,) = diagnosed(line(unit("a", answer=2, late_s=0.83, timeout_s=0.5)))
    assert (late.code, late.state) == ("late", "fail")
    assert filled(FAULTS["late"].what, late.values) == "a: answers come after 830 ms, and `timeout_s` is 500 ms"
    assert "timeout_s = 1.5" in filled(FAULTS["late"].advice, late.values)
    assert found(unit("a", 2, answer=2, late_s=0.83))[0][2] == "warn"
    assert found(GOOD, unit("a", nothing=2, late_bytes=True)) == [("late_bytes", "a", "fail")]


def test_values_that_cannot_be_are_a_wrong_order_where_they_are_most() -> None:
    assert found(unit("a", 3, answer=1, implausible=["u", "i"])) == [("byte_order", "a", "fail")]
    assert found(unit("a", 9, answer=1, implausible=["u", "i"])) == [("out_of_range", "a", "warn")]
    assert found(unit("a", 1, answer=1, implausible=["u"])) == [("out_of_range", "a", "warn")]


def test_what_a_device_says_of_itself_counts() -> None:
    assert found(unit("a", 1, answer=1, mismatch="its vendor is X")) == [("other_model", "a", "fail")]
    assert found(unit("a", 1, answer=1, faulty=["pm25"])) == [("device_fault", "a", "warn")]
    assert found(unit("a", 1, answer=1, still_s=STILL_S)) == [("unchanged", "a", "warn")]
    assert found(unit("a", 1, answer=1, still_s=STILL_S - 1)) == []


def test_a_link_that_is_down_says_that_and_nothing_of_its_devices() -> None:
    assert found(unit("a", nothing=1), trouble="port_missing") == [("port_missing", "bus-1", "fail")]


def test_a_device_that_was_not_asked_is_not_called_silent() -> None:
    assert found(GOOD, unit("a", not_asked=True)) == [("not_asked", "a", "warn")]


def test_every_code_of_a_diagnosis_has_a_text_whose_values_are_known() -> None:
    seen = line(unit("a", nothing=1, example="01"), unit("b", answer=1))
    (one,) = diagnosed(seen)
    of_link = next(iter(diagnosed(line(unit("a", nothing=1, example="01")))))
    for code, text in FAULTS.items():
        values = (
            of_link.values if code.startswith(("port", "tcp", "host", "line", "link")) else one.values | of_link.values
        )
        assert "…" not in filled(text.what, values), code
        assert "…" not in filled(text.advice, values), code


def test_bytes_go_to_the_request_before_them_with_their_time() -> None:
    now = iter([1.0, 1.25, 1.5, 2.0])
    listener = Listener(lambda: next(now))
    listener("heard", b"early")
    listener("sent", ASKED)
    listener("heard", ANSWER[:4])
    listener("heard", ANSWER[4:])
    (one,) = listener.exchanges
    assert (listener.unasked, one.heard, one.began_s, one.lasted_s) == (5, ANSWER, 0.25, 0.25)


def test_a_line_that_babbles_for_ever_takes_no_more_than_so_much_memory() -> None:
    listener = Listener(lambda: 0.0)
    listener("sent", ASKED)
    for _ in range(1000):
        listener("heard", bytes(100))
    assert len(listener.exchanges[0].heard) < 3_000


def seen(exchanges: list[Exchange], char_s: float, timeout_s: float = 1.0) -> Observation:
    return observed(Observation(device="a", unit=1, timeout_s=timeout_s), exchanges, "rtu", char_s)


def test_slow_bytes_are_slow_for_their_speed() -> None:
    def exchange(lasted_s: float) -> Exchange:
        return Exchange(ASKED, 0.0, [(0.02, ANSWER[:5]), (0.02 + lasted_s, ANSWER[5:])])

    char_s = 10 / 9600
    assert not seen([exchange(0.02)] * 3, char_s).slow
    assert seen([exchange(0.1)] * 3, char_s).slow
    assert not seen([exchange(0.1)] * 3, 10 / 300).slow
    assert not seen([exchange(0.1)], char_s).slow


def test_an_answer_is_late_for_what_its_device_may_take() -> None:
    after = [Exchange(ASKED, 0.0, [(0.8, ANSWER)])]
    assert (seen(after, 0.001, timeout_s=0.5).late_s, seen(after, 0.001, timeout_s=1.0).late_s) == (0.8, 0.0)


def test_the_same_observations_give_the_same_diagnosis() -> None:
    def once() -> list[Diagnosis]:
        return list(diagnosed(line(GOOD, unit("a", nothing=2), unit("b", short=1, long=1))))

    assert once() == once()
