"""The poller's side of lending its line, with a driver in the hands of the test."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from poller_bench import Bench, good

from agent.clock import SystemClock
from agent.control import LEASE_MAX_S
from agent.polling.lending import Borrower
from agent.polling.poller import ALIVE_S
from agent.supervise import Pulse
from drivers.errors import LinkDown

SCAN = Borrower(4711, 1000, "scan", 0)


async def _lent(bench: Bench, while_lent: Callable[[], Any], begin: Callable[[], Any] = lambda: None) -> bool:
    """Lend the line of a bench that polls, and give whether it was let go of."""

    async def lend() -> bool:
        while not (bench.scans or bench.events):
            await asyncio.sleep(0.001)
        begin()
        async with bench.poller.line.lent(SCAN) as closed:
            await while_lent()
        return closed

    task = asyncio.create_task(lend())
    await bench.until(task.done)
    return await task


async def test_nothing_is_asked_while_the_line_is_lent_and_the_ioc_is_told() -> None:
    bench = Bench({1: good})
    meanwhile: list[tuple[int, int]] = []

    async def while_lent() -> None:
        asked = len(bench.link.asked)
        await asyncio.sleep(0.3)
        meanwhile.append((bench.opened, len(bench.link.asked) - asked))

    assert await _lent(bench, while_lent)
    assert meanwhile == [(1, 0)]
    raised, cleared = bench.events
    assert (raised.type, raised.severity, raised.reason, raised.devices) == ("alarm.raise", "minor", "lent", ["d1"])
    assert "pid 4711 (uid 1000, scan)" in raised.message["vi"]
    assert (cleared.type, cleared.severity, cleared.reason) == ("alarm.clear", "info", "lent")
    assert cleared.held_s is not None
    assert cleared.held_s >= 0.3


async def test_the_slots_of_that_time_count_as_missed() -> None:
    bench = Bench({1: good})
    task = asyncio.create_task(bench.poller.run())
    try:
        while len(bench.scans) < 3:
            await asyncio.sleep(0.001)
        before = bench.poller.schedule.missed
        async with bench.poller.line.lent(SCAN):
            await asyncio.sleep(0.5)
        read = len(bench.scans)
        while len(bench.scans) < read + 3:
            await asyncio.sleep(0.001)
        assert bench.poller.schedule.missed - before >= 5  # of ten of 50 ms
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_line_that_is_lent_is_not_stuck_before_a_lease_is_over() -> None:
    bench = Bench({1: good})
    beats: list[float] = []

    class Watched(Pulse):
        def beat(self, busy_s: float = 0.0) -> None:
            beats.append(busy_s)
            super().beat(busy_s)

    bench.poller._pulse = Watched(SystemClock(), ALIVE_S)
    last: list[float] = []

    async def while_lent() -> None:
        last.append(beats[-1])

    assert await _lent(bench, while_lent)
    assert last == [LEASE_MAX_S]


async def test_who_wants_a_line_while_it_cannot_be_opened_does_not_wait_for_the_next_try() -> None:
    def opens() -> None:
        bench.poller.line.borrower = SCAN
        bench.poller.line.wake()
        raise LinkDown("/dev/ttyUSB0 is gone")

    bench = Bench({1: good}, opens)
    bench.poller._backoff.delay_s = lambda attempt: 3_600.0  # type: ignore[method-assign]
    await bench.until(lambda: bench.poller.line._closed.is_set())


async def test_a_link_that_waits_to_be_opened_again_is_lent_at_once() -> None:
    def opens() -> None:
        raise LinkDown("/dev/ttyUSB0 is gone")

    bench = Bench({1: good}, opens)
    bench.poller._backoff.delay_s = lambda attempt: 3_600.0  # type: ignore[method-assign]
    assert await _lent(bench, lambda: asyncio.sleep(0))


async def test_a_poller_that_is_stuck_lets_go_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.polling.lending.HAND_OVER_S", 0.1)
    bench, hangs = Bench({1: good}), asyncio.Event()

    async def hang(unit: int, plan: Any) -> Any:
        hangs.set()
        await asyncio.Event().wait()

    async def lend() -> bool:
        bench.link.read = hang  # type: ignore[method-assign]
        await hangs.wait()
        async with bench.poller.line.lent(SCAN) as closed:
            return closed

    task = asyncio.create_task(lend())
    await bench.until(task.done)
    assert not await task
    assert bench.poller.line.borrower is None
    assert bench.events == []
