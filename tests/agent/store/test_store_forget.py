"""Giving data up on purpose: counted, declared, gone from the file, and nothing else with it."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from agent.store import StoreError
from agent.store.committer import Committer


async def fill(lab: Any, store: Any, batches: int) -> None:
    for _ in range(batches):
        lab.read(store, 2)
        await lab.live(store, 1.25)
    await store.flush()


def seqs(lab: Any) -> list[int]:
    return [seq for (seq,) in lab.sql("SELECT seq FROM batch WHERE kind = 'data' ORDER BY seq")]


@pytest.mark.parametrize("portion", [2, 2_000])
async def test_undelivered_batches_that_are_forgotten_are_lost_declared_and_gone(
    lab: Any, monkeypatch: Any, portion: int
) -> None:
    monkeypatch.setattr("agent.store.committer.MAX_EVICTED", portion)
    async with lab.open() as store:
        await fill(lab, store, 10)
        store.mark_delivered([(1, 2)])
        forgotten = await store.forget([(4, 8)])
        assert (forgotten.batches, forgotten.undelivered, forgotten.readings) == (5, 5, 10)
        assert seqs(lab) == [1, 2, 3, 9, 10]
        assert [batch.seq for batch in await lab.undelivered(store) if batch.kind == "data"] == [3, 9, 10]
        await lab.live(store, 2.0)
        (lost,) = await lab.events(store, "data.lost")
        assert (lost["reason"], lost["ranges"], lost["readings"]) == ("forgotten", [[4, 8]], 10)
        await lab.check_account(store)
        account = store.account()
        assert (account.accepted, account.delivered, account.lost) == (20, 4, {"forgotten": 10})
    async with lab.open() as store:
        assert store.account().lost == {"forgotten": 10}
        await lab.check_account(store)


async def test_what_was_delivered_can_be_forgotten_too_and_nothing_is_lost_by_it(lab: Any) -> None:
    async with lab.open() as store:
        await fill(lab, store, 6)
        store.mark_delivered([(1, 4)])
        forgotten = await store.forget([(1, 3)])
        assert (forgotten.batches, forgotten.undelivered, forgotten.readings) == (3, 0, 0)
        assert seqs(lab) == [4, 5, 6]
        await lab.live(store, 2.0)
        assert await lab.events(store, "data.lost") == []
        assert (store.account().delivered, store.account().lost) == (8, {})
        await lab.check_account(store)


async def test_forgetting_reaches_what_is_only_in_the_journal_and_nothing_that_comes_later(lab: Any) -> None:
    async with lab.open() as store:
        lab.read(store, 2)
        await lab.live(store, 1.25)
        assert seqs(lab) == []
        forgotten = await store.forget([(1, 1_000_000_000)])
        assert (forgotten.batches, forgotten.undelivered, forgotten.readings) == (1, 1, 2)
        numbers = lab.read(store, 2)
        await lab.live(store, 1.25)
        assert await lab.stored(store) == numbers
        await lab.check_account(store)


async def test_a_batch_that_arrives_while_it_is_being_forgotten_counts_as_delivered(lab: Any, monkeypatch: Any) -> None:
    async with lab.open() as store:
        await fill(lab, store, 7)
        readings_of = type(store._parts.outbox).readings_of

        async def slow(outbox: Any, ranges: Any) -> tuple[int, int]:
            found = await readings_of(outbox, ranges)
            store.mark_delivered([arriving.pop()] if arriving else [])
            return found

        arriving = [(2, 2), (6, 6)]

        with monkeypatch.context() as patched:
            patched.setattr(type(store._parts.outbox), "readings_of", slow)
            forgotten = await store.forget([(1, 3), (5, 6)])
        assert (forgotten.batches, forgotten.undelivered, forgotten.readings) == (5, 3, 6)
        await lab.live(store, 2.0)
        (lost,) = await lab.events(store, "data.lost")
        assert (lost["ranges"], lost["readings"]) == ([[1, 1], [3, 3], [5, 5]], 6)
        assert (store.account().delivered, store.account().lost) == (4, {"forgotten": 6})
        await lab.check_account(store)


async def test_a_kill_right_after_forgetting_leaves_it_counted_declared_and_never_sent(
    lab: Any, monkeypatch: Any
) -> None:
    async with lab.open() as store:
        await fill(lab, store, 5)

        async def killed(*_: Any) -> bool:
            lab.kill()
            return False

        monkeypatch.setattr(Committer, "forget", killed)
        with pytest.raises(StoreError):
            await store.forget([(2, 3)])
    monkeypatch.undo()
    async with lab.open() as store:
        assert [batch.seq for batch in await lab.undelivered(store) if batch.kind == "data"] == [1, 4, 5]
        await lab.live(store, 2.0)
        (lost,) = await lab.events(store, "data.lost")
        assert (lost["reason"], lost["ranges"]) == ("forgotten", [[2, 3]])
        assert store.account().lost == {"forgotten": 4}
        await lab.check_account(store)
        assert (await store.forget([(2, 3)])).batches == 2
        assert seqs(lab) == [1, 4, 5]


async def test_on_a_card_that_cannot_be_written_nothing_is_forgotten(lab: Any) -> None:
    async with lab.open() as store:
        await fill(lab, store, 3)
        with closing(sqlite3.connect(lab.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await store._parts.outbox._writer.execute("PRAGMA busy_timeout = 1")
            with pytest.raises(StoreError, match="cannot be written"):
                await store.forget([(1, 2)])
            other.execute("ROLLBACK")
        assert (await lab.stored(store), store.account().lost) == (list(range(1, 7)), {})


async def test_only_files_that_nothing_is_salvaged_from_any_more_are_forgotten(lab: Any) -> None:
    def aside() -> set[str]:
        return {path.name for path in lab.data.glob("outbox.db.corrupt-*")}

    async with lab.open() as store:
        await fill(lab, store, 3)
        store._parts.damaged(sqlite3.DatabaseError("a bad page"))
        await lab.live(store, 4.0)
        old = aside()
        await fill(lab, store, 3)
        store._parts.damaged(sqlite3.DatabaseError("a bad page"))
        await store._committer.commit_due()
        new = aside() - old
        assert old
        assert new
        assert set(await store.forget_aside()) == old
        assert aside() == new
        await lab.live(store, 4.0)
        assert len(await lab.stored(store)) == 12
        assert set(await store.forget_aside()) >= new
        assert aside() == set()
