from hypothesis import given
from hypothesis import strategies as st

from agent.clock import NS_PER_S
from agent.polling.filters import ReportFilter
from agent.settings import PolledPoint
from drivers.api import Quality, Reading
from drivers.profile import Point


def _filter(
    deadband: float | None = None, heartbeat_s: float | None = None, deadband_pct: float | None = None
) -> ReportFilter:
    return ReportFilter([PolledPoint(Point(name="x"), 1.0, deadband, heartbeat_s, deadband_pct)])


def _sent(report: ReportFilter, *values: object, quality: Quality = Quality.GOOD, start_s: int = 0) -> list[object]:
    sent = []
    for second, value in enumerate(values, start_s):
        for reading in report.passing([Reading("x", value, second * NS_PER_S, quality)]):  # type: ignore[arg-type]
            sent.append(reading.value)
    return sent


def test_without_a_rule_every_reading_is_sent() -> None:
    assert _sent(_filter(), 1, 1, 1) == [1, 1, 1]


def test_the_first_reading_after_a_start_always_passes() -> None:
    assert _sent(_filter(deadband=100.0), 1.0) == [1.0]


def test_a_deadband_is_measured_from_what_was_last_sent() -> None:
    assert _sent(_filter(deadband=1.0), 0.0, 0.6, 1.2, 1.8, 2.3, 1.2) == [0.0, 1.2, 2.3, 1.2]


def test_a_heartbeat_sends_what_did_not_move() -> None:
    assert _sent(_filter(deadband=5.0, heartbeat_s=3.0), 1.0, 1.1, 1.2, 1.3, 1.4) == [1.0, 1.3]


def test_a_heartbeat_alone_sends_changes_and_heartbeats() -> None:
    assert _sent(_filter(heartbeat_s=3.0), "on", "on", "off", "off", "off", "off") == ["on", "off", "off"]


def test_a_change_of_quality_always_passes() -> None:
    report = _filter(deadband=100.0)
    assert _sent(report, 1.0) == [1.0]
    assert _sent(report, 1.0, quality=Quality.OUT_OF_RANGE, start_s=1) == [1.0]
    assert _sent(report, None, quality=Quality.NO_ANSWER, start_s=2) == [None]
    assert _sent(report, 1.0, start_s=3) == [1.0]


def test_true_and_one_are_not_the_same_value_moving_by_nothing() -> None:
    assert _sent(_filter(deadband=1.0), True, False, False) == [True, False]


def test_a_deadband_in_percent_is_of_what_was_sent_last() -> None:
    assert _sent(_filter(deadband_pct=2.0), 100.0, 101.9, 102.0, 100.0, 99.9, -1.0) == [100.0, 102.0, 99.9, -1.0]
    assert _sent(_filter(deadband_pct=2.0), 0.0, 0.0, 0.001) == [0.0, 0.001]


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40),
    st.sampled_from([0.5, 100.0, None]), st.sampled_from([1.0, 25.0, None]), st.sampled_from([3.0, None]),
)  # fmt: skip
def test_what_the_receiver_holds_is_never_further_off_than_the_deadband_nor_older_than_the_heartbeat(
    values: list[float], deadband: float | None, percent: float | None, heartbeat_s: float | None
) -> None:
    report = _filter(deadband, heartbeat_s, percent)
    held, held_s = 0.0, -1
    for second, value in enumerate(values):
        if report.passing([Reading("x", value, second * NS_PER_S)]):
            held, held_s = value, second
        assert held_s >= 0, "the first reading always passes"
        assert abs(value - held) <= (deadband or 0.0) + abs(held) * (percent or 0.0) / 100
        assert heartbeat_s is None or second - held_s < heartbeat_s
