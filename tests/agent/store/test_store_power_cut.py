"""The power goes at any operation on the card, whatever of the unsynced survives. Seeds are in the names."""

import errno
import sqlite3
from collections.abc import Iterable
from random import Random
from typing import Any, get_args

import pytest
from card_lab import GRAIN_S, CardLab, World
from card_model import Survive
from faulty_card import CHANGES, NEEDED, Faults, can_be_had

from agent.clock import ClockState
from agent.settings import OutboxSettings
from agent.store import Store

pytestmark = pytest.mark.skipif(not can_be_had(), reason=NEEDED)

SURVIVE = get_args(Survive)


def seeds(normal: int, soak: int) -> Iterable[Any]:
    """So many in the normal suite, more of them in the long one."""
    return [*range(normal), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(normal, soak))]


@pytest.mark.parametrize("seed", seeds(20, 300))
async def test_a_power_cut_at_any_operation_costs_nothing_but_what_is_younger_than_the_commit_interval(
    card_lab: CardLab, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, random = card_lab, Random(seed)
    choose_settings(lab, random, monkeypatch)
    for _ in range(random.randint(1, 4)):
        with lab.card():
            await workload(lab, random, random.randint(5, 30))
        lab.world = lab.cut(random.randint(0, len(lab.log.operations)), random.choice(SURVIVE), seed)
        lab.clock.clock_state = random.choice([ClockState.SYNC, ClockState.UNSYNC])
    await opens_whole(lab, lab.world)


@pytest.mark.parametrize("seed", seeds(2, 30))
async def test_at_every_single_operation_a_power_cut_is_survived(
    card_lab: CardLab, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, random = card_lab, Random(1_000 + seed)
    choose_settings(lab, random, monkeypatch)
    with lab.card():
        await workload(lab, random, 5 if seed < 2 else 15)
    for operation in range(len(lab.log.operations) + 1):
        world = lab.cut(operation, SURVIVE[(operation + seed) % len(SURVIVE)], operation)
        await opens_whole(lab, world)


@pytest.mark.parametrize("seed", seeds(2, 30))
async def test_a_power_cut_is_survived_also_where_names_are_on_the_card_only_when_the_folder_was_synced(
    card_lab: CardLab, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, random = card_lab, Random(4_000 + seed)
    choose_settings(lab, random, monkeypatch)
    lab.strict = True
    with lab.card():
        async with lab.open() as store:
            for _ in range(3):
                await something(lab, store, random)
            store._parts.damaged(sqlite3.DatabaseError("as if a page were bad"))
            await lab.live(store, 1.0)
            for _ in range(3):
                await something(lab, store, random)
    for operation in range(len(lab.log.operations) + 1):
        world = lab.cut(operation, ["none", "none", *SURVIVE][(operation + seed) % (len(SURVIVE) + 2)], operation)
        await opens_whole(lab, world)


@pytest.mark.parametrize("seed", seeds(20, 300))
async def test_a_card_that_fails_now_and_then_costs_nothing_more_in_a_power_cut_than_was_read_while_it_did(
    card_lab: CardLab, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, random = card_lab, Random(2_000 + seed)
    choose_settings(lab, random, monkeypatch)
    for _ in range(random.randint(1, 3)):
        with lab.card() as card:
            await workload(lab, random, random.randint(10, 40), card.faults)
        lab.world = lab.cut(random.randint(0, len(lab.log.operations)), random.choice(SURVIVE), seed)
    await opens_whole(lab, lab.world)


@pytest.mark.parametrize("seed", seeds(20, 300))
async def test_on_a_card_whose_syncs_lie_whatever_is_left_is_opened_and_no_number_gets_other_bytes(
    card_lab: CardLab, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as the card had the numbers that were reserved at the start, and no more than those were used."""
    lab, random = card_lab, Random(3_000 + seed)
    choose_settings(lab, random, monkeypatch)
    lab.max_payload_bytes = 60 * 1024
    for _ in range(random.randint(1, 3)):
        with lab.card() as card:
            async with lab.open() as store:
                card.faults.lying = True
                for _ in range(random.randint(5, 30)):
                    await something(lab, store, random)
        lab.world = lab.cut(random.randint(0, len(lab.log.operations)), random.choice(SURVIVE), seed)
    async with lab.open() as store:
        await lab.check_runs_on(store)


async def opens_whole(lab: CardLab, world: World) -> None:
    """The store opens with the file that is there, and has everything that it must have."""
    aside = aside_names(lab) | {new.name.rpartition("-")[2] for new in lab.data.glob("*.new-*")}
    async with lab.open() as store:
        assert store.account().balanced
        assert aside_names(lab) == aside
        assert store.epoch == world.epoch or not world.epoch
        await lab.check(store, world)


def aside_names(lab: CardLab) -> set[str]:
    """When files were set aside, as their names say; the store ends the setting aside that it had begun."""
    return {path.name.split("-")[1] for path in lab.data.glob("*.corrupt-*")}


def choose_settings(lab: CardLab, random: Random, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.random = random
    lab.outbox = OutboxSettings(
        batch_interval_s=random.choice([0.0, 1.0, 1.0, 7.0]),
        commit_interval_s=random.choice([0.0, 0.5, 3.0, 3.0]),
        archive_interval_s=random.choice([3.0, 10.0]),
        max_bytes=random.choice([1_000_000, 2_000_000_000]),
    )
    lab.max_payload_bytes = random.choice([2_000, 60 * 1024])
    lab.hold_unsynced_s = random.choice([0.0, 5.0, 900.0])
    ram_disk = random.random() < 0.8
    monkeypatch.setattr("agent.store.opening.is_ram_disk", lambda _: ram_disk)


async def workload(lab: CardLab, random: Random, count: int, faults: Faults | None = None) -> None:
    """Anything in any order; with `faults` the card fails for some of it, but not when the store is opened."""
    async with lab.open() as store:
        for _ in range(count):
            if faults is not None and random.random() < 0.3:
                change_faults(faults, random)
                lab.happened(store)
            await something(lab, store, random)


def change_faults(faults: Faults, random: Random) -> None:
    if faults != Faults():
        faults.heal()
    elif random.random() < 0.3:
        faults.room_bytes = random.choice([0, 700, 20_000])
    elif random.random() < 0.5:
        faults.fail(errno.EROFS, *CHANGES)
    else:
        faults.fail(errno.EIO, *random.sample(sorted(CHANGES), random.randint(1, 3)))


async def something(lab: CardLab, store: Store, random: Random) -> None:
    chance = random.random()
    if chance < 0.45:
        lab.read(store, random.randint(1, 4))
        await lab.live(store, GRAIN_S)
    elif chance < 0.5:
        await lab.fill(store, random.randint(20, 100))
    elif chance < 0.68:
        await lab.live(store, random.choice([0.25, 1.0, 4.0]))
    elif chance < 0.75:
        lab.event(store)
    elif chance < 0.87:
        for batch in await lab.undelivered(store):
            if random.random() < 0.5:
                lab.deliver(store, batch)
    elif chance < 0.9:
        await store.flush()
    elif chance < 0.92:
        store._parts.damaged(sqlite3.DatabaseError("as if a page were bad"))
        await lab.live(store, 1.0)
    elif chance < 0.95:
        lab.clock.wall_at_zero_ms += random.choice([-90_000, 90_000])
    elif chance < 0.98:
        await lab.live(store, 11.0)
    else:
        store.new_connection()
        lab.clock.clock_state = ClockState.SYNC


async def test_a_loss_whose_declaration_still_waits_is_declared_after_the_next_power_cut(card_lab: CardLab) -> None:
    lab = card_lab
    lab.outbox = OutboxSettings(archive_interval_s=1.0)
    async with lab.open() as store:
        lab.read(store)
        await lab.live(store, 4.0)
        lab.cut_power()
    lab.clock.clock_state = ClockState.UNSYNC
    async with lab.open() as store:
        await lab.live(store, 2.0)
        assert store._parts.ledger.waiting_events == 1
        lab.cut_power()
    lab.clock.clock_state = ClockState.SYNC
    async with lab.open() as store:
        await lab.live(store, 1.0)
        first, *_ = await lab.events(store, "data.lost")
        assert first["ranges"][0][0] == 2


async def test_what_is_due_is_on_the_card_as_soon_as_a_new_file_has_taken_the_place_of_the_old_one(
    card_lab: CardLab,
) -> None:
    lab = card_lab
    async with lab.open() as store:
        await lab.live(store, 1.0)
        numbers = lab.read(store, 3)
        lab.event(store)
        await store._sealer.seal(scans=True)
        store._parts.damaged(sqlite3.DatabaseError("as if a page were bad"))
        lab.clock.advance(3.0)
        await store._committer.commit_due()
        assert aside_names(lab)
        lab.cut_power()
    async with lab.open() as store:
        assert await lab.stored(store) == numbers


async def test_readings_that_wait_for_sealing_survive_a_power_cut_just_after_the_file_was_set_aside(
    card_lab: CardLab,
) -> None:
    lab = card_lab
    lab.outbox = OutboxSettings(batch_interval_s=60)
    async with lab.open() as store:
        numbers = lab.read(store, 3)
        await lab.live(store, 4.0)
        store._parts.damaged(sqlite3.DatabaseError("as if a page were bad"))
        await store._committer.commit_due()
        assert aside_names(lab)
        lab.cut_power()
    async with lab.open() as store:
        await lab.live(store, 1.0)
        assert await lab.stored(store) == numbers


async def test_a_new_file_that_could_not_be_written_whole_does_not_take_the_place_of_the_old_one(
    card_lab: CardLab,
) -> None:
    lab = card_lab
    with lab.card() as card:
        async with lab.open() as store:
            numbers = lab.read(store, 3)
            await lab.live(store, 4.0)
            card.faults.fail(errno.EIO, "truncate")
            store._parts.damaged(sqlite3.DatabaseError("as if a page were bad"))
            await store._committer.commit_due()
            operations = len(lab.log.operations)
    world = lab.cut(operations, "none", 1)
    async with lab.open() as store:
        assert store.epoch == world.epoch
        await lab.live(store, 2.0)
        assert await lab.stored(store) == numbers


async def test_an_old_file_that_cannot_be_deleted_stops_nothing(card_lab: CardLab) -> None:
    lab = card_lab
    with lab.card() as card:
        async with lab.open() as store:
            for _ in range(2):
                lab.read(store, 3)
                await lab.live(store, 4.0)
                store._parts.damaged(sqlite3.DatabaseError("as if a page were bad"))
                await store._committer.commit_due()
                card.faults.fail(errno.EROFS, "delete")
                await lab.live(store, 4.0)
                card.faults.heal()
            assert len(aside_names(lab)) == 2
            assert not store._parts.ledger.salvages
            await lab.check_account(store)
