"""The power goes at any operation on the card, whatever of the unsynced survives. Seeds are in the names."""

import errno
import sqlite3

from card_lab import CardLab

from agent.clock import ClockState
from agent.settings import OutboxSettings


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


def aside_names(lab: CardLab) -> set[str]:
    """When files were set aside, as their names say; the store ends the setting aside that it had begun."""
    return {path.name.split("-")[1] for path in lab.data.glob("*.corrupt-*")}


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
