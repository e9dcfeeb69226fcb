"""A file set aside that cannot be read just now: nothing of it is declared lost that a later look would find."""

import errno
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from card_lab import CardLab
from card_model import OperationLog
from faulty_card import NEEDED, FaultyCard, can_be_had

from agent.clock import NS_PER_S
from agent.settings import OutboxSettings
from agent.store import Store
from agent.store.damage.damaged_file import reads_through
from agent.store.damage.patience import LATER_S, MOST_LOOKS
from agent.store.sqlite_errors import is_damaged, may_pass

pytestmark = pytest.mark.skipif(not can_be_had(), reason=NEEDED)

READINGS = 90
HEADER_BYTES = 4 * 4096
"""SQLite tells the error itself only where it opens a file; of the pages behind, it says that they are malformed."""


@asynccontextmanager
async def set_aside(lab: CardLab, number: int, *, delivered: bool = False) -> AsyncIterator[tuple[FaultyCard, Store]]:
    """30 batches, undelivered or archived, in a file that is set aside and gives this errno whenever it is read."""
    lab.outbox = OutboxSettings(archive_interval_s=2.0)
    with lab.card() as card:
        async with lab.open() as store:
            for _ in range(READINGS // 3):
                lab.read(store, 3)
                await lab.live(store, 1.25)
            assert await store.flush()
            if delivered:
                store.mark_delivered([(1, store.high)])
                await lab.settle(store)
            card.faults.only = "*.corrupt-*"
            card.faults.fail(number, "read")
            store._parts.damaged(sqlite3.DatabaseError("as if a page were bad"))
            yield card, store


async def long(lab: CardLab, store: Store, seconds: float) -> None:
    await lab.live(store, seconds, step_s=5.0)


@pytest.mark.parametrize("seconds", [2.0, 20.0, 1_200.0])
@pytest.mark.parametrize(("number", "beyond"), [(errno.EIO, 0), (errno.EIO, HEADER_BYTES), (errno.ETIMEDOUT, 0)])
async def test_what_cannot_be_read_for_a_while_is_found_later_and_nothing_is_declared(
    card_lab: CardLab, number: int, beyond: int, seconds: float
) -> None:
    lab = card_lab
    async with set_aside(lab, number) as (card, store):
        card.faults.beyond = beyond
        await lab.live(store, min(seconds, 20.0))
        await long(lab, store, seconds - 20.0)
        lab.read(store, 3)
        assert store.account().balanced
        assert store.account().lost == {}
        assert store.low <= READINGS // 3
        card.faults.heal()
        await long(lab, store, LATER_S + 10.0)
        assert not store._ledger.salvages
        assert sorted(await lab.stored(store)) == sorted(lab.read_at_ns)
        assert not await lab.events(store, "data.lost")
        assert store.account().lost == {}
        await lab.check_account(store)


async def test_what_can_never_be_read_is_declared_after_an_hour_and_the_file_stays(card_lab: CardLab) -> None:
    lab = card_lab
    async with set_aside(lab, errno.EIO) as (_, store):
        await long(lab, store, 3_500.0)
        assert store.account().lost == {}
        fresh = lab.read(store, 3)
        await long(lab, store, 500.0)
        assert store.is_alive()
        assert not store._ledger.salvages
        (lost,) = await lab.events(store, "data.lost")
        assert (lost["reason"], lost["ranges"], lost["readings"]) == ("store_corrupt", [[1, READINGS // 3]], READINGS)
        assert store.account().lost == {"store_corrupt": READINGS}
        assert await lab.stored(store) == fresh
        assert list(lab.data.glob("outbox.db.corrupt-*"))
        await lab.check_account(store)


async def test_an_agent_that_is_started_again_and_again_has_no_more_patience(card_lab: CardLab) -> None:
    lab = card_lab
    async with set_aside(lab, errno.EIO) as (_, store):
        await lab.live(store, 10.0)
    rounds = 0
    with FaultyCard(lab.data, OperationLog()).inserted() as card:
        card.faults.only = "*.corrupt-*"
        card.faults.fail(errno.EIO, "read")
        while True:
            rounds += 1
            async with lab.open() as store:
                await long(lab, store, 4 * LATER_S)
                if not store._ledger.salvages:
                    break
    assert 5 < rounds <= MOST_LOOKS // 4 + 1
    async with lab.open() as store:
        assert store.account().lost == {"store_corrupt": READINGS}


async def test_batches_that_were_marked_delivered_meanwhile_count_as_such_when_they_are_found(
    card_lab: CardLab,
) -> None:
    lab = card_lab
    async with set_aside(lab, errno.EIO) as (card, store):
        await lab.live(store, 20.0)
        store.mark_delivered([(1, 10)])
        await long(lab, store, 100.0)
        assert store.account().delivered == 0
        card.faults.heal()
        await long(lab, store, LATER_S + 10.0)
        assert (store.account().delivered, store.account().lost) == (30, {})
        await lab.check_account(store)


async def test_archived_batches_that_cannot_be_read_for_a_moment_are_brought_over(card_lab: CardLab) -> None:
    lab = card_lab
    async with set_aside(lab, errno.EIO, delivered=True) as (card, store):
        await store.step()
        await store.step()
        assert store._ledger.salvages
        card.faults.heal()
        await lab.salvaged(store)
        assert lab.sql("SELECT count(*) FROM batch WHERE kind = 'data'") == [(READINGS // 3,)]


async def test_the_wait_costs_a_look_a_minute_and_no_more(card_lab: CardLab) -> None:
    lab = card_lab
    async with set_aside(lab, errno.EIO) as (_, store):
        await lab.live(store, 20.0)
        (before,) = store._ledger.salvages
        since_ns = lab.clock.mono_ns()
        await lab.live(store, 300.0)
        (after,) = store._ledger.salvages
        assert after.looks - before.looks <= (lab.clock.mono_ns() - since_ns) / NS_PER_S / LATER_S + 1


PASSING = ["BUSY", "LOCKED", "PROTOCOL", "IOERR", "IOERR_READ", "CANTOPEN", "NOMEM"]
LASTING = ["CORRUPT", "CORRUPT_VTAB", "NOTADB"]


@pytest.mark.parametrize("name", [*PASSING, *LASTING])
def test_only_what_sqlite_says_of_the_file_itself_is_damage(name: str) -> None:
    err = sqlite3.DatabaseError(name)
    err.sqlite_errorcode = getattr(sqlite3, f"SQLITE_{name}")
    assert (may_pass(err), is_damaged(err)) == (name in PASSING, name in LASTING)


def test_a_file_reads_through_where_no_byte_of_it_gives_an_error(card_lab: CardLab) -> None:
    path = card_lab.data / "file"
    with card_lab.card() as card:
        assert not reads_through(path)
        path.write_bytes(bytes(600_000))
        assert reads_through(path)
    with card_lab.card() as card:
        card.faults.fail(errno.EIO, "read")
        assert not reads_through(path)
