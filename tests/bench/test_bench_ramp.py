"""The highest rate that a gateway carries is found to a factor, wherever it is."""

from dataclasses import replace

import pytest
from gateways.scenes.api import Effort
from gateways.scenes.ramp import LAST, LEAST, Step, highest
from gateways.subjects import SUBJECTS
from hypothesis import given
from hypothesis import strategies as st

GOOD = Step(100_000, 98_000, behind_s=1.0, late_ms=1_000, lost=0, wrong=0, load_busy=0.2, shares={"gateway": 0.9})


@given(st.floats(1_000, 500_000), st.floats(1_000, 500_000), st.floats(1.02, 2.0))
def test_the_highest_rate_is_found_to_a_factor(limit: float, start: float, close: float) -> None:
    asked: list[float] = []

    def carries(rate: float) -> bool:
        asked.append(rate)
        return rate <= limit

    found = highest(carries, start, close)
    assert found <= limit < found * close * (1 + 1e-9)
    assert found in asked
    assert len(asked) == len(set(asked))


def test_a_gateway_that_carries_nothing_or_everything_ends_the_search() -> None:
    assert highest(lambda _rate: False, 4_000, 1.1) == 0
    assert LAST / 2 < highest(lambda _rate: True, 4_000, 1.1) <= LAST
    assert highest(lambda rate: rate < LEAST, 4_000, 1.1) == 0


def test_a_rate_is_carried_where_it_is_read_and_arrives_whole() -> None:
    assert GOOD.carried
    assert "not carried" not in str(GOOD)


@pytest.mark.parametrize("worse", [{"read": 96_000}, {"behind_s": 2.6}, {"late_ms": 2_600}, {"lost": 1}, {"wrong": 1}])
def test_a_rate_is_not_carried_where_something_is_missing_late_or_wrong(worse: dict[str, float]) -> None:
    step = replace(GOOD, **worse)  # type: ignore[arg-type]  # names and values of one table
    assert not step.carried
    assert "not carried" in str(step)


def test_peers_are_looked_at_for_a_shorter_time_and_ours_is_not() -> None:
    effort = Effort()
    assert effort.of(SUBJECTS["oc-agent"]) == effort
    peer = effort.of(SUBJECTS["collectd"])
    assert (peer.steady_s, peer.outage_s, peer.kills) == (20, 20, 3)
    assert effort.scaled(30).of(SUBJECTS["collectd"]).steady_s == 30
