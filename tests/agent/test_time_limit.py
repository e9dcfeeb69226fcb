import asyncio

import pytest

from agent.time_limit import TimeLimit


async def test_a_step_that_takes_too_long_is_broken_off() -> None:
    limit = TimeLimit()
    with pytest.raises(TimeoutError), limit.of(0.01):
        await asyncio.sleep(60)
    assert not _cancelling()
    with limit.of(60):
        await asyncio.sleep(0)


async def test_a_timer_of_an_earlier_step_breaks_off_no_later_one() -> None:
    limit = TimeLimit()
    with limit.of(0.02):
        await asyncio.sleep(0)
    with limit.of(60):
        await asyncio.sleep(0.05)
    with pytest.raises(TimeoutError), limit.of(0.01):
        await asyncio.sleep(60)


async def test_a_shorter_limit_after_a_longer_one_counts() -> None:
    limit = TimeLimit()
    with limit.of(60):
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError), limit.of(0.01):
        await asyncio.sleep(60)


async def test_who_is_cancelled_by_others_is_cancelled() -> None:
    async def step() -> None:
        with TimeLimit().of(60):
            await asyncio.sleep(60)

    task = asyncio.create_task(step())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_of_others_in_the_same_moment_is_no_timeout() -> None:
    async def step() -> None:
        with TimeLimit().of(0.0):
            await asyncio.sleep(60)

    task = asyncio.create_task(step())
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_error_of_a_step_goes_on() -> None:
    with pytest.raises(KeyError), TimeLimit().of(60):
        raise KeyError


async def test_many_steps_share_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, made = asyncio.get_running_loop(), []
    call_at = loop.call_at
    monkeypatch.setattr(loop, "call_at", lambda *args: made.append(args) or call_at(*args))
    limit = TimeLimit()
    for _ in range(100):
        with limit.of(60):
            await asyncio.sleep(0)
    assert len(made) == 1


async def test_it_is_for_one_step_at_a_time() -> None:
    limit = TimeLimit()
    with limit.of(60):
        with pytest.raises(RuntimeError), limit.of(60):
            pass
        await asyncio.sleep(0)


def _cancelling() -> int:
    task = asyncio.current_task()
    return task.cancelling() if task else 0
