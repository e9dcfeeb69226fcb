"""The lanes' bookkeeping, pacing, what is unconfirmed, and whose word counts."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.clock import NS_PER_S
from agent.model import Batch
from agent.supervise import Backoff
from agent.uplink.downlink.messages import IocState, NoIocState
from agent.uplink.downlink.peer import Peer
from agent.uplink.lanes.pacing import Pause, TokenBucket
from agent.uplink.lanes.queues import BACKFILL_IN_FLIGHT_BYTES, Backlog, InFlight, LiveQueue, Window
from agent.uplink.lanes.unconfirmed import A_BATCH, FIRST_READINGS, QUEUE_S, UNCONFIRMED_BATCHES, Unconfirmed
from agent.uplink.reasons import Verdict, max_pause_s, reason_name, verdict

S = NS_PER_S
UP = IocState(v=1, online=True, ack=True)
DOWN = IocState(v=1, online=False)


def batch(seq: int, size: int = 10, readings: int = 1) -> Batch:
    return Batch(seq=seq, kind="data", payload=b"x" * size, readings=readings, sealed_ms=0)


def nowhere(seq: int) -> bool:
    return False


def test_the_live_queue_is_bounded_and_forgets_nothing_it_took() -> None:
    queue = LiveQueue(max_bytes=25)
    assert [queue.offer(batch(seq)) for seq in (1, 2, 3)] == [True, True, False]
    assert (1 in queue, 3 in queue) == (True, False)
    assert queue.pop().seq == 1
    assert queue.offer(batch(4))
    assert queue.spill() == 2
    assert not queue
    assert queue.spill() is None


def test_the_backlog_goes_oldest_first_and_knows_when_it_is_done() -> None:
    backlog = Backlog(read_ahead=2)
    backlog.take([batch(3), batch(5)], backlog.generation, nowhere)
    assert not backlog.hungry
    assert [backlog.pop().seq, backlog.pop().seq] == [3, 5]
    assert (backlog.hungry, backlog.done, backlog.cursor) == (True, False, 5)
    backlog.take([], backlog.generation, nowhere)
    assert backlog.done


def test_the_backlog_passes_over_what_is_elsewhere() -> None:
    backlog = Backlog()
    backlog.take([batch(1), batch(2)], backlog.generation, lambda seq: seq == 1)
    assert (1 in backlog, 2 in backlog, backlog.cursor) == (False, True, 2)


def test_a_rewind_finds_the_batch_again_and_ignores_an_older_answer() -> None:
    backlog = Backlog()
    before = backlog.generation
    backlog.take([batch(4), batch(6)], before, nowhere)
    backlog.rewind(5)
    assert (backlog.cursor, len(backlog), backlog.swept) == (4, 1, False)
    backlog.take([batch(7)], before, nowhere)
    assert len(backlog) == 1


def test_a_rewind_ahead_of_the_cursor_only_wakes_the_sweep() -> None:
    backlog = Backlog()
    backlog.take([batch(4)], backlog.generation, nowhere)
    backlog.take([], backlog.generation, nowhere)
    backlog.rewind(9)
    assert (backlog.cursor, len(backlog), backlog.hungry) == (4, 1, True)


def test_a_rewind_keeps_what_was_read_ahead_below_it() -> None:
    backlog = Backlog()
    backlog.take([batch(1), batch(2), batch(5)], backlog.generation, nowhere)
    backlog.rewind(4)
    assert (backlog.cursor, len(backlog), 5 in backlog) == (3, 2, False)


@given(st.data())
def test_whatever_is_undelivered_is_above_the_cursor_or_read_ahead_or_elsewhere(data: st.DataObject) -> None:
    backlog, elsewhere = Backlog(read_ahead=4), set[int]()
    undelivered = set(range(1, 21))
    asked: list[tuple[int, list[Batch]]] = []
    for _ in range(data.draw(st.integers(0, 60))):
        match data.draw(st.sampled_from(["ask", "answer", "send", "refused", "delivered"])):
            case "ask":
                found = sorted(seq for seq in undelivered if seq > backlog.cursor)[:6]
                asked.append((backlog.generation, [batch(seq) for seq in found]))
            case "answer" if asked:
                generation, batches = asked.pop(0)
                asked.clear()
                backlog.take(batches, generation, elsewhere.__contains__)
            case "send" if backlog:
                seq = backlog.pop().seq
                assert seq not in elsewhere
                elsewhere.add(seq)
            case "refused" if elsewhere:
                seq = data.draw(st.sampled_from(sorted(elsewhere)))
                elsewhere.discard(seq)
                backlog.rewind(seq)
            case "delivered" if elsewhere:
                seq = data.draw(st.sampled_from(sorted(elsewhere)))
                elsewhere.discard(seq)
                undelivered.discard(seq)
        for seq in undelivered:
            assert seq > backlog.cursor or seq in backlog or seq in elsewhere, f"{seq} is nowhere"
    assert not backlog.swept or all(seq <= backlog.cursor for seq in undelivered)


@pytest.mark.parametrize(("receive_maximum", "size"), [(1, 1), (5, 5), (20, 20), (65_535, 20)])
def test_the_window_obeys_the_broker(receive_maximum: int, size: int) -> None:
    window = Window(receive_maximum)
    while window.has_room("live", 10):
        window.add(InFlight(batch(len(window) + 1), "live"))
    assert len(window) == size


def test_backfill_takes_at_most_three_quarters_of_the_window() -> None:
    window = Window(20)
    while window.has_room("backfill", 10):
        window.add(InFlight(batch(len(window) + 1), "backfill"))
    assert len(window) == 15
    assert window.has_room("live", 10)
    window.remove(1)
    assert window.has_room("backfill", 10)


def test_backfill_leaves_the_line_to_live_data_however_long_its_batches_are() -> None:
    window = Window(20)
    assert window.has_room("backfill", 2 * BACKFILL_IN_FLIGHT_BYTES)
    window.add(InFlight(batch(1, BACKFILL_IN_FLIGHT_BYTES), "backfill"))
    assert not window.has_room("backfill", 1)
    assert window.has_room("live", 60_000)


def test_what_is_unconfirmed_is_due_after_its_time() -> None:
    unconfirmed = Unconfirmed(60, 0)
    unconfirmed.add(batch(7), 0)
    unconfirmed.add(batch(8), 10 * S)
    unconfirmed.confirm([], 59 * S)
    assert unconfirmed.take_due(59 * S) is None
    assert unconfirmed.take_due(60 * S) == 7
    assert 7 not in unconfirmed
    assert unconfirmed.take_due(70 * S) == 8


def test_an_ioc_that_says_nothing_is_asked_with_one_batch() -> None:
    unconfirmed = Unconfirmed(60, 0)
    for seq in range(1, 101):
        unconfirmed.add(batch(seq), 0)
    assert unconfirmed.take_due(61 * S) == 1
    assert len(unconfirmed) == 99
    assert unconfirmed.take_due(62 * S) is None
    unconfirmed.confirm([(1, 50)], 63 * S)
    assert unconfirmed.take_due(64 * S) == 51
    assert len(unconfirmed) == 0


def test_an_ioc_that_has_come_up_gets_what_it_lacks_at_once() -> None:
    unconfirmed = Unconfirmed(60, 0)
    unconfirmed.add(batch(1), 0)
    unconfirmed.hurry(5 * S, 2.0)
    assert unconfirmed.take_due(6 * S) is None
    assert unconfirmed.take_due(7 * S) == 1


def test_what_is_unconfirmed_is_bounded() -> None:
    unconfirmed = Unconfirmed(60, 0)
    for seq in range(1, UNCONFIRMED_BATCHES + 1):
        unconfirmed.add(batch(seq), 0)
    assert not unconfirmed.has_room(0)
    unconfirmed.add(batch(UNCONFIRMED_BATCHES + 1), 0)
    assert len(unconfirmed) == UNCONFIRMED_BATCHES
    assert 1 not in unconfirmed


@given(
    st.sets(st.integers(1, 60)),
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 20)).map(lambda pair: (pair[0], sum(pair))), max_size=5),
)
def test_an_ack_confirms_what_it_names_and_nothing_else(seqs: set[int], ranges: list[tuple[int, int]]) -> None:
    unconfirmed = Unconfirmed(60, 0)
    for seq in seqs:
        unconfirmed.add(batch(seq), 0)
    unconfirmed.confirm(ranges, S)
    left = {seq for seq in seqs if not any(first <= seq <= last for first, last in ranges)}
    assert set(unconfirmed.take_all()) == left


@given(st.lists(st.integers(0, 5_000), min_size=50, max_size=50))
def test_the_pace_holds_over_any_batches(sizes: list[int]) -> None:
    rate, now_ns, sent = 1_000.0, 0, 0
    bucket = TokenBucket(rate, now_ns)
    for size in sizes:
        now_ns += round(bucket.wait_s(now_ns) * S) + 1_000
        assert bucket.wait_s(now_ns) == 0
        bucket.take(size, now_ns)
        sent += max(1, size)
    burst = rate * 0.25 + max(sizes) + 1
    assert sent <= rate * now_ns / S + burst


def test_a_pause_grows_with_each_refusal_and_ends_with_a_success() -> None:
    pause = Pause(Backoff(0.5, 60.0, Random(1)))
    waits = []
    now_ns = 0
    for _ in range(12):
        pause.begin(now_ns, 60.0)
        pause.begin(now_ns, 60.0)
        waits.append(pause.wait_s(now_ns))
        now_ns += round(waits[-1] * S) + 1
    assert waits[0] <= 0.5
    assert 30 <= waits[-1] <= 60
    pause.end()
    assert pause.wait_s(now_ns) == 0
    pause.begin(now_ns, 60.0)
    assert pause.wait_s(now_ns) <= 0.5


def test_a_pause_is_no_longer_than_the_code_allows() -> None:
    pause = Pause(Backoff(50.0, 60.0, Random(1)))
    pause.begin(0, max_pause_s(0x10))
    assert pause.wait_s(0) <= 10


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0x00, Verdict.ACCEPTED), (0x10, Verdict.NO_SUBSCRIBER), (0x87, Verdict.FORBIDDEN), (0x90, Verdict.FORBIDDEN),
        (0x80, Verdict.BUSY), (0x83, Verdict.BUSY), (0x89, Verdict.BUSY), (0x96, Verdict.BUSY), (0x97, Verdict.BUSY),
        (0x99, Verdict.DEAD), (0x95, Verdict.DEAD), (0xEE, Verdict.BUSY),
    ],
)  # fmt: skip
def test_every_code_has_its_consequence_and_a_name(code: int, expected: Verdict) -> None:
    assert verdict(code) is expected
    assert reason_name(code)


def test_auto_needs_the_iocs_word_where_the_ioc_acknowledges() -> None:
    peer = Peer("auto", "5", 10)
    peer.connected(0)
    assert peer.mode(9 * S) == "undecided"
    assert peer.mode(10 * S) == "broker"
    assert peer.heard(UP)
    assert peer.mode(10 * S) == "ioc"
    assert not peer.heard(UP)


def test_an_ioc_that_was_seen_once_is_not_forgotten_by_a_broker_that_restarts() -> None:
    peer = Peer("auto", "5", 10)
    peer.connected(0)
    peer.heard(UP)
    peer.connected(100 * S)
    assert peer.online is None
    assert peer.mode(200 * S) == "ioc"
    peer.heard(DOWN)
    assert (peer.mode(200 * S), peer.online) == ("ioc", False)
    peer.heard(NoIocState())
    assert peer.mode(200 * S) == "broker"


def test_an_ioc_that_does_not_acknowledge_leaves_it_to_the_broker() -> None:
    peer = Peer("auto", "5", 10)
    peer.connected(0)
    peer.heard(IocState(v=1, online=True))
    assert peer.mode(0) == "broker"


def test_that_an_ioc_reads_rows_holds_until_it_says_otherwise() -> None:
    reading = IocState(v=1, online=True, encodings=("json", "rows", "later"))
    for end, reads in [(DOWN, True), (UP, False), (NoIocState(), False), (reading, True)]:
        peer = Peer("auto", "5", 10)
        assert not peer.reads_rows
        peer.connected(0)
        peer.heard(reading)
        peer.connected(100 * S)
        assert peer.reads_rows, "a connection that was cut says nothing"
        peer.heard(end)
        assert peer.reads_rows is reads
    peer = Peer("auto", "5", 10)
    peer.heard(DOWN)
    assert not peer.reads_rows, "it never said so"


def test_what_the_configuration_says_goes_before_what_the_ioc_says() -> None:
    for setting in ("ioc", "broker"):
        peer = Peer(setting, "3.1.1", 10)
        peer.heard(UP)
        assert peer.mode(0) == setting


def test_on_3_1_1_auto_needs_the_iocs_word_always() -> None:
    peer = Peer("auto", "3.1.1", 0)
    peer.connected(0)
    assert peer.mode(99 * S) == "ioc"


class SlowIoc:
    """An IOC that takes so many batches of 100 readings a second, and acknowledges once a second."""

    def __init__(self, unconfirmed: Unconfirmed) -> None:
        self.unconfirmed = unconfirmed
        self.now_ns = 0
        self.sent = 0
        self.taken = 0
        self.most = 0

    def second(self, batches: int, *, wanted: int = 1_000_000) -> None:
        """A second in which the lanes send what they may, but at most `wanted`, and the IOC takes `batches`."""
        self.now_ns += S
        self.taken = min(self.sent, self.taken + batches)
        self.unconfirmed.confirm([(1, self.taken)], self.now_ns)
        goal = self.sent + wanted
        while self.sent < goal and self.unconfirmed.has_room(0):
            self.sent += 1
            self.unconfirmed.add(batch(self.sent, readings=100), self.now_ns)
        self.most = max(self.most, len(self.unconfirmed))


@pytest.mark.parametrize("per_second", [20, 100, 700])
def test_no_more_of_a_backlog_stands_in_the_brokers_queue_than_the_ioc_takes_in_that_time(per_second: int) -> None:
    ioc = SlowIoc(Unconfirmed(60, 0))
    for _ in range(40):
        ioc.second(per_second)
    assert ioc.taken >= 30 * per_second, "the IOC is kept busy"
    ioc.most = 0
    for _ in range(20):
        ioc.second(per_second)
    assert per_second <= ioc.most <= QUEUE_S * per_second + 2


def test_the_room_grows_again_when_the_ioc_is_faster_again() -> None:
    ioc = SlowIoc(Unconfirmed(60, 0))
    for _ in range(20):
        ioc.second(20)
    taken = ioc.taken
    for _ in range(30):
        ioc.second(1_000)
    assert ioc.taken - taken > 5_000


def test_an_ioc_that_acknowledges_seldom_is_not_taken_for_slow() -> None:
    ioc = SlowIoc(Unconfirmed(60, 0))
    for _ in range(30):
        ioc.now_ns += 9 * S
        ioc.second(10_000)
    assert ioc.sent > 10_000


def test_a_line_that_was_idle_does_not_make_the_room_small() -> None:
    ioc = SlowIoc(Unconfirmed(60, 0))
    for _ in range(30):
        ioc.second(1_000, wanted=1)
    ioc.second(0)
    assert len(ioc.unconfirmed) >= FIRST_READINGS // (100 + A_BATCH)


def test_what_is_in_flight_takes_room_too() -> None:
    unconfirmed = Unconfirmed(60, 0)
    assert unconfirmed.has_room(FIRST_READINGS - 1)
    assert not unconfirmed.has_room(FIRST_READINGS)
