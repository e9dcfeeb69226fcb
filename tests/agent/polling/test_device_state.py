from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from agent.polling.device import DeviceState, Poll
from drivers.api import Reading

NAMES = ("a", "b", "c", "d", "e")


def poll(names: str) -> Any:
    """A poll of these points."""
    return Poll(None, 1.0, SimpleNamespace(points=[SimpleNamespace(name=name) for name in names]))  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(0, 2), st.sets(st.sampled_from(NAMES)))))
def test_the_last_reading_of_each_point_is_known_whatever_came_of_which_poll(said: list[tuple[int, set[str]]]) -> None:
    polls = [None, poll("abc"), poll("de")]
    state, expected = DeviceState(name="d"), dict[str, Reading]()
    for number, (which, names) in enumerate(said):
        points = NAMES if polls[which] is None else [point.name for point in polls[which].plan.points]
        readings = [Reading(name, number, number) for name in points if name in names]
        state.note(readings, polls[which])
        expected.update({reading.point: reading for reading in readings})
    assert state.readings == expected
    assert len(state.answers) <= len(polls)
