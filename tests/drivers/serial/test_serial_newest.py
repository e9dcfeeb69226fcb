"""What is news to whom, which of several places counts, and what has stayed away too long."""

from typing import Any

from drivers.api import Quality, Reading, Value
from drivers.serial.fields import Found
from drivers.serial.newest import Newest, SerialPlan
from drivers.serial.profile import Frame, SerialPoint, SerialProfile

S = 1_000_000_000
ONE = SerialPoint(name="one")
TWO = SerialPoint(name="two")
MAYBE = SerialPoint(name="maybe", optional=True)
PROFILE = SerialProfile(
    vendor="", model="", kind="serial", source="", frame=Frame(framing="line", checksum="none", start="$")
)


def plan(*points: SerialPoint) -> SerialPlan:
    return SerialPlan(PROFILE, points)


def said(point: SerialPoint, value: Value | None, **more: Any) -> Found:
    return Found(point, value, Quality.GOOD if value is not None else Quality.FAULT, **more)


def shown(readings: list[Reading]) -> dict[str, Any]:
    return {r.point: r.value if r.value is not None else str(r.quality) for r in readings}


def test_a_reading_is_given_once_to_each_plan() -> None:
    newest = Newest(0, 5.0)
    newest.hear([said(ONE, 1)], 1 * S)
    first, second = plan(ONE), plan(ONE)
    assert newest.news(first, 2 * S) == [Reading("one", 1, 1 * S)]
    assert newest.news(first, 2 * S) == []
    assert newest.news(second, 2 * S) == [Reading("one", 1, 1 * S)]


def test_only_the_newest_reading_is_given() -> None:
    newest = Newest(0, 5.0)
    for second in (1, 2, 3):
        newest.hear([said(ONE, second)], second * S)
    assert newest.news(plan(ONE), 4 * S) == [Reading("one", 3, 3 * S)]


def test_the_same_value_again_is_news() -> None:
    newest, wants = Newest(0, 5.0), plan(ONE)
    newest.hear([said(ONE, 1)], 1 * S)
    newest.news(wants, 1 * S)
    newest.hear([said(ONE, 1)], 2 * S)
    assert newest.news(wants, 2 * S) == [Reading("one", 1, 2 * S)]


def test_news_comes_in_the_order_of_the_plan() -> None:
    newest = Newest(0, 5.0)
    newest.hear([said(TWO, 2), said(ONE, 1)], 1 * S)
    assert [r.point for r in newest.news(plan(ONE, TWO), 1 * S)] == ["one", "two"]


def test_the_preferred_place_counts_while_it_is_fresh() -> None:
    newest, wants = Newest(0, 5.0), plan(ONE)
    newest.hear([said(ONE, 1, rank=0)], 1 * S)
    newest.hear([said(ONE, 9, rank=1)], 2 * S)
    assert shown(newest.news(wants, 2 * S)) == {"one": 1}
    newest.hear([said(ONE, 9, rank=1)], 7 * S)
    assert shown(newest.news(wants, 7 * S)) == {"one": 9}
    newest.hear([said(ONE, 1, rank=0)], 8 * S)
    assert shown(newest.news(wants, 8 * S)) == {"one": 1}


def test_a_value_from_any_place_goes_before_none() -> None:
    newest, wants = Newest(0, 5.0), plan(ONE)
    newest.hear([said(ONE, None, rank=0)], 1 * S)
    newest.hear([said(ONE, 9, rank=1)], 1 * S)
    newest.hear([said(ONE, None, rank=0)], 2 * S)
    assert shown(newest.news(wants, 2 * S)) == {"one": 9}


def test_a_place_that_takes_its_value_back_is_believed() -> None:
    newest, wants = Newest(0, 5.0), plan(ONE)
    newest.hear([said(ONE, 1, rank=0)], 1 * S)
    newest.hear([said(ONE, None, rank=0)], 2 * S)
    assert shown(newest.news(wants, 2 * S)) == {"one": "flt"}


def test_an_optional_point_is_silent_until_it_is_first_sent() -> None:
    newest, wants = Newest(0, 5.0), plan(ONE, MAYBE)
    newest.hear([said(ONE, 1), said(MAYBE, None, empty=True)], 100 * S)
    assert shown(newest.news(wants, 100 * S)) == {"one": 1}
    newest.hear([said(MAYBE, 7)], 101 * S)
    assert shown(newest.news(wants, 101 * S)) == {"maybe": 7}
    newest.hear([said(MAYBE, None, empty=True)], 102 * S)
    assert shown(newest.news(wants, 102 * S)) == {"maybe": "flt"}


def test_a_point_that_stays_away_too_long_becomes_com() -> None:
    newest, wants = Newest(0, 5.0), plan(ONE, TWO, MAYBE)
    newest.hear([said(ONE, 1), said(MAYBE, 7)], 1 * S)
    assert shown(newest.news(wants, 1 * S)) == {"one": 1, "maybe": 7}
    newest.hear([said(ONE, 1)], 6 * S)
    assert shown(newest.news(wants, 6 * S)) == {"one": 1, "two": "com"}
    newest.hear([said(ONE, 1)], 7 * S)
    assert shown(newest.news(wants, 7 * S)) == {"one": 1, "two": "com", "maybe": "com"}


def test_a_point_that_is_sent_seldom_may_stay_away_longer() -> None:
    seldom = SerialPoint(name="seldom", every_s=60.0)
    newest, wants = Newest(0, 5.0), plan(ONE, seldom)
    newest.hear([said(ONE, 1), said(seldom, 2)], 1 * S)
    newest.news(wants, 1 * S)
    newest.hear([said(ONE, 1)], 170 * S)
    assert shown(newest.news(wants, 170 * S)) == {"one": 1}
    newest.hear([said(ONE, 1)], 182 * S)
    assert shown(newest.news(wants, 182 * S)) == {"one": 1, "seldom": "com"}


def test_a_cycle_is_over_when_all_points_came_or_one_came_twice() -> None:
    newest, wants = Newest(0, 5.0), plan(ONE, TWO)
    assert not newest.has_heard_a_cycle(wants)
    newest.hear([said(ONE, 1)], 1 * S)
    assert not newest.has_heard_a_cycle(wants)
    assert newest.has_heard_a_cycle(plan(ONE))
    newest.hear([said(ONE, 1)], 2 * S)
    assert newest.has_heard_a_cycle(wants)


def test_plans_that_are_gone_leave_nothing_behind() -> None:
    newest = Newest(0, 5.0)
    newest.hear([said(ONE, 1)], 1 * S)
    for _ in range(100):
        newest.news(plan(ONE), 1 * S)
    assert len(newest._given) <= 1
