"""Faults begin at their byte, change none, and come again with the same seed."""

from itertools import islice, pairwise

from hypothesis import given
from hypothesis import strategies as st

from simulators.proxy.faults import ENDS, NAMES, Course, Fault, drawn

DISTURBING = [name for name in NAMES if name not in ENDS]
DATA = bytes(index * 7 % 251 for index in range(3_000))
FAULTS = st.builds(
    Fault,
    name=st.sampled_from(NAMES),
    at_byte=st.integers(0, 4_000),
    seconds=st.floats(0.1, 5.0),
    length=st.integers(1, 300),
)


def _pieces(cuts: list[int]) -> list[bytes]:
    ends = sorted({0, len(DATA), *(cut % len(DATA) for cut in cuts)})
    return [DATA[a:b] for a, b in pairwise(ends)]


def _run(course: Course, pieces: list[bytes]) -> tuple[bytes, float]:
    steps = [step for piece in pieces for step in course.take(piece)]
    return b"".join(step.data for step in steps), sum(step.wait_s for step in steps)


@given(st.lists(FAULTS, max_size=4), st.lists(st.integers(0, 3_000), max_size=20))
def test_what_goes_on_is_what_came_up_to_the_first_end(faults: list[Fault], cuts: list[int]) -> None:
    begun: list[Fault] = []
    course = Course(faults, begun.append)
    passed, _ = _run(course, _pieces(cuts))
    list(course.take())
    ends = [fault.at_byte for fault in faults if fault.name in ENDS and fault.at_byte <= len(DATA)]
    assert passed == DATA[: min(ends, default=len(DATA))]
    assert bool(course.end) == bool(ends)
    assert all(fault.at_byte <= len(passed) for fault in begun)


def test_a_stall_holds_back_the_next_byte_once() -> None:
    course = Course([Fault(name="stall", at_byte=10, seconds=2.0)], [].append)
    steps = list(course.take(DATA[:30]))
    assert [(step.wait_s, len(step.data)) for step in steps] == [(0.0, 10), (2.0, 20)]
    assert _run(course, [DATA]) == (DATA, 0.0)


def test_slow_takes_as_long_as_its_bytes_need_and_then_no_longer() -> None:
    course = Course([Fault(name="slow", at_byte=100, length=500, bytes_per_s=250.0)], [].append)
    passed, wait_s = _run(course, [DATA])
    assert (passed, round(wait_s, 6)) == (DATA, 2.0)


def test_split_lets_bytes_go_one_by_one() -> None:
    course = Course([Fault(name="split", at_byte=5, length=7)], [].append)
    assert [len(step.data) for step in course.take(DATA[:20])] == [5, *[1] * 7, 8]


def test_a_healed_course_has_no_more_faults() -> None:
    course = Course([Fault(name="stall", seconds=9.0), Fault(name="cut", at_byte=50)], [].append)
    list(course.take())
    course.heal()
    assert _run(course, [DATA]) == (DATA, 0.0)
    assert course.end is None


def test_the_same_seed_draws_the_same_faults_and_every_kind_in_both_directions() -> None:
    first, again, other = (list(islice(drawn(seed), 300)) for seed in (1, 1, 2))
    assert first == again != other
    found = {(fault.name, fault.direction) for faults in first for fault in faults}
    assert found == {(name, way) for name in NAMES for way in ("up", "down")}
    assert all(sum(fault.name in ENDS for fault in faults) == 1 for faults in first)
    assert any(fault.at_byte < 14 for faults in first for fault in faults), "nothing meets a CONNECT"


def test_only_the_named_faults_are_drawn() -> None:
    assert {fault.name for faults in islice(drawn(1, ("rst", "slow")), 100) for fault in faults} == {"rst", "slow"}
    assert all(len(faults) == 1 for faults in islice(drawn(1, DISTURBING), 50))
