from random import Random

import pytest

from agent.polling.quarantine import FAILURES_UNTIL_DOWN, LONGEST_PROBE_S, Quarantine


def _down(random: Random) -> Quarantine:
    quarantine = Quarantine(random)
    for _ in range(FAILURES_UNTIL_DOWN):
        quarantine.failed()
    return quarantine


def test_a_device_is_down_at_its_third_failure_in_a_row_and_not_before() -> None:
    quarantine = Quarantine(Random(1))
    assert [quarantine.failed() for _ in range(5)] == [False, False, True, False, False]
    assert quarantine.answered()
    assert not quarantine.answered()


def test_one_answer_forgives_earlier_failures() -> None:
    quarantine = Quarantine(Random(1))
    for _ in range(10):
        quarantine.failed()
        quarantine.failed()
        assert not quarantine.answered()
    assert not quarantine.is_down


def test_a_device_that_is_not_down_is_asked_at_its_interval() -> None:
    quarantine = Quarantine(Random(1))
    quarantine.failed()
    assert quarantine.rest_s(1.0, 1.0) == 0.0


@pytest.mark.parametrize("seed", range(20))
def test_a_dead_device_takes_at_most_about_a_tenth_of_the_wire(seed: int) -> None:
    quarantine, busy, total = _down(Random(seed)), 0.0, 0.0
    for _ in range(50):
        rest = quarantine.rest_s(1.0, cost_s=1.0)
        busy, total = busy + 1.0, total + 1.0 + rest
        quarantine.failed()
    assert busy / total <= 0.1


@pytest.mark.parametrize("seed", range(20))
def test_a_dead_device_is_probed_at_least_every_eleven_seconds(seed: int) -> None:
    quarantine = _down(Random(seed))
    for _ in range(50):
        assert quarantine.rest_s(60.0, cost_s=1.0) <= LONGEST_PROBE_S * 1.1
        quarantine.failed()
