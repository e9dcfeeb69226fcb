"""The bus of an hour in a moment: the real schedule and quarantine over a clock of numbers."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.clock import NS_PER_S
from agent.polling.quarantine import FAILURES_UNTIL_DOWN, Quarantine
from agent.polling.schedule import Schedule

TIMEOUT_S = 0.5
ANSWER_S = 0.05
DEVICES = 10
INTERVAL_S = 1.0


class Bus:
    """Devices that share one wire, one poll each. A dead one costs its timeout; the next poll waits out the silence."""

    def __init__(self, seed: int, dead: Sequence[int]) -> None:
        random = Random(seed)
        self.now_s = random.uniform(0, 1)
        self.schedule: Schedule[int] = Schedule()
        self.quarantine = {device: Quarantine(random) for device in range(DEVICES)}
        self.dead = set(dead)
        self.lost_s = 0.0
        self.late_s: list[float] = []
        self.back_at_s: dict[int, float] = {}
        self._quiet_s = 0.0
        for device in range(DEVICES):
            self.schedule.add(device, round(INTERVAL_S * NS_PER_S), self._ns())

    def _ns(self) -> int:
        return round(self.now_s * NS_PER_S)

    def run_until(self, end_s: float) -> None:
        while self.now_s < end_s:
            device, due_ns = self.schedule.next()
            self.now_s = max(self.now_s, due_ns / NS_PER_S)
            if device not in self.dead:
                self.late_s.append(self.now_s - due_ns / NS_PER_S)
            self._poll(device)

    def _poll(self, device: int) -> None:
        quiet_s, self._quiet_s = self._quiet_s, 0.0
        started_s = self.now_s
        quarantine = self.quarantine[device]
        was_down = quarantine.failures >= FAILURES_UNTIL_DOWN
        if device in self.dead:
            self.now_s += quiet_s + TIMEOUT_S
            self._quiet_s = TIMEOUT_S
            self.lost_s += 2 * TIMEOUT_S if was_down else 0.0
            quarantine.failed()
        else:
            self.now_s += quiet_s + ANSWER_S
            if quarantine.answered():
                self.back_at_s[device] = self.now_s
                self.schedule.hurry([device], self._ns())
        self.schedule.done(device, self._ns())
        if rest_s := quarantine.rest_s(INTERVAL_S, self.now_s - started_s) if device in self.dead else 0.0:
            self.schedule.rest([device], round((self.now_s + rest_s) * NS_PER_S))


@pytest.mark.parametrize("seed", range(10))
def test_one_dead_device_of_ten_costs_at_most_a_tenth_after_its_third_failure(seed: int) -> None:
    bus = Bus(seed, dead=[3])
    bus.run_until(20)
    bus.lost_s, start_s = 0.0, bus.now_s
    bus.run_until(start_s + 3_600)
    assert 0 < bus.lost_s / 3_600 <= 0.1


@pytest.mark.parametrize("seed", range(10))
def test_the_first_half_minute_after_the_third_failure_is_no_dearer(seed: int) -> None:
    bus = Bus(seed, dead=[3])
    bus.run_until(33)
    assert 0 < bus.lost_s <= 0.1 * 30


@pytest.mark.parametrize("seed", range(10))
def test_a_device_is_back_within_fifteen_seconds_of_answering(seed: int) -> None:
    bus = Bus(seed, dead=[3])
    for start_s in range(60, 1_260, 60):
        bus.dead = {3}
        bus.run_until(start_s + 40)
        bus.dead = set()
        answers_s = bus.now_s
        bus.run_until(answers_s + 16)
        assert answers_s <= bus.back_at_s[3] <= answers_s + 15


@pytest.mark.parametrize("seed", range(10))
def test_the_others_keep_their_interval_beside_a_dead_device(seed: int) -> None:
    bus = Bus(seed, dead=[3])
    bus.run_until(3_600)
    bus.late_s.sort()
    polls = len(bus.late_s)
    assert polls >= 0.97 * 9 * 3_600
    assert bus.late_s[polls // 2] <= 9 * ANSWER_S
    assert bus.late_s[polls * 99 // 100] <= 2 * TIMEOUT_S + 9 * ANSWER_S


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 20), st.floats(0.001, 0.04)), min_size=1, max_size=12),
    st.floats(0, 1_000),
    st.integers(0, 2**32),
)
def test_earliest_deadline_first_no_burst_and_every_slot_is_polled_or_counted(
    polls: list[tuple[int, float]], start_s: float, seed: int
) -> None:
    """Polls of 0.1 to 2 s, each with its cost; sometimes the wire is blocked for a while."""
    random = Random(seed)
    schedule: Schedule[int] = Schedule()
    intervals = {key: tenths * NS_PER_S // 10 for key, (tenths, _) in enumerate(polls)}
    now = round(start_s * NS_PER_S)
    for key, interval in intervals.items():
        schedule.add(key, interval, now)
    slots: dict[int, list[int]] = {key: [] for key in intervals}
    first_tick: dict[int, int] = {}
    for _ in range(300):
        key, due = schedule.next()
        assert all(due <= schedule.due_ns(other) for other in intervals)
        now = max(now, due)
        slots[key].append(now // intervals[key])
        now += round(polls[key][1] * NS_PER_S) + (random.randrange(3 * NS_PER_S) if random.random() < 0.02 else 0)
        schedule.done(key, now)
        first_tick.setdefault(key, schedule.due_ns(key))
        assert schedule.due_ns(key) >= now
    assert all(len(set(seen[1:])) == len(seen[1:]) for seen in slots.values()), "twice in one slot"
    ticks = sum((schedule.due_ns(key) - tick) // intervals[key] for key, tick in first_tick.items())
    made = sum(len(slots[key]) - 1 for key in first_tick)
    assert ticks == made + schedule.missed
