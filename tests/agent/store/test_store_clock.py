"""Time: readings wait for the clock, arrive with their right time, and never with a wrong one that is called good."""

from typing import Any

import pytest
from store_lab import decode

from agent.clock import ClockState
from agent.settings import OutboxSettings

RIGHT_MS = 1_795_432_000_000
HOUR_S = 3_600


class Arrived:
    """What an IOC knows of a gateway's readings: their times, made right by the steps of its clock."""

    def __init__(self, batches: list[dict[str, Any]]) -> None:
        self.steps = [batch["event"] for batch in batches if batch.get("event", {}).get("type") == "clock.step"]
        self.times: dict[int, int] = {}
        self.states: dict[int, str] = {}
        for batch in batches:
            offset_ms = sum(step["offset_ms"] for step in self.steps if self._is_in(batch, step))
            for scan in batch.get("scans", ()):
                self.times[scan["values"]["n"]] = scan["time_ms"] + offset_ms
                self.states[scan["values"]["n"]] = batch["clock"]

    @staticmethod
    def _is_in(batch: dict[str, Any], step: dict[str, Any]) -> bool:
        inside = any(first <= batch["seq"] <= last for first, last in step.get("ranges", ()))
        return inside and batch["clock"] == "unsync"


async def arrived(lab: Any, store: Any) -> Arrived:
    return Arrived([decode(batch.payload) for batch in await lab.undelivered(store)])


@pytest.mark.parametrize("hold_s", [900.0, 2 * HOUR_S])
@pytest.mark.parametrize("interval_s", [1.0, 60.0])
@pytest.mark.parametrize("killed", [False, True])
async def test_a_gateway_that_boots_in_1970_and_reads_for_an_hour_before_ntp_has_every_reading_at_its_right_time(
    lab: Any, hold_s: float, interval_s: float, *, killed: bool
) -> None:
    lab.clock.clock_state, lab.hold_unsynced_s = ClockState.UNSYNC, hold_s
    lab.outbox = OutboxSettings(batch_interval_s=interval_s)
    lab.clock.wall_at_zero_ms = 0
    for part in range(6):
        async with lab.open() as store:
            for _ in range(60):
                lab.read(store, 2)
                await lab.live(store, 10.0, step_s=5.0)
            if part < 5 and killed:
                lab.kill()
    async with lab.open() as store:
        lab.clock.wall_at_zero_ms, lab.clock.clock_state = RIGHT_MS, ClockState.SYNC
        await lab.live(store, 2.0)
        lab.kill()
    async with lab.open() as store:
        lab.read(store, 2)
        await lab.live(store, 90.0, step_s=1.0)
        ioc = await arrived(lab, store)
        assert ioc.times == {n: RIGHT_MS + at_ns // 1_000_000 for n, at_ns in lab.read_at_ns.items()}
        (step,) = ioc.steps
        assert step["offset_ms"] == RIGHT_MS
        unsync = [n for n, state in ioc.states.items() if state == "unsync"]
        assert bool(unsync) == (hold_s < HOUR_S)
        assert lab.sql("SELECT value FROM meta WHERE key = 'unsynced'") == [("[]",)]
        await lab.check_account(store)


async def test_a_clock_that_is_set_by_hand_twice_and_then_synchronised_makes_each_batch_right(lab: Any) -> None:
    lab.clock.clock_state, lab.hold_unsynced_s = ClockState.UNSYNC, 0.0
    lab.clock.wall_at_zero_ms = 0
    async with lab.open() as store:
        for wall_ms, state in ((5_000_000, "unsync"), (RIGHT_MS - 9_000, "unsync"), (RIGHT_MS, "sync")):
            lab.read(store, 3)
            await lab.live(store, 2.0)
            lab.clock.wall_at_zero_ms, lab.clock.clock_state = wall_ms, ClockState(state)
            await lab.live(store, 2.0)
        lab.read(store, 3)
        await lab.live(store, 2.0)
        ioc = await arrived(lab, store)
        assert [step["offset_ms"] for step in ioc.steps] == [5_000_000, RIGHT_MS - 9_000 - 5_000_000, 9_000]
        assert ioc.times == {n: RIGHT_MS + at_ns // 1_000_000 for n, at_ns in lab.read_at_ns.items()}


async def test_what_was_sealed_just_before_a_kill_is_made_right_too(lab: Any) -> None:
    lab.clock.clock_state, lab.hold_unsynced_s = ClockState.UNSYNC, 0.0
    lab.clock.wall_at_zero_ms = 0
    async with lab.open() as store:
        lab.read(store, 3)
        await lab.live(store, 1.0)
        lab.kill()
    lab.clock.wall_at_zero_ms, lab.clock.clock_state = RIGHT_MS, ClockState.SYNC
    async with lab.open() as store:
        await lab.live(store, 2.0)
        ioc = await arrived(lab, store)
        assert set(ioc.states.values()) == {"unsync"}
        assert ioc.times == {n: RIGHT_MS + at_ns // 1_000_000 for n, at_ns in lab.read_at_ns.items()}


async def test_times_that_turn_out_right_are_not_moved_by_a_later_step(lab: Any) -> None:
    lab.clock.clock_state, lab.hold_unsynced_s = ClockState.UNSYNC, 0.0
    async with lab.open() as store:
        lab.read(store, 3)
        await lab.live(store, 2.0)
        lab.clock.clock_state = ClockState.SYNC
        await lab.live(store, 70.0, step_s=1.0)
        lab.clock.wall_at_zero_ms += 7_200_000
        await lab.live(store, 2.0)
        (step,) = (await arrived(lab, store)).steps
        assert "ranges" not in step


@pytest.mark.parametrize("hold_s", [0.0, 900.0])
async def test_what_an_earlier_boot_read_is_not_moved_by_this_ones_clock(lab: Any, hold_s: float) -> None:
    lab.clock.clock_state, lab.hold_unsynced_s = ClockState.UNSYNC, hold_s
    lab.clock.wall_at_zero_ms = 0
    async with lab.open() as store:
        lab.read(store, 3)
        await lab.live(store, 5.0)
        lab.cut_power()
    async with lab.open() as store:
        await lab.live(store, 2.0)
        own_ns = lab.clock.mono_ns()
        lab.read(store, 3)
        await lab.live(store, 5.0)
        lab.clock.wall_at_zero_ms, lab.clock.clock_state = RIGHT_MS, ClockState.SYNC
        await lab.live(store, 2.0)
        ioc = await arrived(lab, store)
        assert [ioc.states[n] for n in (1, 2, 3)] == ["unsync"] * 3
        assert max(ioc.times[n] for n in (1, 2, 3)) < RIGHT_MS
        assert [ioc.times[n] for n in (4, 5, 6)] == [RIGHT_MS + own_ns // 1_000_000] * 3


@pytest.mark.parametrize("seconds", [0.0, 0.25, 1.0, 3.0, 61.0])
async def test_a_step_is_told_once_whenever_the_process_is_killed(lab: Any, seconds: float) -> None:
    async with lab.open() as store:
        lab.read(store)
        await lab.live(store, 59.0, step_s=1.0)
        lab.clock.wall_at_zero_ms += 90_000
        await lab.live(store, seconds)
        lab.kill()
    for _ in range(2):
        async with lab.open() as store:
            lab.read(store)
            await lab.live(store, 70.0, step_s=1.0)
            assert [step["offset_ms"] for step in (await arrived(lab, store)).steps] == [90_000]
            lab.kill()
