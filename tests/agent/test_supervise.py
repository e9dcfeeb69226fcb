import asyncio
import logging
from random import Random

import pytest
from fake_clock import FakeClock

from agent.supervise import Backoff, Episode, keep_running


def test_delays_double_up_to_the_cap_and_are_jittered() -> None:
    backoff = Backoff(0.1, 1.0, Random(7))
    delays = [backoff.delay_s(n) for n in range(1, 60)]
    assert all(0.5 * min(1.0, 0.1 * 2 ** (n - 1)) <= d <= min(1.0, 0.1 * 2 ** (n - 1)) for n, d in enumerate(delays, 1))
    assert len(set(delays)) > 50


def test_an_episode_is_told_once_at_each_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    episode = Episode("link bus-1", clock)
    assert episode.failed("no port")
    assert not episode.failed("no port")
    clock.advance(12.5)
    assert episode.recovered()
    assert not episode.recovered()
    assert [r.message for r in caplog.records] == ["link bus-1: no port", "link bus-1: works again after 12.5 s"]


async def test_work_that_crashes_is_started_again_and_its_traceback_logged(caplog: pytest.LogCaptureFixture) -> None:
    runs = 0
    third = asyncio.Event()

    async def work() -> None:
        nonlocal runs
        runs += 1
        if runs >= 3:
            third.set()
            await asyncio.Event().wait()
        raise ValueError("broken on purpose")

    task = asyncio.create_task(keep_running("link x", work, Backoff(0.001, 0.001, Random(1)), FakeClock()))
    await asyncio.wait_for(third.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert runs == 3
    assert caplog.text.count("broken on purpose") >= 2
    assert "Traceback" in caplog.text


async def test_work_that_ends_by_itself_is_a_crash_too() -> None:
    runs = 0

    async def work() -> None:
        nonlocal runs
        runs += 1

    task = asyncio.create_task(keep_running("x", work, Backoff(0.001, 0.001, Random(1)), FakeClock()))
    async with asyncio.timeout(5):
        while runs < 3:
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
