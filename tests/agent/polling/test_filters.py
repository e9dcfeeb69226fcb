from agent.clock import NS_PER_S
from agent.polling.filters import ReportFilter
from agent.settings import PolledPoint
from drivers.api import Quality, Reading
from drivers.profile import Point


def _filter(deadband: float | None = None, heartbeat_s: float | None = None) -> ReportFilter:
    return ReportFilter([PolledPoint(Point(name="x"), 1.0, deadband, heartbeat_s)])


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
