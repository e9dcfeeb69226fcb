"""A sleep that ends when it should: never shorter, with nothing left over."""

import asyncio
import os
import time
from pathlib import Path

import pytest

from drivers import timerfd
from drivers.timerfd import sleep_until


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 1e-9, 1e-6, 0.0004, 0.00175, 0.0101, 0.0601])
async def test_a_sleep_is_never_shorter_than_asked_and_leaves_no_file(seconds: float) -> None:
    before = open_files()
    for _ in range(20 if seconds < 0.05 else 2):
        until = time.monotonic() + seconds
        await sleep_until(until)
        assert time.monotonic() >= until
    assert open_files() == before


async def test_most_sleeps_end_sooner_than_the_milliseconds_of_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best of many is compared, for a busy machine makes each of them late."""

    async def best_lateness() -> float:
        late = []
        for _ in range(30):
            until = time.monotonic() + 0.0002
            await sleep_until(until)
            late.append(time.monotonic() - until)
        return min(late)

    precise = await best_lateness()
    monkeypatch.setattr(timerfd, "_started", no_more_files)
    assert precise < await best_lateness()


async def test_without_a_file_to_be_had_a_sleep_is_late_and_not_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timerfd, "_started", no_more_files)
    for seconds in (-1.0, 0.0, 0.00175):
        until = time.monotonic() + seconds
        await sleep_until(until)
        assert time.monotonic() >= until


def no_more_files(mono_s: float) -> int:
    raise OSError(24, f"Too many open files: no timer for {mono_s}")


async def test_a_sleep_that_is_cancelled_leaves_no_file() -> None:
    before = open_files()
    asleep = asyncio.ensure_future(sleep_until(time.monotonic() + 0.04))
    await asyncio.sleep(0)
    assert open_files() == before + 1
    asleep.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asleep
    assert open_files() == before


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.002])
async def test_what_other_files_have_to_say_is_heard_before_a_sleep_ends(seconds: float) -> None:
    reading, writing = os.pipe()
    heard: list[bytes] = []
    asyncio.get_running_loop().add_reader(reading, lambda: heard.append(os.read(reading, 1)))
    until = time.monotonic() + seconds
    time.sleep(max(seconds, 0) + 0.002)  # the loop is busy, and both are there when it comes round
    os.write(writing, b"x")
    await sleep_until(until)
    asyncio.get_running_loop().remove_reader(reading)
    os.close(reading)
    os.close(writing)
    assert heard == [b"x"]
