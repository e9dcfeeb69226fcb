"""The real store and a plain list side by side: anything in any order, ended at any moment. Seeds are in the names."""

from random import Random
from typing import Any

import pytest

from agent.clock import NS_PER_S, ClockState
from agent.settings import OutboxSettings
from agent.store import Store
from agent.store.timetable import RAW_INTERVAL_S

GRAIN_S = 0.25


class Model:
    """What a plain list knows of the store: every reading, and what must and what may be there."""

    def __init__(self, lab: Any, random: Random, *, ram_disk: bool) -> None:
        self.lab = lab
        self.random = random
        self.ram_disk = ram_disk
        self.delivered: set[int] = set()
        self.may_be_lost: set[int] = set()
        self.kept_s = (lab.outbox.commit_interval_s or RAW_INTERVAL_S) + GRAIN_S

    async def deliver_some(self, store: Store) -> None:
        """The IOC acknowledges some of what it has been sent, in any order."""
        for batch in await self.lab.undelivered(store):
            if self.random.random() < 0.5:
                store.mark_delivered([(batch.seq, batch.seq)])
                self.delivered.update(self.lab.numbers(batch))

    def power_cut(self) -> None:
        """What is younger than the commit interval may go."""
        now_ns = self.lab.clock.mono_ns()
        young = (n for n, at_ns in self.lab.read_at_ns.items() if (now_ns - at_ns) / NS_PER_S < self.kept_s)
        self.may_be_lost.update(young)
        self.lab.cut_power(keep_runtime=not self.ram_disk)
        self.lab.clock.clock_state = self.random.choice([ClockState.SYNC, ClockState.UNSYNC])
        self.lab.read_at_ns = dict.fromkeys(self.lab.read_at_ns, -NS_PER_S * 3_600)

    async def check(self, store: Store) -> None:
        """Everything that was read is delivered or stored, once, unless it may have been lost."""
        assert await store.flush()
        stored = await self.lab.stored(store)
        assert len(stored) == len(set(stored)), "a reading is in two undelivered batches"
        missing = set(self.lab.read_at_ns) - set(stored) - self.delivered - self.may_be_lost
        assert not missing
        await self.lab.check_account(store)


@pytest.mark.parametrize("seed", [*range(40), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(40, 600))])
async def test_whatever_happens_nothing_is_lost_but_what_a_power_cut_may_cost(
    lab: Any, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = lab.random = Random(seed)
    lab.outbox = OutboxSettings(
        batch_interval_s=random.choice([0.0, 1.0, 1.0, 7.0]),
        commit_interval_s=random.choice([0.0, 0.5, 3.0, 3.0]),
        archive_interval_s=random.choice([3.0, 10.0]),
    )
    lab.max_payload_bytes = random.choice([700, 60 * 1024])
    lab.hold_unsynced_s = random.choice([0.0, 5.0, 900.0])
    ram_disk = random.random() < 0.8
    monkeypatch.setattr("agent.store.opening.is_ram_disk", lambda _: ram_disk)
    model = Model(lab, random, ram_disk=ram_disk)
    power_cuts = seed % 2 == 1
    for _ in range(random.randint(3, 6)):
        async with lab.open() as store:
            assert store.account().balanced, store.account()
            for _ in range(random.randint(0, 25)):
                await _something(lab, model, store, random)
            end = random.choice(["kill", "kill", "cut" if power_cuts else "kill", "clean"])
            if end == "kill":
                lab.kill()
            elif end == "cut":
                model.power_cut()
    async with lab.open() as store:
        lab.clock.clock_state = ClockState.SYNC
        await lab.live(store, 2.0, GRAIN_S)
        await model.check(store)
        if not power_cuts:
            assert store.account().lost == {}
            assert store.account().accepted == len(lab.read_at_ns)


async def _something(lab: Any, model: Model, store: Store, random: Random) -> None:
    chance = random.random()
    if chance < 0.5:
        lab.read(store, random.randint(1, 4))
        await lab.live(store, GRAIN_S, GRAIN_S)
    elif chance < 0.7:
        await lab.live(store, random.choice([0.25, 1.0, 4.0]), GRAIN_S)
    elif chance < 0.8:
        lab.event(store)
    elif chance < 0.9:
        await model.deliver_some(store)
    elif chance < 0.93:
        await store.flush()
    elif chance < 0.96:
        lab.clock.wall_at_zero_ms += random.choice([-90_000, 90_000])
    else:
        store.new_connection()
        lab.clock.clock_state = ClockState.SYNC
