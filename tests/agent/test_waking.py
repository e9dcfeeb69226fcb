"""Waiting that something else may shorten."""

import asyncio

import pytest

from agent.waking import woken


async def test_who_is_woken_does_not_wait_on() -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().call_soon(event.set)
    assert await woken(event, 60.0)


async def test_who_is_not_woken_goes_on_when_the_time_is_over() -> None:
    assert not await woken(asyncio.Event(), 0.01)


async def test_without_a_time_only_the_event_counts() -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, event.set)
    assert await woken(event, None)


async def test_a_time_that_is_not_needed_any_more_does_not_set_the_event_later() -> None:
    event = asyncio.Event()
    event.set()
    assert await woken(event, 0.01)
    event.clear()
    await asyncio.sleep(0.03)
    assert not event.is_set()


async def test_nor_does_that_of_who_was_cancelled() -> None:
    event = asyncio.Event()
    task = asyncio.create_task(woken(event, 0.01))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.03)
    assert not event.is_set()
