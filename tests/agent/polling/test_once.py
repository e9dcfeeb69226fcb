"""Reads that somebody asks for beside the polls, with a driver in the hands of the test."""

import asyncio
from typing import Any

import pytest
from poller_bench import Answer, Bench, fails, good

from agent.clock import NS_PER_S, SystemClock
from agent.control import OrderRefused
from agent.polling.once import ReadAnswer, carry_out
from drivers.errors import DeviceRefused, LinkDown, NoReply


@pytest.fixture(autouse=True)
def same_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """The options of the bench are no structs."""
    monkeypatch.setattr("agent.polling.once.fingerprint", lambda device, link: f"{device.name} as it is")


async def _ask(bench: Bench, device: str = "d1", as_it_is: str = "") -> ReadAnswer:
    arguments = {"device": device, "fingerprint": as_it_is or f"{device} as it is"}
    answer = await carry_out(lambda: [bench.poller], arguments)
    assert isinstance(answer, ReadAnswer)
    return answer


async def _running(bench: Bench, work: Any) -> Any:
    """What comes of `work` while the poller runs."""
    task = asyncio.ensure_future(work)
    await bench.until(task.done)
    return await task


async def test_what_was_asked_for_comes_and_is_no_telemetry() -> None:
    values = iter(range(100))
    bench = Bench({1: lambda: good(float(next(values)))})
    answer = await _running(bench, _ask(bench))
    assert answer.found
    assert {r.point for r in answer.found.readings} == {"x"}
    told = {r.value for r in bench.of("d1")}
    assert not told & {r.value for r in answer.found.readings}


async def test_many_who_ask_do_not_keep_polls_from_their_turn() -> None:
    bench, answered = Bench({1: good, 2: good}), 0

    async def ask_again_and_again() -> None:
        nonlocal answered
        while len(bench.of("d1")) < 10 or answered < 100:
            assert (await _ask(bench, "d2")).found
            answered += 1

    await _running(bench, asyncio.gather(*(ask_again_and_again() for _ in range(5))))


async def test_several_who_ask_at_once_need_not_wait_for_a_poll() -> None:
    bench = Bench({1: good})

    async def once_nothing_is_due() -> list[ReadAnswer]:
        while len(bench.scans) < 3:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        polls = bench.poller.devices[0].polls
        bench.poller.schedule.rest(polls, SystemClock().mono_ns() + 3_600 * NS_PER_S)
        return await asyncio.gather(*(_ask(bench) for _ in range(3)))

    answers = await _running(bench, once_nothing_is_due())
    assert all(answer.found for answer in answers)


async def test_an_error_comes_to_who_asked_as_it_was() -> None:
    for error in (NoReply("2: no answer"), DeviceRefused("exception 2", 2)):
        bench = Bench({1: good, 2: fails(error)})
        answer = await _running(bench, _ask(bench, "d2"))
        with pytest.raises(type(error), match=str(error)) as caught:
            answer.result()
        assert getattr(caught.value, "code", None) == getattr(error, "code", None)
        assert bench.poller.up


async def test_a_link_that_is_down_is_tried_at_once_and_says_why() -> None:
    def opens() -> None:
        raise LinkDown("/dev/ttyUSB0 is gone")

    bench = Bench({1: good}, opens)
    bench.poller._backoff.delay_s = lambda attempt: 3_600.0  # type: ignore[method-assign]

    async def once_it_is_down() -> ReadAnswer:
        while not bench.events:
            await asyncio.sleep(0.001)
        return await _ask(bench)

    answer = await _running(bench, once_it_is_down())
    with pytest.raises(LinkDown, match="ttyUSB0 is gone"):
        answer.result()


async def test_a_line_that_breaks_while_somebody_asks_is_opened_again() -> None:
    answers: dict[int, Answer] = {1: good}
    bench = Bench(answers)

    async def once_nothing_is_due() -> ReadAnswer:
        while len(bench.scans) < 3:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        bench.poller.schedule.rest(bench.poller.devices[0].polls, SystemClock().mono_ns() + 3_600 * NS_PER_S)
        answers[1] = fails(LinkDown("unplugged"))
        answer = await _ask(bench)
        while bench.opened < 2:
            await asyncio.sleep(0.001)
        return answer

    with pytest.raises(LinkDown, match="unplugged"):
        (await _running(bench, once_nothing_is_due())).result()


async def test_a_device_that_the_agent_reads_otherwise_is_left_to_who_asked() -> None:
    bench = Bench({1: good})
    for answer in (await _ask(bench, "d9"), await _ask(bench, as_it_is="with another unit id")):
        assert answer.result() is None


async def test_who_waits_at_a_poller_that_ends_is_told() -> None:
    bench = Bench({1: good})
    reads = asyncio.Event()

    async def hang(unit: int, plan: Any) -> Any:
        reads.set()
        await asyncio.Event().wait()

    bench.link.read = hang  # type: ignore[method-assign]
    asked = asyncio.create_task(_ask(bench))
    second = asyncio.create_task(_ask(bench))
    await bench.until(reads.is_set)
    with pytest.raises(OrderRefused, match="ended meanwhile"):
        await asked
    with pytest.raises(LinkDown, match="is not polled now"):
        (await second).result()
