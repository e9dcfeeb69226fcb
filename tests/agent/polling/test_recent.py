from agent.clock import NS_PER_S
from agent.polling.recent import Recent
from drivers.api import LinkStats


def _after(recent: Recent, seconds: int, busy: float, failed_of_10: int) -> tuple[LinkStats, int]:
    """The counters after so many seconds with one read each."""
    stats, now_ns = LinkStats(), 0
    for second in range(1, seconds + 1):
        stats = stats.plus(LinkStats(requests=10, no_reply=failed_of_10, busy_s=busy))
        now_ns = second * NS_PER_S
        recent.note(stats, now_ns)
    return stats, now_ns


def test_it_is_the_last_minute_that_counts() -> None:
    recent = Recent(0)
    stats, now_ns = _after(recent, 300, 0.1, 0)
    for _ in range(70):
        stats, now_ns = stats.plus(LinkStats(requests=10, no_reply=4, busy_s=0.5)), now_ns + NS_PER_S
        recent.note(stats, now_ns)
    found = recent.rates(stats, now_ns)
    assert (found.busy_pct, found.answered_pct) == (50.0, 60.0)


def test_before_a_minute_is_over_it_is_since_the_start() -> None:
    recent = Recent(0)
    stats, now_ns = _after(recent, 20, 0.25, 1)
    assert recent.rates(stats, now_ns).busy_pct == 25.0
    assert recent.rates(stats, now_ns).answered_pct == 90.0
    assert Recent(5).rates(LinkStats(), 5).answered_pct is None


def test_a_line_that_rests_becomes_idle_and_nothing_grows() -> None:
    recent = Recent(0)
    stats, now_ns = _after(recent, 3_600, 0.9, 0)
    found = recent.rates(stats, now_ns + 300 * NS_PER_S)
    assert found.busy_pct < 5
    assert len(recent._kept) <= 14
    assert recent.rates(stats.plus(LinkStats(busy_s=1e6)), now_ns).busy_pct == 100.0
