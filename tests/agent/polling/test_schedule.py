import itertools

from hypothesis import given
from hypothesis import strategies as st

from agent.clock import NS_PER_S
from agent.polling.schedule import Schedule


def _run(schedule: Schedule[str], until_ns: int, cost_ns: int, start_ns: int) -> list[tuple[int, str]]:
    now, made = start_ns, []
    while True:
        key, due = schedule.next()
        now = max(now, due)
        if now > until_ns:
            return made
        made.append((now, key))
        now += cost_ns
        schedule.done(key, now)


def test_polls_of_one_interval_are_due_at_the_same_tick_on_every_link() -> None:
    dues = []
    for start in (3 * NS_PER_S + 1, 3 * NS_PER_S + 700_000_000):
        schedule: Schedule[str] = Schedule()
        schedule.add("a", 10 * NS_PER_S, start)
        schedule.done("a", start)
        dues.append(schedule.next()[1])
    assert dues == [10 * NS_PER_S, 10 * NS_PER_S]


def test_the_first_poll_is_made_at_once() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add("a", 60 * NS_PER_S, 123)
    assert schedule.next() == ("a", 123)


def test_after_a_stall_there_is_no_burst_and_missed_slots_are_counted() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add("a", NS_PER_S, 0)
    schedule.done("a", 1)
    schedule.done("a", 6 * NS_PER_S + 1)
    assert schedule.next() == ("a", 7 * NS_PER_S)
    assert schedule.missed == 5


def test_a_tick_that_the_first_poll_runs_into_is_not_missed() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add("a", NS_PER_S, NS_PER_S - 1)
    schedule.done("a", NS_PER_S + 1)
    assert schedule.next() == ("a", 2 * NS_PER_S)
    assert schedule.missed == 0


def test_polls_that_rest_are_left_alone_until_they_are_hurried() -> None:
    schedule: Schedule[str] = Schedule()
    for key in "ab":
        schedule.add(key, NS_PER_S, 0)
    schedule.rest("ab", 9 * NS_PER_S)
    assert schedule.next()[1] == 9 * NS_PER_S
    schedule.hurry("b", 5)
    assert schedule.next() == ("b", 5)
    assert schedule.missed == 0


def test_slots_skipped_on_purpose_are_not_missed() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add("a", NS_PER_S, 0)
    schedule.done("a", 1, not_before_ns=9 * NS_PER_S)
    assert schedule.next() == ("a", 9 * NS_PER_S)
    assert schedule.missed == 0


def test_the_shorter_interval_goes_first_when_both_are_due() -> None:
    schedule: Schedule[str] = Schedule()
    schedule.add("slow", 60 * NS_PER_S, 0)
    schedule.add("fast", NS_PER_S, 0)
    assert schedule.next()[0] == "fast"


@given(
    st.lists(st.integers(1, 20), min_size=1, max_size=8),
    st.integers(0, NS_PER_S // 100),
    st.integers(0, 10 * NS_PER_S),
)
def test_every_poll_keeps_its_interval_while_the_bus_has_room(intervals: list[int], cost: int, start: int) -> None:
    schedule: Schedule[str] = Schedule()
    for number, interval in enumerate(intervals):
        schedule.add(str(number), interval * NS_PER_S, start)
    made = _run(schedule, start + 60 * NS_PER_S, cost, start)
    for number, interval in enumerate(intervals):
        times = [at for at, key in made if key == str(number)]
        gaps = [b - a for a, b in itertools.pairwise(times[1:])]
        assert all(abs(gap - interval * NS_PER_S) <= len(intervals) * cost for gap in gaps)
    assert schedule.missed == 0
