"""Another configuration for the open store: every reading stays with the births that explain it."""

import asyncio
from typing import Any

import msgspec
import pytest
from store_lab import decode

from agent.clock import ClockState, SystemClock
from agent.model import Scan
from agent.settings import OutboxSettings
from agent.store import StoreConfig, open_store
from drivers.api import Reading

OTHER = "ffff0000"


def other(lab: Any, **more: Any) -> StoreConfig:
    return msgspec.structs.replace(lab.config(), config_hash=OTHER, **more)


async def by_config(lab: Any, store: Any) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for batch in await lab.undelivered(store):
        said = decode(batch.payload)
        found.setdefault(said["config"], []).extend(scan["values"]["n"] for scan in said.get("scans", ()))
    return found


@pytest.mark.parametrize("commit_interval_s", [3.0, 0.0])
@pytest.mark.parametrize("clock", list(ClockState))
async def test_what_was_read_before_belongs_to_the_births_of_before(
    lab: Any, clock: ClockState, commit_interval_s: float
) -> None:
    lab.clock.clock_state, lab.outbox = clock, OutboxSettings(commit_interval_s=commit_interval_s)
    async with lab.open() as store:
        before = lab.read(store, 50)
        await store.change(other(lab, hold_unsynced_s=0.0))
        after = lab.read(store, 50)
        await lab.live(store, 5.0)
        assert await by_config(lab, store) == {"a1b2c3d4": before, OTHER: after}
        assert store.account().balanced
    assert lab.order == sorted(lab.order)


async def test_where_the_births_are_the_same_nothing_is_sealed_before_its_time(lab: Any) -> None:
    async with lab.open() as store:
        lab.read(store, 5)
        high = store.high
        await store.change(msgspec.structs.replace(lab.config(), outbox=OutboxSettings(batch_interval_s=30.0)))
        assert store.high == high
        await lab.live(store, 20.0)
        assert store.high == high
        await lab.live(store, 12.0)
        assert store.high == high + 1


async def test_a_shorter_wait_for_the_clock_counts_at_once(lab: Any) -> None:
    lab.clock.clock_state, lab.hold_unsynced_s = ClockState.UNSYNC, 10_000.0
    async with lab.open() as store:
        lab.read(store, 5)
        await lab.live(store, 20.0)
        assert store.high == 0
        await store.change(msgspec.structs.replace(lab.config(), hold_unsynced_s=5.0))
        await lab.live(store, 5.0)
        assert store.high > 0


async def test_a_shorter_archive_interval_counts_at_once(lab: Any) -> None:
    lab.outbox = OutboxSettings(archive_interval_s=10_000.0)
    async with lab.open() as store:
        lab.read(store)
        await lab.live(store, 30.0)
        batches = await lab.undelivered(store)
        store.mark_delivered([(batch.seq, batch.seq) for batch in batches])
        lab.read(store)
        await lab.live(store, 2.0)
        store.mark_delivered([(1, store.high)])
        segments = sorted(path.name for path in (lab.runtime / "journal").glob("*.seg"))
        await store.change(msgspec.structs.replace(lab.config(), outbox=OutboxSettings(archive_interval_s=20.0)))
        await lab.live(store, 5.0)
        assert sorted(path.name for path in (lab.runtime / "journal").glob("*.seg")) != segments


async def test_a_shorter_batch_interval_wakes_the_store(lab: Any) -> None:
    lab.outbox, lab.hold_unsynced_s = OutboxSettings(batch_interval_s=3_600.0), 0.0
    async with open_store(lab.config(), SystemClock()) as store, asyncio.timeout(20):
        running = asyncio.create_task(store.run())
        store.append(Scan("aq-01", SystemClock().mono_ns(), [Reading("n", 1, SystemClock().mono_ns())]))
        await asyncio.sleep(0.05)
        assert store.high == 0
        await store.change(msgspec.structs.replace(lab.config(), outbox=OutboxSettings(batch_interval_s=0.0)))
        while not store.high:
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait([running])
