"""What the IOC asks to be sent again: the requests, and one of them on its way."""

import json
from typing import Any

import msgspec
import pytest

from agent.model import Batch, Result
from agent.packing import packed
from agent.uplink.downlink.messages import Replay
from agent.uplink.notices import Notices
from agent.uplink.replay.replays import CANCELLED, CUTS, MAX_RANGES, MAX_WAITING, ReplayJob, Replays, holds

EPOCH = "9f3c1a7be2d04455"


def batch(seq: int, *scans: tuple[str, int], readings: int = 2) -> Batch:
    said = {"seq": seq, "scans": [{"device": device, "time_ms": ms, "values": {"a": 1}} for device, ms in scans]}
    return Batch(seq=seq, kind="data", payload=json.dumps(said).encode(), readings=readings, sealed_ms=0)


def numbers(*ranges: tuple[int, int], id_: str = "r-1", **fields: Any) -> Replay:
    return Replay(v=1, id=id_, time_ms=1, epoch=fields.pop("epoch", EPOCH), ranges=ranges, **fields)


def window(from_ms: int, to_ms: int, *devices: str, id_: str = "r-1") -> Replay:
    return Replay(v=1, id=id_, time_ms=1, from_ms=from_ms, to_ms=to_ms, devices=devices or None)


def cancel(id_: str) -> Replay:
    return Replay(v=1, id=id_, time_ms=1, cancel=True)


class Bench:
    def __init__(self) -> None:
        self.results: list[Result] = []
        self.replays = Replays(lambda: 7, Notices(result=self.results.append))

    def ask(self, request: Replay) -> bool:
        return self.replays.ask(request, EPOCH)

    def begun(self, request: Replay) -> ReplayJob:
        assert self.ask(request)
        self.replays.begin(request.ranges or [(1, 100)])
        assert self.replays.job is not None
        return self.replays.job


def test_a_result_says_what_was_sent_and_what_is_not_here_any_more() -> None:
    bench = Bench()
    job = bench.begun(numbers((1, 4), (9, 9)))
    found = [batch(2), batch(3)]
    job.take(found, job.meant(found))
    job.take([], [])
    for _ in found:
        job.arrived(job.pop().seq)
    bench.replays.settle()
    (result,) = bench.results
    assert (result.ok, result.readings, list(result.ranges)) == (True, 4, [(2, 3)])
    assert list(result.missing) == [(1, 1), (4, 4), (9, 9)]
    assert bench.replays.job is None


def test_no_result_comes_before_the_broker_has_everything() -> None:
    bench = Bench()
    job = bench.begun(numbers((1, 2)))
    job.take([batch(1), batch(2)], [batch(1), batch(2)])
    job.take([], [])
    first, second = job.pop(), job.pop()
    job.arrived(first.seq)
    bench.replays.settle()
    assert bench.results == []
    job.returned(second.seq)
    assert job.next is second
    job.arrived(job.pop().seq)
    bench.replays.settle()
    assert [list(result.ranges) for result in bench.results] == [[(1, 2)]]


def test_what_was_on_its_way_goes_again_in_order_on_the_next_connection() -> None:
    job = Bench().begun(numbers((1, 3)))
    job.take([batch(1), batch(2), batch(3)], [batch(1), batch(2), batch(3)])
    job.pop(), job.pop()
    job.interrupted()
    assert [job.pop().seq for _ in range(3)] == [1, 2, 3]


def test_what_the_broker_will_never_take_is_missing() -> None:
    bench = Bench()
    job = bench.begun(numbers((1, 2)))
    job.take([batch(1), batch(2)], [batch(1), batch(2)])
    job.passed(job.pop().seq)
    job.arrived(job.pop().seq)
    job.take([], [])
    bench.replays.settle()
    assert (list(bench.results[0].ranges), list(bench.results[0].missing)) == ([(2, 2)], [(1, 1)])


def test_a_request_by_time_sends_what_has_anything_of_it() -> None:
    found = [
        batch(1, ("aq-01", 99)), batch(2, ("aq-01", 100)), batch(3, ("wl-02", 150)), batch(4, ("aq-01", 200)),
        batch(5, ("wl-02", 120), ("aq-01", 250)),
    ]  # fmt: skip
    all_of_it = Bench().begun(window(100, 200))
    assert [one.seq for one in all_of_it.meant(found)] == [2, 3, 5]
    of_one = Bench().begun(window(100, 200, "aq-01"))
    assert [one.seq for one in of_one.meant(found)] == [2], "a batch is no match by the time of another device"


@pytest.mark.parametrize("kind", ["event", "snapshot", "result"])
def test_what_is_no_data_has_a_time_too(kind: str) -> None:
    payload = msgspec.json.encode({"seq": 1, kind: {"id": "x", "time_ms": 150, "device": "aq-01"}})
    assert holds(payload, window(100, 200))
    assert not holds(payload, window(151, 200))
    assert not holds(payload, window(100, 200, "wl-02"))


def test_a_packed_batch_is_looked_into_and_one_that_cannot_be_read_is_sent() -> None:
    long = batch(1, *[("aq-01", 150)] * 50).payload
    assert packed(long)[:1] == b"\x78"
    assert holds(packed(long), window(100, 200))
    assert not holds(packed(long), window(200, 300))
    assert holds(packed(long)[:-5], window(200, 300))


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (numbers((1, 2), epoch="0" * 16), "the epoch here is 9f3c1a7be2d04455"),
        (numbers((1, 2), epoch=None), "no epoch"),
        (numbers((2, 1)), "ends before it begins"),
        (window(5, 5), "from_ms must be before to_ms"),
        (Replay(v=1, id="r-1", time_ms=1), "say ranges with their epoch, or from_ms and to_ms"),
        (Replay(v=1, id="r-1", time_ms=1, from_ms=1), "say ranges with their epoch, or from_ms and to_ms"),
    ],
)
def test_a_request_that_cannot_be_met_is_answered_with_what_is_wrong(request_: Replay, why: str) -> None:
    bench = Bench()
    assert bench.ask(request_)
    (result,) = bench.results
    assert (result.id, result.ok) == ("r-1", False)
    assert why in (result.error or "")
    assert bench.replays.requests == []


def test_requests_go_one_after_the_other_and_no_more_wait_than_may() -> None:
    bench = Bench()
    for number in range(MAX_WAITING + 1):
        assert bench.ask(window(1, 2, id_=f"r-{number}"))
    assert [(result.id, result.ok) for result in bench.results] == [(f"r-{MAX_WAITING}", False)]
    bench.replays.begin([])
    bench.replays.settle()
    assert bench.results[-1].id == "r-0"
    assert bench.replays.waiting is not None
    assert bench.replays.waiting.id == "r-1"


def test_the_same_request_twice_is_met_once() -> None:
    bench = Bench()
    assert bench.ask(window(1, 2))
    assert not bench.ask(window(1, 2)), "while it waits"
    bench.replays.begin([])
    assert not bench.ask(window(1, 2)), "while it is on its way"
    bench.replays.settle()
    assert not bench.ask(window(1, 2)), "when it was answered"
    assert len(bench.results) == 1


def test_a_request_that_is_cancelled_says_what_was_sent_until_then() -> None:
    bench = Bench()
    job = bench.begun(numbers((1, 9)))
    job.take([batch(1), batch(2)], [batch(1), batch(2)])
    job.arrived(job.pop().seq)
    assert bench.ask(cancel("r-1"))
    (result,) = bench.results
    assert (result.ok, result.error, list(result.ranges), list(result.missing)) == (False, CANCELLED, [(1, 1)], [])
    assert bench.replays.job is None
    job.pop()
    job.arrived(2)
    bench.replays.settle()
    assert len(bench.results) == 1, "what still comes of it is nobody's"


def test_one_that_waits_is_cancelled_alone_and_an_unknown_one_not_at_all() -> None:
    bench = Bench()
    for name in ("r-1", "r-2", "r-3"):
        bench.ask(window(1, 2, id_=name))
    assert bench.ask(cancel("r-2"))
    assert not bench.ask(cancel("r-9"))
    assert [request.id for request in bench.replays.requests] == ["r-1", "r-3"]
    assert [(result.id, result.error) for result in bench.results] == [("r-2", CANCELLED)]


def test_a_result_names_a_bounded_number_of_ranges() -> None:
    bench = Bench()
    job = bench.begun(numbers((1, 10_000)))
    found = [batch(seq) for seq in range(2, 4 * MAX_RANGES, 2)]
    job.take(found, found)
    job.take([], [])
    for _ in found:
        job.arrived(job.pop().seq)
    bench.replays.settle()
    (result,) = bench.results
    assert len(result.ranges) == len(result.missing) == MAX_RANGES
    assert result.readings == 2 * len(found)


def test_a_batch_that_the_way_never_lets_through_holds_up_no_replay() -> None:
    bench = Bench()
    job = bench.begun(numbers((1, 3)))
    job.take([batch(1), batch(2), batch(3)], [batch(1), batch(2), batch(3)])
    job.take([], [])
    for _ in range(CUTS):
        assert job.next.seq == 1
        job.pop()
        job.interrupted()
    while job.has_next:
        job.arrived(job.pop().seq)
    bench.replays.settle()
    assert (list(bench.results[0].ranges), list(bench.results[0].missing)) == ([(2, 3)], [(1, 1)])


def test_cuts_at_different_batches_cost_none() -> None:
    job = Bench().begun(numbers((1, 50)))
    found = [batch(seq) for seq in range(1, 51)]
    job.take(found, found)
    for seq in range(1, 51):
        for _ in range(CUTS - 1):
            job.pop()
            job.interrupted()
        assert job.next.seq == seq
        job.arrived(job.pop().seq)
