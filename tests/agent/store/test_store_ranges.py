from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.ranges import RangeSet

spans = st.tuples(st.integers(0, 60), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1]))
changes = st.lists(st.tuples(st.booleans(), spans), max_size=30)


def changed(steps: list[tuple[bool, tuple[int, int]]]) -> tuple[RangeSet, set[int]]:
    ranges, model = RangeSet(), set[int]()
    for add, (first, last) in steps:
        span = set(range(first, last + 1))
        if add:
            ranges.add(first, last)
            model |= span
        else:
            gone = ranges.discard(first, last)
            assert {n for low, high in gone for n in range(low, high + 1)} == model & span
            model -= span
    return ranges, model


@given(changes)
def test_ranges_hold_what_a_set_would_hold(steps: list[tuple[bool, tuple[int, int]]]) -> None:
    ranges, model = changed(steps)
    assert list(ranges) == sorted(model)
    assert ranges.count == len(model)
    assert ranges.first == min(model, default=None)
    assert bool(ranges) == bool(model)
    assert all((n in ranges) == (n in model) for n in range(80))


@given(changes)
def test_ranges_are_separate_and_sorted(steps: list[tuple[bool, tuple[int, int]]]) -> None:
    ranges, _ = changed(steps)
    parts = ranges.ranges()
    assert all(first <= last for first, last in parts)
    assert all(left[1] + 1 < right[0] for left, right in pairwise(parts))


@given(changes, spans, st.integers(-1, 80))
def test_parts_of_ranges_are_parts_of_the_set(
    steps: list[tuple[bool, tuple[int, int]]], span: tuple[int, int], after: int
) -> None:
    ranges, model = changed(steps)
    wanted = set(range(span[0], span[1] + 1))
    assert {n for a, b in ranges.overlap(*span) for n in range(a, b + 1)} == model & wanted
    assert {n for a, b in ranges.missing(*span) for n in range(a, b + 1)} == wanted - model
    assert list(ranges.after(after)) == sorted(n for n in model if n > after)
