"""Room: told before it runs out, made before anything undelivered has to go, kept back for the worst."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent.model import Scan
from agent.settings import OutboxSettings
from agent.store.disk import LOW_BYTES, RESERVE_BYTES, RESERVE_NAME, SPARE_BYTES, Disk
from drivers.api import Reading

PLENTY = 10_000_000_000


class Statvfs(NamedTuple):
    f_bavail: int
    f_blocks: int = 30_000_000_000
    f_frsize: int = 1


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How much is free on the disk: the test sets the only entry."""
    found = [PLENTY]
    monkeypatch.setattr(os, "statvfs", lambda _: Statvfs(found[0]))
    return found


def pad(lab: Any, store: Any) -> None:
    """Readings that do not compress."""
    now_ns = lab.clock.mono_ns()
    store.append(Scan("pad", now_ns, [Reading(f"p{k}", lab.random.randbytes(500).hex(), now_ns) for k in range(20)]))


async def test_a_disk_that_others_fill_is_told_once_and_again_after_it_had_room(lab: Any, free: list[int]) -> None:
    async with lab.open() as store:
        for now_free in (PLENTY, LOW_BYTES - 1, LOW_BYTES // 2, LOW_BYTES + 1, LOW_BYTES - 1, PLENTY, LOW_BYTES // 3):
            free[0] = now_free
            for _ in range(3):
                lab.read(store)
                await lab.live(store, 4.0)
        events = await lab.events(store, "disk.low")
        assert [event["reason"] for event in events] == ["disk", "disk"]
        assert "99 MB" in events[0]["message"]["en"]
        assert "33 MB" in events[1]["message"]["vi"]


async def test_a_disk_that_others_fill_costs_delivered_batches_and_never_what_is_undelivered(
    lab: Any, free: list[int]
) -> None:
    lab.outbox = OutboxSettings(archive_interval_s=2.0)
    async with lab.open() as store:
        for _ in range(40):
            lab.read(store, 20)
            pad(lab, store)
            await lab.live(store, 1.0)
        store.mark_delivered([(1, 30)])
        await lab.live(store, 4.0)
        before, length = lab.sql("SELECT count(*) FROM batch"), lab.database.stat().st_size
        free[0] = SPARE_BYTES // 2
        numbers = await lab.stored(store)
        for _ in range(10):
            numbers += lab.read(store, 20)
            pad(lab, store)
            await lab.live(store, 1.0)
        assert lab.sql("SELECT count(*) FROM batch") < before
        assert lab.sql("SELECT min(seq) FROM batch")[0][0] > 1
        assert lab.database.stat().st_size <= length + 200_000
        assert set(numbers) <= set(await lab.stored(store))
        assert store.account().lost == {}
        await lab.check_account(store)


def test_the_reserve_is_kept_while_there_is_plenty_and_given_up_only_on_a_full_disk(
    tmp_path: Path, free: list[int]
) -> None:
    disk, reserve = Disk(tmp_path), tmp_path / RESERVE_NAME
    free[0] = SPARE_BYTES
    disk.look()
    disk.keep_reserve()
    assert not reserve.exists()
    free[0] = PLENTY
    disk.look()
    disk.keep_reserve()
    assert reserve.stat().st_blocks * 512 >= RESERVE_BYTES
    assert not disk.give_up_reserve()
    free[0] = 0
    disk.look()
    assert disk.give_up_reserve()
    assert not reserve.exists()
    assert not disk.give_up_reserve()


async def test_on_a_full_disk_the_reserve_brings_what_was_read_onto_the_card(card_lab: Any) -> None:
    with card_lab.card():
        async with card_lab.open() as store:
            await card_lab.live(store, 4.0)
            reserve = card_lab.data / RESERVE_NAME
            assert reserve.exists()
            card_lab.faults.room_bytes = 0
            numbers = card_lab.read(store, 50)
            await card_lab.live(store, 4.0)
            assert not reserve.exists()
            assert card_lab.sql("SELECT count(*) > 0 FROM batch") == [(1,)]
            assert store.commit_failures == 0
            assert await card_lab.stored(store) == numbers
            card_lab.faults.heal()


async def test_a_disk_that_is_filled_at_once_is_told_although_no_commit_succeeds(card_lab: Any) -> None:
    with card_lab.card():
        async with card_lab.open() as store:
            await card_lab.live(store, 4.0)
            card_lab.faults.room_bytes = -RESERVE_BYTES
            numbers = card_lab.read(store, 5)
            await card_lab.live(store, 6.0)
            assert store.commit_failures
            assert [event["reason"] for event in await card_lab.events(store, "disk.low")] == ["disk"]
            assert await card_lab.stored(store) == numbers
            card_lab.faults.heal()


async def test_a_disk_that_cannot_say_how_full_it_is_stops_nothing(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "statvfs", broken)
    async with lab.open() as store:
        numbers = lab.read(store, 3)
        await lab.live(store, 4.0)
        assert await lab.stored(store) == numbers
        assert lab.sql("SELECT count(*) FROM batch") == [(1,)]


async def test_what_waits_for_the_clock_is_bounded_and_the_oldest_leave_as_unsync(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.store.sealer.HELD_BYTES", 50_000)
    lab.clock.clock_state = lab.clock.clock_state.UNSYNC
    async with lab.open() as store:
        for _ in range(40):
            lab.read(store, 50)
            await lab.live(store, 1.0)
            assert store._parts.journal.bytes_from(store._ledger.cursor) < 60_000
        assert lab.order
        assert store.account().waiting > 0
        assert {lab.decoded(batch)["clock"] for batch in await lab.undelivered(store)} == {"unsync"}
        await lab.check_account(store)


async def test_much_that_waits_is_sealed_before_its_interval_is_over_and_asked_for_once(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.store.sealer.HELD_BYTES", 20_000)
    async with lab.open() as store:
        asked: list[int] = []
        monkeypatch.setattr(store._sealer, "replan", lambda: asked.append(waiting()))

        def waiting() -> int:
            return int(store._parts.journal.bytes_from(store._ledger.cursor))

        while waiting() < 30_000:
            lab.read(store, 50)
        first, much = asked
        assert first < 2_000
        assert 20_000 < much < 22_000
