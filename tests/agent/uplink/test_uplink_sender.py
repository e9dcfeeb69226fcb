"""The lanes of one connection, with a broker that a test plays."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Literal

import pytest
from fake_clock import FakeClock
from uplink_helpers import EPOCH, GATEWAY, MemorySource, settings, until

from agent.model import Result
from agent.uplink.downlink.messages import IocState, Replay
from agent.uplink.downlink.peer import Peer
from agent.uplink.errors import MessageRejected, UplinkDown
from agent.uplink.formats.ocg1 import Ocg1
from agent.uplink.lanes.payload_limit import PayloadLimit
from agent.uplink.lanes.progress import Pace, Progress
from agent.uplink.lanes.route import Route
from agent.uplink.lanes.sender import TICK_S, Sender
from agent.uplink.lanes.suspicion import Suspicion
from agent.uplink.mqtt import Limits
from agent.uplink.notices import Notices
from agent.uplink.replay.replays import Replays


class PlayedBroker:
    """A session whose PUBACKs come when the test says so."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.sent: list[tuple[str, bytes]] = []
        self.waiting: list[asyncio.Future[int]] = []
        self.answer: int | None = 0
        self.largest = 1_000_000
        self.forbidden: set[str] = set()

    @property
    def in_flight(self) -> int:
        return sum(not future.done() for future in self.waiting)

    def send(
        self, topic: str, payload: bytes, *, qos: Literal[0, 1] = 1, retain: bool = False, expiry_s: int | None = None
    ) -> asyncio.Future[int]:
        if len(payload) > self.largest:
            raise MessageRejected(0x95, "too long")
        self.sent.append((topic.rpartition("/")[2], payload))
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        if self.sent[-1][0] in self.forbidden:
            future.set_result(0x87)
        elif self.answer is not None:
            future.set_result(self.answer)
        return future

    def topics(self) -> list[str]:
        return [topic for topic, _ in self.sent]


class Bench:
    """A sender with all that it needs, in the hands of a test."""

    def __init__(self, ack: Literal["auto", "ioc", "broker"] = "broker", **pace: Any) -> None:
        self.session = PlayedBroker()
        self.source = MemorySource()
        self.clock = FakeClock()
        self.peer = Peer(ack, "5", 10.0)
        self.peer.connected(self.clock.mono_ns())
        self.progress = Progress()
        self.results: list[Result] = []
        self.replays = Replays(self.clock.mono_ns, Notices(result=self.results.append))
        self.route = Route(
            source=self.source,
            format=Ocg1(settings(1, Path())),
            clock=self.clock,
            peer=self.peer,
            replays=self.replays,
            pace=Pace(**pace),
            progress=self.progress,
            random=Random(1),
            payload_limit=PayloadLimit(self.source, Path("/nowhere")),
            suspicion=Suspicion(),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Sender]:
        sender = Sender(self.session, self.route)
        self.source.on_sealed = sender.offer
        self.task = asyncio.create_task(sender.run(), name="lanes")
        try:
            yield sender
        finally:
            self.task.cancel()
            await asyncio.wait([self.task])

    def ask(self, sender: Sender, request: Replay) -> None:
        """The IOC asks for something again."""
        self.replays.ask(request, EPOCH)
        sender.replay_asked()

    def later(self, sender: Sender, seconds: float) -> None:
        """Time passes, and the lanes look at it."""
        self.clock.advance(seconds)
        sender._poke()


@pytest.mark.parametrize(("code", "name"), [(0x99, "bad_payload"), (0x95, "too_large")])
async def test_what_is_refused_for_good_is_put_aside_and_the_rest_flows(code: int, name: str) -> None:
    bench = Bench()
    async with bench.running():
        bench.session.answer = code
        bench.source.seal()
        await until(lambda: bench.source.dead == [1])
        bench.session.answer = 0
        bench.source.seal()
        await until(lambda: bench.source.delivered == [2])
        assert bench.progress.rejected == {name: 1}
        assert bench.progress.dead == 1


async def test_a_batch_over_the_brokers_limit_is_put_aside_and_the_rest_flows() -> None:
    bench = Bench()
    bench.session.largest = 1_000
    for size in (0, 5_000, 0):
        bench.source.seal(size=size)
    async with bench.running():
        await until(lambda: bench.source.delivered == [1, 3])
        assert bench.source.dead == [2]


@pytest.mark.parametrize("code", [0x10, 0x80, 0x83, 0x87, 0x89, 0x90, 0x96, 0x97])
async def test_what_is_refused_for_now_is_kept_and_sent_again_after_a_pause(code: int) -> None:
    bench = Bench()
    bench.session.answer = code
    for _ in range(5):
        bench.source.seal()
    async with bench.running() as sender:
        await until(lambda: len(bench.session.sent) >= 5)
        await asyncio.sleep(0)
        refused = len(bench.session.sent)
        assert len(bench.source.batches) == 5
        bench.session.answer = 0
        bench.later(sender, 0.1)
        await asyncio.sleep(0.02)
        assert len(bench.session.sent) == refused
        bench.later(sender, 60)
        await until(lambda: bench.source.delivered == [1, 2, 3, 4, 5])
        assert (bench.progress.alarm == "") or code in (0x87, 0x90)


async def test_a_live_batch_that_is_refused_comes_back_with_the_backlog() -> None:
    bench = Bench()
    async with bench.running() as sender:
        bench.session.answer = 0x97
        bench.source.seal()
        await until(lambda: bench.progress.rejected.get("quota", 0) >= 2)
        bench.session.answer = 0
        bench.later(sender, 60)
        await until(lambda: bench.source.delivered == [1])
        assert bench.session.topics()[0] == "data"
        assert set(bench.session.topics()[1:]) == {"backfill"}


async def test_a_refusal_on_the_live_lane_stops_what_waits_behind_it() -> None:
    bench = Bench()
    bench.session.limits = Limits(receive_maximum=1)
    bench.session.answer = None
    async with bench.running() as sender:
        for _ in range(3):
            bench.source.seal()
        await until(lambda: bench.session.sent)
        bench.session.answer = 0x97
        bench.session.waiting[0].set_result(0x97)
        await until(lambda: bench.progress.rejected.get("quota", 0) == 2)
        bench.session.answer = 0
        bench.later(sender, 60)
        await until(lambda: bench.source.delivered == [1, 2, 3])
        assert bench.session.topics() == ["data"] + ["backfill"] * 4


async def test_live_goes_first_while_a_backlog_waits_for_pubacks() -> None:
    bench = Bench()
    bench.session.limits = Limits(receive_maximum=20)
    bench.session.answer = None
    for _ in range(100):
        bench.source.seal()
    async with bench.running():
        await until(lambda: len(bench.session.sent) == 15)
        bench.source.seal()
        bench.source.seal("event")
        await until(lambda: bench.session.topics()[15:] == ["data", "event"])
        bench.session.waiting[0].set_result(0)
        await until(lambda: bench.session.topics()[17:] == ["backfill"])


async def test_a_batch_is_never_in_flight_twice() -> None:
    bench = Bench()
    bench.session.answer = None
    bench.source.seal()
    async with bench.running() as sender:
        sender.offer(bench.source.batches[1])
        await until(lambda: bench.session.sent)
        sender.offer(bench.source.batches[1])
        await asyncio.sleep(0.02)
        assert len(bench.session.sent) == 1


async def test_an_ack_that_is_faster_than_the_puback_counts() -> None:
    bench = Bench("ioc")
    bench.session.answer = None
    async with bench.running() as sender:
        bench.source.seal()
        await until(lambda: bench.session.sent)
        sender.acknowledged([(1, 1)])
        bench.session.waiting[0].set_result(0)
        await asyncio.wait_for(sender.wait_quiet(), 2)
        bench.later(sender, 120)
        await asyncio.sleep(0.02)
        assert len(bench.session.sent) == 1


async def test_undecided_pubacks_count_when_there_is_no_ioc_after_all() -> None:
    bench = Bench("auto")
    async with bench.running() as sender:
        bench.source.seal()
        await until(lambda: bench.progress.acked == 1)
        assert bench.source.delivered == []
        bench.later(sender, 10)
        await until(lambda: bench.source.delivered == [1])


async def test_nothing_goes_while_the_ioc_is_offline_and_then_everything_does() -> None:
    bench = Bench("ioc")
    async with bench.running() as sender:
        bench.peer.heard(IocState(v=1, online=False))
        sender.peer_changed(came_up=False)
        for _ in range(3):
            bench.source.seal()
        await asyncio.sleep(0.02)
        assert bench.session.sent == []
        sender.peer_changed(came_up=bench.peer.heard(IocState(v=1, online=True, ack=True)))
        await until(lambda: bench.session.topics() == ["backfill"] * 3)


async def test_a_backlog_stops_when_the_ioc_goes_offline() -> None:
    bench = Bench(backfill_readings_per_s=10.0)
    for _ in range(20):
        bench.source.seal(readings=10)
    async with bench.running() as sender:
        await until(lambda: bench.session.sent)
        bench.peer.heard(IocState(v=1, online=False))
        sender.peer_changed(came_up=False)
        bench.later(sender, 60)
        await asyncio.sleep(0.02)
        assert len(bench.session.sent) == 1


async def test_without_any_puback_the_connection_is_given_up() -> None:
    bench = Bench(silence_s=30.0)
    bench.session.answer = None
    async with bench.running() as sender:
        bench.source.seal()
        await until(lambda: bench.session.sent)
        bench.later(sender, 31)
        await asyncio.wait([bench.task], timeout=2)
        error = bench.task.exception()
        assert isinstance(error, BaseExceptionGroup)
        assert error.subgroup(UplinkDown) is not None


async def test_the_backlog_keeps_its_pace() -> None:
    bench = Bench(backfill_readings_per_s=1_000.0)
    for _ in range(50):
        bench.source.seal(readings=100)
    async with bench.running() as sender:
        await until(lambda: len(bench.session.sent) == 3)
        await asyncio.sleep(0.02)
        assert len(bench.session.sent) == 3
        for second in range(1, 4):
            for _ in range(10):
                bench.later(sender, 0.1)
                await asyncio.sleep(0.002)
            assert abs(len(bench.session.sent) - 10 * second) <= 4


async def test_what_was_delivered_meanwhile_is_not_sent() -> None:
    bench = Bench("ioc", backfill_readings_per_s=10.0)
    for _ in range(20):
        bench.source.seal(readings=10)
    async with bench.running() as sender:
        await until(lambda: bench.session.sent)
        sender.acknowledged([(1, 20)])
        bench.later(sender, 60)
        await asyncio.wait_for(sender.wait_quiet(), 2)
        assert len(bench.session.sent) == 1


async def test_what_the_store_refuses_ends_the_lanes_with_its_error() -> None:
    bench = Bench()

    def broken(ranges: object) -> None:
        raise OSError("the disk is gone")

    bench.source.mark_delivered = broken  # type: ignore[method-assign, assignment]
    async with bench.running():
        bench.source.seal()
        await asyncio.wait([bench.task], timeout=2)
        error = bench.task.exception()
        assert isinstance(error, BaseExceptionGroup)
        assert error.subgroup(OSError) is not None


def numbers(first: int, last: int, id_: str = "r-1") -> Replay:
    return Replay(v=1, id=id_, time_ms=1, epoch=EPOCH, ranges=((first, last),))


def sealed_and_delivered(bench: Bench, count: int) -> None:
    for _ in range(count):
        bench.source.seal()
    bench.source.mark_delivered([(1, count)])


async def test_a_replay_sends_the_same_bytes_again_and_is_answered() -> None:
    bench = Bench()
    sealed_and_delivered(bench, 30)
    async with bench.running() as sender:
        bench.ask(sender, numbers(5, 40))
        await until(lambda: bench.results)
        assert bench.session.sent == [("backfill", bench.source.archive[seq].payload) for seq in range(5, 31)]
        (result,) = bench.results
        assert (result.ok, result.readings, list(result.ranges)) == (True, 260, [(5, 30)])
        assert list(result.missing) == [(31, 40)]
        assert bench.source.delivered == list(range(1, 31)), "nothing is delivered a second time"


async def test_a_replay_and_a_backlog_share_the_pace_and_live_goes_before_both() -> None:
    bench = Bench(ack="ioc")
    bench.session.answer = None
    bench.session.limits = Limits(receive_maximum=4)
    sealed_and_delivered(bench, 40)
    for _ in range(40):
        bench.source.seal()
    async with bench.running() as sender:
        bench.ask(sender, numbers(1, 40))
        await until(lambda: len(bench.session.sent) == 3)
        bench.source.seal()
        await until(lambda: len(bench.session.sent) == 4)
        assert bench.session.topics()[3] == "data", "the last quarter of the window is kept for it"
        for _ in range(40):
            for future in [one for one in bench.session.waiting if not one.done()]:
                future.set_result(0)
            await asyncio.sleep(0.005)
        late = [json.loads(payload)["seq"] for topic, payload in bench.session.sent[4:44] if topic == "backfill"]
        again = [seq for seq in late if seq <= 40]
        assert 0.2 <= len(again) / len(late) <= 0.3, late
        assert again == sorted(again)


async def test_a_replay_waits_while_the_broker_is_busy_and_goes_on_after_it() -> None:
    bench = Bench()
    sealed_and_delivered(bench, 3)
    bench.session.answer = 0x97
    async with bench.running() as sender:
        bench.ask(sender, numbers(1, 3))
        await until(lambda: bench.progress.rejected.get("quota") == 3)
        bench.session.answer = 0
        await until(lambda: bench.later(sender, 40) or bench.results)
        assert list(bench.results[0].ranges) == [(1, 3)]


async def test_a_replay_waits_while_the_card_cannot_be_read() -> None:
    bench = Bench()
    sealed_and_delivered(bench, 3)
    bench.source.unreadable = True
    async with bench.running() as sender:
        bench.ask(sender, numbers(1, 3))
        await asyncio.sleep(0.1)
        assert bench.results == []
        bench.source.unreadable = False
        await until(lambda: bench.results)
        assert list(bench.results[0].ranges) == [(1, 3)]


async def test_a_replay_that_was_cut_off_goes_on_with_the_next_connection() -> None:
    bench = Bench()
    sealed_and_delivered(bench, 10)
    bench.session.answer = None
    async with bench.running() as sender:
        bench.ask(sender, numbers(1, 10))
        await until(lambda: len(bench.session.sent) == 10)
        for future in bench.session.waiting[:4]:
            future.set_result(0)
        await until(lambda: bench.progress.acked == 4)
    bench.session = PlayedBroker()
    async with bench.running():
        await until(lambda: bench.results)
    again = [json.loads(payload)["seq"] for _, payload in bench.session.sent]
    assert (again, list(bench.results[0].ranges)) == (list(range(5, 11)), [(1, 10)])


async def test_what_is_undelivered_is_left_to_the_backlog_and_sent_once() -> None:
    bench = Bench(ack="ioc")
    sealed_and_delivered(bench, 2)
    bench.source.seal()
    async with bench.running() as sender:
        bench.ask(sender, numbers(1, 3))
        await until(lambda: bench.results)
        await until(lambda: len(bench.session.sent) >= 3)
        await asyncio.sleep(0.05)
        seqs = sorted(json.loads(payload)["seq"] for _, payload in bench.session.sent)
        assert (seqs, list(bench.results[0].ranges)) == ([1, 2, 3], [(1, 3)])


async def test_a_replay_cancelled_in_flight_and_asked_for_again_is_never_in_flight_twice() -> None:
    bench = Bench()
    sealed_and_delivered(bench, 3)
    bench.session.answer = None
    async with bench.running() as sender:
        bench.ask(sender, numbers(1, 3))
        await until(lambda: len(bench.session.sent) == 3)
        bench.replays.ask(Replay(v=1, id="r-1", time_ms=1, cancel=True), EPOCH)
        bench.ask(sender, numbers(1, 3, "r-2"))
        await asyncio.sleep(0.05)
        assert sender.in_flight == 3
        bench.session.answer = 0
        for future in bench.session.waiting:
            future.set_result(0)
        await until(lambda: len(bench.results) == 2)
        assert [(one.id, one.ok) for one in bench.results] == [("r-1", False), ("r-2", True)]
        assert len(bench.session.sent) == 6


async def test_a_forbidden_topic_stops_alone() -> None:
    bench = Bench()
    bench.session.forbidden = {"snapshot"}
    bench.source.seal("snapshot")
    for _ in range(20):
        bench.source.seal()
    async with bench.running() as sender:
        await until(lambda: bench.source.delivered == list(range(2, 22)))
        bench.source.seal("snapshot")
        bench.source.seal()
        await until(lambda: 23 in bench.source.delivered)
        assert list(bench.progress.alarms) == [f"ocg/v1/{GATEWAY}/up/snapshot"]
        bench.session.forbidden = set()
        await until(lambda: bench.later(sender, 61) or {1, 22} <= set(bench.source.delivered))
        assert bench.progress.alarm == ""


async def test_a_backlog_that_is_forbidden_is_not_read_over_and_over() -> None:
    bench = Bench()
    bench.session.forbidden = {"backfill"}
    for _ in range(1_000):
        bench.source.seal()
    async with bench.running() as sender:
        await until(lambda: bench.progress.alarm)
        for _ in range(10):
            bench.later(sender, 1)
            await asyncio.sleep(0.01)
        assert bench.source.handed_on < 2_000
        bench.session.forbidden = set()
        await until(lambda: bench.later(sender, 61) or len(bench.source.delivered) == 1_000)


async def test_the_ioc_sets_the_pace_of_what_is_late_and_only_downwards() -> None:
    bench = Bench(backfill_readings_per_s=1_000)
    for _ in range(100):
        bench.source.seal(readings=100)
    async with bench.running() as sender:
        bench.peer.heard(IocState(v=1, online=True, backfill_readings_per_s=100))
        sender.peer_changed(came_up=True)
        sent = len(bench.session.sent)
        bench.later(sender, 2)
        await asyncio.sleep(0.05)
        assert len(bench.session.sent) - sent <= 2
        bench.peer.heard(IocState(v=1, online=True, backfill_readings_per_s=1_000_000))
        sender.peer_changed(came_up=False)
        sent = len(bench.session.sent)
        for _ in range(20):
            bench.later(sender, 0.1)
            await asyncio.sleep(0.005)
        assert 15 <= len(bench.session.sent) - sent <= 25


async def test_a_suspect_is_never_in_flight_twice() -> None:
    """The session has its PUBACK already, and the lanes have not heard of it yet."""
    bench = Bench()
    bench.session.answer = None
    bench.source.seal()
    for _ in range(2):
        bench.route.suspicion.ended([1], None, 0, alone=True)
    async with bench.running() as sender:
        await until(lambda: bench.session.sent)
        sender._poke()
        bench.session.waiting[0].set_result(0)
        await until(lambda: bench.source.delivered == [1])
        assert len(bench.session.sent) == 1


async def test_lanes_that_wait_are_alive_for_ever_and_a_store_that_never_answers_is_stuck() -> None:
    bench = Bench(resend_s=86_400.0)
    async with bench.running() as sender:
        bench.source.seal()
        await until(lambda: bench.source.delivered)
        for _ in range(5):
            bench.clock.advance(100.0)
            sender._traffic.wake.set()  # as each second: nothing is to be read, and the lanes turn
            await asyncio.sleep(0.01)
            assert sender.is_alive()

        async def pending(*_: Any) -> Any:
            await asyncio.Event().wait()

        bench.source.pending = pending  # type: ignore[method-assign]
        sender.look_again(1)
        await asyncio.sleep(0.01)
        assert sender.is_alive()
        for _ in range(2):
            bench.later(sender, 100.0)
            await asyncio.sleep(0.01)
        assert not sender.is_alive()


async def test_lanes_with_nothing_to_do_sleep_until_something_is_due() -> None:
    bench = Bench(ack="ioc", resend_s=600.0, silence_s=60.0)
    async with bench.running() as sender:
        await until(lambda: sender._traffic.backlog.done)
        bench.clock.advance(5.0)
        assert sender._wait_s(bench.clock.mono_ns()) == 595.0  # the backlog is looked through again
        bench.session.answer = None
        bench.source.seal()
        await until(lambda: bench.session.sent)
        assert sender._wait_s(bench.clock.mono_ns()) == 60.0  # there was no PUBACK
        bench.clock.advance(2.0)
        bench.session.waiting[0].set_result(0)
        await until(lambda: sender._traffic.unconfirmed)
        bench.clock.advance(594.0)
        assert sender._wait_s(bench.clock.mono_ns()) == TICK_S
        bench.later(sender, 7.0)
        await until(lambda: len(bench.session.sent) == 2, what="the IOC has not acknowledged it")


@pytest.mark.parametrize("code", [0x10, 0x87, 0x97])
async def test_lanes_look_each_second_while_a_broker_refuses(code: int) -> None:
    bench = Bench()
    async with bench.running() as sender:
        bench.session.answer = code
        bench.source.seal()
        await until(lambda: bench.progress.rejected)
        assert sender._wait_s(bench.clock.mono_ns()) <= TICK_S
