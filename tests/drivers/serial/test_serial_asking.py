"""Instruments that are asked, on a real pty: what counts as an answer, and what a missing one costs."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from serial_profiles import shipped

from drivers.api import Quality, Reading
from drivers.catalogue import load_profile
from drivers.errors import BadReply, NoReply
from drivers.serial.driver import SPEC, SerialLink, bus_time_s, compile_plan, open_link
from drivers.serial.options import SerialOptions
from drivers.serial.profile import SerialProfile
from simulators.testing import RawLine

TIMEOUT_S = 0.3

HEAD = 'vendor = "v"\nmodel = "m"\nkind = "serial"\nsource = "s"\n'
TWO = """
[frame]
mode = "poll"
framing = "line"
end = "\\r\\n"
[[request]]
name = "a"
send = "A"
reply = "a="
[[request]]
name = "b"
send = "B"
reply = "b="
[[point]]
name = "a"
request = "a"
pattern = "a=(?P<value>[0-9]+)$"
[[point]]
name = "b"
request = "b"
pattern = "b=(?P<value>[0-9]+)$"
"""
ALONE = """
[frame]
mode = "poll"
framing = "fixed"
header = "FF"
size = 4
checksum = "sum8"
max_pause_s = 0.05
alone = true
[[request]]
send_hex = "55"
[[point]]
name = "distance"
at = 1
type = "u16"
unit = "mm"
"""


@pytest.fixture
def instrument(serial_line: Callable[..., RawLine]) -> RawLine:
    """What comes for what was heard, the test says."""
    return serial_line()


@pytest.fixture
def profile(tmp_path: Path) -> Callable[[str], SerialProfile]:
    def loaded(text: str) -> SerialProfile:
        file = tmp_path / "m.toml"
        file.write_text(HEAD + text, encoding="utf-8")
        found = load_profile(file, {"serial": SPEC})
        assert isinstance(found, SerialProfile)
        return found

    return loaded


@asynccontextmanager
async def opened(instrument: RawLine, **keys: Any) -> AsyncIterator[SerialLink]:
    options = SerialOptions(port=instrument.port, **{"timeout_s": TIMEOUT_S, "warm_up_s": 0.0} | keys)
    async with open_link(options) as link:
        yield link


async def values(link: SerialLink, profile: SerialProfile, unit: int | None = None) -> dict[str, Any]:
    return shown(await link.read(unit, compile_plan(profile, profile.point)))


def shown(readings: list[Reading]) -> dict[str, Any]:
    return {r.point: r.value if r.value is not None else str(r.quality) for r in readings}


def always(instrument: RawLine, answer: bytes) -> None:
    """It says this, whatever it is asked."""
    instrument.script(lambda *_: [(0.0, answer)])


def one_after_another(instrument: RawLine, *answers: bytes) -> None:
    """It says these, one to each request, whatever it is asked."""
    instrument.script(lambda number, *_: [(0.0, answers[number])])


async def test_each_request_is_answered_by_its_own_frame(instrument: RawLine, profile: Any) -> None:
    instrument.answer({b"A": b"a=1\r\n", b"B": b"b=2\r\n"})
    async with opened(instrument) as link:
        assert await values(link, profile(TWO)) == {"a": 1.0, "b": 2.0}


async def test_what_waits_on_the_line_is_thrown_away_before_anything_is_asked(
    instrument: RawLine, profile: Any
) -> None:
    instrument.answer({b"A": b"a=1\r\n", b"B": b"b=2\r\n"})
    async with opened(instrument) as link:
        instrument.say(b"a=99\r\nb=")
        assert await values(link, profile(TWO)) == {"a": 1.0, "b": 2.0}
        assert link.stats.late_bytes == 8


async def test_a_frame_that_answers_something_else_is_not_taken(instrument: RawLine, profile: Any) -> None:
    instrument.answer({b"A": b"b=7\r\nstart-up\r\na=1\r\n", b"B": b"b=2\r\n"})
    async with opened(instrument) as link:
        assert await values(link, profile(TWO)) == {"a": 1.0, "b": 2.0}


async def test_the_points_of_a_request_that_alone_was_not_answered_are_com(instrument: RawLine, profile: Any) -> None:
    instrument.answer({b"A": b"a=1\r\n"})
    async with opened(instrument) as link:
        assert await values(link, profile(TWO)) == {"a": 1.0, "b": "com"}


async def test_a_silent_instrument_costs_one_timeout(instrument: RawLine, profile: Any) -> None:
    two = profile(TWO)
    async with opened(instrument) as link:
        began = time.monotonic()
        with pytest.raises(NoReply, match="right way round"):
            await values(link, two)
        assert time.monotonic() - began < TIMEOUT_S + 0.2
    assert instrument.requests == [b"A"]


async def test_rubbish_is_a_bad_reply_that_shows_it(instrument: RawLine, profile: Any) -> None:
    instrument.answer({b"A": b"\xf8\x80\x00"})
    async with opened(instrument) as link:
        with pytest.raises(BadReply, match="F8 80 00"):
            await values(link, profile(TWO))


async def test_an_instrument_that_sends_without_end_is_said(instrument: RawLine, profile: Any) -> None:
    async def babble() -> None:
        while True:
            instrument.say(b"x")
            await asyncio.sleep(0.01)

    async with opened(instrument) as link:
        with pytest.raises(NoReply):
            await values(link, profile(TWO))
        babbling = asyncio.create_task(babble())
        with pytest.raises(BadReply, match="by itself"):
            await values(link, profile(TWO))
        babbling.cancel()


@pytest.mark.parametrize(
    ("said", "ok"),
    [
        ([(0.0, b"\xff\x07\xa1\xa7")], True),
        ([(0.0, b"\xff\x07"), (0.02, b"\xa1\xa7")], True),
        ([(0.0, b"\xff\x07\x07\x0d\x0d")], False),  # the second byte came twice; four of the five have a right sum
        ([(0.0, b"\xff\x07\xa1\xa7"), (0.03, b"\xff")], False),
        ([(0.0, b"\x00\xff\x07\xa1\xa7")], False),
        ([(0.0, b"\xff\x07\xa1\xa7\xff\x07\xa1\xa7")], False),
    ],
)
async def test_bytes_that_are_stuck_to_a_frame_that_comes_alone_break_it(
    instrument: RawLine, profile: Any, said: Any, ok: bool
) -> None:
    instrument.script(lambda *_: said)
    async with opened(instrument) as link:
        if ok:
            assert await values(link, profile(ALONE)) == {"distance": 1953}
        else:
            with pytest.raises(BadReply):
                await values(link, profile(ALONE))


async def test_where_there_is_no_checksum_two_answers_in_a_row_must_say_the_same(
    instrument: RawLine, profile: Any
) -> None:
    confirmed = profile(TWO.replace('send = "A"', 'send = "A"\nconfirm = true'))
    one_after_another(instrument, b"a=12\r\n", b"a=1\r\n", b"a=1\r\n", b"b=2\r\n")
    async with opened(instrument) as link:
        assert await values(link, confirmed) == {"a": 1.0, "b": 2.0}
    one_after_another(instrument, b"a=1\r\n", b"a=2\r\n", b"a=3\r\n", b"a=4\r\n", b"b=2\r\n")
    async with opened(instrument) as link:
        assert await values(link, confirmed) == {"a": "com", "b": 2.0}


async def test_settings_are_sent_at_connect_and_after_a_silence(instrument: RawLine, profile: Any) -> None:
    two = profile(TWO.replace("[[request]]", '[[settings]]\nsend = "S"\nexpect = "ok"\n[[request]]', 1))
    working = {b"S": b"ok\r\n", b"A": b"a=1\r\n", b"B": b"b=2\r\n"}
    instrument.answer(working)
    async with opened(instrument) as link:
        await values(link, two)
        await values(link, two)
        assert instrument.requests == [b"S", b"A", b"B", b"A", b"B"]
        instrument.end_script()
        with pytest.raises(NoReply):
            await values(link, two)
        asked = len(instrument.requests)
        instrument.answer(working)
        await values(link, two)
        assert instrument.requests[asked:] == [b"S", b"A", b"B"]


async def test_a_refusal_is_said_in_its_own_words_and_a_short_one_is_waited_for(instrument: RawLine) -> None:
    sps = shipped("sensirion/sps30")
    start, ask = bytes.fromhex("7E000002 0103F97E"), bytes.fromhex("7E000300FC7E")
    good = bytes.fromhex("7E 00 03 00 28") + b"\x41" * 40
    good += bytes([~sum(good[1:]) & 0xFF]) + b"\x7e"
    busy, later = bytes.fromhex("7E00004300BC7E"), iter((bytes.fromhex("7E00030000FC7E"), good))
    instrument.script(lambda _n, asked, _: [(0.0, {start: lambda: busy, ask: lambda: next(later)}[asked]())])
    async with opened(instrument, timeout_s=1.0) as link:
        assert (await values(link, sps))["pm25"] == 12.078
    instrument.answer({start: bytes.fromhex("7E00000000FF7E"), ask: bytes.fromhex("7E00034300B97E")})
    async with opened(instrument) as link:
        with pytest.raises(BadReply, match="not measuring"):
            await values(link, sps)


async def test_values_are_ini_while_an_instrument_warms_up(instrument: RawLine) -> None:
    co2 = shipped("winsen/mh-z19b")
    always(instrument, bytes.fromhex("FF86027C42000000BA"))
    async with opened(instrument, warm_up_s=0.5) as link:
        assert (await values(link, co2))["co2"] == str(Quality.WARMING_UP)
        await asyncio.sleep(0.5)
        assert (await values(link, co2))["co2"] == 636
        instrument.end_script()
        for _ in range(2):
            with pytest.raises(NoReply):
                await values(link, co2)
        always(instrument, bytes.fromhex("FF86027C42000000BA"))
        assert (await values(link, co2))["co2"] == str(Quality.WARMING_UP)


async def test_a_sensor_that_wears_out_is_woken_for_a_reading_and_put_to_sleep(instrument: RawLine) -> None:
    dust = shipped("nova/sds011-query")
    query, wake, sleep = dust.request[0].send_hex, dust.duty.wake[0].send_hex, dust.duty.sleep[0].send_hex  # type: ignore[union-attr]
    instrument.answer({bytes.fromhex(query): bytes.fromhex("AAC0D4043A0AA1601DAB")})
    async with opened(instrument, warm_up_s=0.1) as link:
        assert (await values(link, dust))["pm25"] == 123.6
        await asyncio.sleep(0.05)
    instrument.wait_to_hear(bytes.fromhex(sleep))
    assert instrument.heard.startswith(bytes.fromhex(wake))
    assert instrument.heard.endswith(bytes.fromhex(sleep))


async def test_it_is_put_to_sleep_also_where_it_did_not_answer(instrument: RawLine) -> None:
    dust = shipped("nova/sds011-query")
    async with opened(instrument, warm_up_s=0.1) as link:
        with pytest.raises(NoReply):
            await values(link, dust)
        await asyncio.sleep(0.05)
    assert dust.duty is not None
    sleep = bytes.fromhex(dust.duty.sleep[0].send_hex)
    instrument.wait_to_hear(sleep)
    assert instrument.heard.endswith(sleep)


async def test_an_sdi_12_sensor_is_waited_for_as_long_as_it_says_or_until_it_is_ready(instrument: RawLine) -> None:
    sensor = shipped("sdi-12/values")
    said = {b"4M!": [(0.0, b"40092\r\n"), (0.1, b"4\r\n")], b"4D0!": [(0.0, b"4+3.14-22.5\r\n")]}
    instrument.script(lambda _n, asked, _: said[asked])
    async with opened(instrument, timeout_s=1.0) as link:
        began = time.monotonic()
        assert await values(link, sensor, unit=4) == {"value_1": 3.14, "value_2": -22.5}
        assert 0.1 < time.monotonic() - began < 2


def test_the_forecast_counts_asking_and_warming_up() -> None:
    options = SerialOptions(port="/dev/x")
    asked, asleep = shipped("vaisala/wxt530"), shipped("plantower/pms5003-passive")
    assert 0.2 < bus_time_s(options, compile_plan(asked, asked.point)) < 0.5
    assert bus_time_s(options, compile_plan(asleep, asleep.point)) > 30
    assert bus_time_s(options, compile_plan(shipped("nova/sds011"), shipped("nova/sds011").point)) == 0
