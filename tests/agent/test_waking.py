"""Waiting that something else may shorten."""

import asyncio

import pytest

from agent.waking import Alarm


async def test_who_is_woken_does_not_wait_on() -> None:
    alarm = Alarm()
    asyncio.get_running_loop().call_soon(alarm.set)
    assert await alarm.wait(60.0)


async def test_who_is_not_woken_goes_on_when_the_time_is_over() -> None:
    assert not await Alarm().wait(0.01)


async def test_without_a_time_only_a_word_counts() -> None:
    alarm = Alarm()
    asyncio.get_running_loop().call_later(0.01, alarm.set)
    assert await alarm.wait(None)


async def test_a_word_before_the_wait_is_not_lost_and_one_that_was_heard_is() -> None:
    alarm = Alarm()
    alarm.set()
    assert await alarm.wait(None)
    alarm.clear()
    assert not await alarm.wait(0.01)


async def test_a_time_that_is_not_needed_any_more_does_not_set_it_later() -> None:
    alarm = Alarm()
    asyncio.get_running_loop().call_soon(alarm.set)
    assert await alarm.wait(0.01)
    alarm.clear()
    await asyncio.sleep(0.03)
    assert not alarm.is_set()


async def test_nor_does_that_of_who_was_cancelled() -> None:
    alarm = Alarm()
    task = asyncio.create_task(alarm.wait(0.01))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.03)
    assert not alarm.is_set()


@pytest.mark.parametrize("within_s", [None, 60.0])
async def test_an_earlier_time_shortens_the_wait(within_s: float | None) -> None:
    alarm = Alarm()
    asyncio.get_running_loop().call_later(0.001, alarm.move, 0.01)
    assert not await asyncio.wait_for(alarm.wait(within_s), 30.0)


async def test_a_time_that_is_over_wakes_at_once_as_a_word_does() -> None:
    alarm = Alarm()
    asyncio.get_running_loop().call_later(0.001, alarm.move, 0.0)
    assert await asyncio.wait_for(alarm.wait(None), 30.0)


@pytest.mark.parametrize("within_s", [None, 60.0])
async def test_a_later_time_lengthens_the_wait_and_none_ends_it(within_s: float | None) -> None:
    alarm, loop = Alarm(), asyncio.get_running_loop()
    waiting = loop.create_task(alarm.wait(0.02))
    await asyncio.sleep(0)
    alarm.move(within_s)
    await asyncio.sleep(0.05)
    assert not waiting.done()
    alarm.set()
    assert await waiting


async def test_who_is_awake_is_not_woken_by_a_time() -> None:
    alarm = Alarm()
    alarm.move(0.0)
    assert not alarm.is_set()
