"""The delivery rules of the IOC, one test for each sentence at the top of `simulators.ioc.rules`."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from simulators.ioc.rules import GAP_AGE_S, REPLAY_EVERY_S, Ledger


def _ledger(*seqs: int, low: int = 1) -> Ledger:
    ledger = Ledger()
    for seq in seqs:
        ledger.receive(seq, min(low, seq), 0.0)
    return ledger


def test_a_sequence_number_counts_once_and_is_a_duplicate_for_ever_after() -> None:
    ledger = _ledger(1, 2, 4)
    assert [ledger.receive(seq, 1, 0.0) for seq in (1, 4, 3, 3)] == [False, False, True, False]
    assert (ledger.received, ledger.duplicates) == (4, 3)


def test_what_is_missing_below_low_is_lost_and_found_where_it_comes_all_the_same() -> None:
    ledger = _ledger(1, 2, 10)
    ledger.receive(11, 6, 0.0)
    assert (ledger.lost_count, ledger.cumulative, ledger.gaps()) == (3, 5, [(6, 9)])
    assert ledger.receive(4, 1, 0.0)
    assert (ledger.lost_count, ledger.cumulative) == (2, 5)
    assert not ledger.receive(4, 1, 0.0)


def test_cumulative_passes_over_received_and_lost_numbers_and_over_nothing_else() -> None:
    ledger = _ledger(3, 4, 8)
    assert (ledger.cumulative, ledger.selective()) == (0, [(3, 4), (8, 8)])
    ledger.receive(9, 3, 0.0)
    assert (ledger.cumulative, ledger.selective()) == (4, [(8, 9)])
    ledger.receive(5, 1, 0.0)
    assert ledger.cumulative == 5


def test_a_low_that_goes_back_changes_nothing() -> None:
    ledger = _ledger(1, 9)
    ledger.receive(10, 8, 0.0)
    ledger.receive(11, 2, 0.0)
    assert (ledger.maxlow, ledger.lost_count) == (8, 6)


def test_a_gap_asks_for_replay_when_it_is_old_and_once_in_ten_minutes() -> None:
    ledger = Ledger()
    ledger.receive(1, 1, 0.0)
    ledger.receive(5, 1, 10.0)
    assert ledger.to_ask(10.0 + GAP_AGE_S - 1) == []
    assert ledger.to_ask(10.0 + GAP_AGE_S) == [(2, 4)]
    assert ledger.to_ask(10.0 + GAP_AGE_S + REPLAY_EVERY_S - 1) == []
    ledger.receive(3, 1, 300.0)
    assert ledger.to_ask(400.0) == []
    assert ledger.to_ask(10.0 + GAP_AGE_S + REPLAY_EVERY_S) == [(2, 2), (4, 4)]


def test_what_is_below_low_is_not_asked_for() -> None:
    ledger = _ledger(1, 5)
    ledger.receive(6, 5, 0.0)
    assert ledger.to_ask(10_000.0) == []


@given(st.sets(st.integers(1, 60), min_size=1), st.integers(1, 60))
def test_an_ack_names_exactly_what_has_arrived_or_is_lost(seqs: set[int], low: int) -> None:
    ledger = Ledger()
    for seq in seqs:
        ledger.receive(seq, min(seq, low), 0.0)
    acked = set(range(1, ledger.cumulative + 1)) | {n for a, b in ledger.selective() for n in range(a, b + 1)}
    lost = {n for hole in ledger.lost for n in range(hole.first, hole.last + 1)}
    assert acked == seqs | lost
    assert lost == set(range(1, ledger.maxlow)) - seqs
    assert {n for a, b in ledger.gaps() for n in range(a, b + 1)} == set(range(1, max(seqs))) - acked
    assert all(ledger.knows(seq) for seq in seqs)
    assert not any(ledger.knows(seq) for seq in range(max(seqs) + 2) if seq not in seqs)


@given(st.integers(0, 2**32))
def test_loss_duplicates_and_reordering_on_the_way_change_nothing_once_everything_has_arrived(seed: int) -> None:
    """A gateway that evicts some batches and sends the others until they are acknowledged, over a bad line."""
    random = Random(seed)
    count = random.randint(1, 40)
    undelivered = set(range(1, count + 1))
    evicted = {seq for seq in undelivered if random.random() < 0.1 and seq != count}
    undelivered -= evicted
    ledger = Ledger()
    held: list[tuple[int, int]] = []
    lows = {seq: min([s for s in undelivered if s <= seq] or [seq]) for seq in undelivered}
    for step in range(2_000):
        if not undelivered:
            break
        seq = random.choice(sorted(undelivered))
        held.append((seq, lows[seq]))
        random.shuffle(held)
        if random.random() < 0.5:
            ledger.receive(*held.pop(), float(step))
        if random.random() < 0.3 and held:
            held.pop()
        if random.random() < 0.2:
            undelivered -= set(range(1, ledger.cumulative + 1))
            undelivered -= {n for a, b in ledger.selective() for n in range(a, b + 1)}
    assert not undelivered
    last = count + 1
    ledger.receive(last, last, 1e6)
    for seq, low in held:
        ledger.receive(seq, low, 1e6)
    lost = {n for hole in ledger.lost for n in range(hole.first, hole.last + 1)}
    assert (ledger.cumulative, ledger.selective(), lost) == (last, [], evicted)
    assert ledger.received == last - len(evicted)
