"""A card that gives back other bytes than were written: seen, never sent, salvaged, declared."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest

from agent.settings import OutboxSettings
from agent.store.damage.damaged_file import read_chunk


async def test_a_batch_whose_bytes_changed_on_the_card_is_never_sent_and_is_declared(lab: Any) -> None:
    async with lab.open() as store:
        for _ in range(3):
            lab.read(store, 2)
            await lab.live(store, 1.5)
        await store.flush()
        (payload,) = lab.sql("SELECT payload FROM batch WHERE seq = 2")[0]
        changed = payload[:-9] + bytes([payload[-9] ^ 1]) + payload[-8:]
        with closing(sqlite3.connect(lab.database)) as connection, connection:
            connection.execute("UPDATE batch SET payload = ? WHERE seq = 2", (changed,))
        assert [batch.seq for batch in await lab.undelivered(store)] == [1, 3]
        await lab.live(store, 2.0)
        (lost,) = await lab.events(store, "data.lost")
        assert (lost["reason"], lost["ranges"]) == ("damaged", [[2, 2]])
        assert store.account().lost == {"damaged": 2}
        await lab.check_account(store)


TYPES = [
    ("payload", "CAST(payload AS TEXT)"),
    ("payload", "CAST(X'789CFF' AS TEXT)"),
    ("payload", "12"),
    ("kind", "CAST(X'64FF7461' AS TEXT)"),
    ("readings", "'many'"),
    ("readings", "1.5"),
    ("sealed_ms", "X'00FF'"),
    ("crc", "'text'"),
]


@pytest.mark.parametrize(("column", "value"), TYPES)
async def test_a_byte_that_changes_the_type_of_a_column_is_damage_and_stops_nothing(
    lab: Any, column: str, value: str
) -> None:
    lab.outbox = OutboxSettings(retention_days=0.01, archive_interval_s=2.0)
    async with lab.open() as store:
        for _ in range(3):
            lab.read(store, 2)
            await lab.live(store, 1.5)
        await store.flush()
        sent = {batch.seq: batch.payload for batch in await lab.undelivered(store)}
        with closing(sqlite3.connect(lab.database)) as connection, connection:
            connection.execute(f"UPDATE batch SET {column} = {value} WHERE seq = 1")
        found = {batch.seq: batch.payload for batch in await lab.undelivered(store)}
        assert set(found) - {1} == {2, 3}
        assert all(sent[seq] == payload for seq, payload in found.items())
        await lab.live(store, 4.0)
        assert store.account().balanced
        store.mark_delivered([(1, 10)])
        lab.clock.advance(1_000.0)
        lab.read(store, 1)
        await lab.live(store, 6.0)
        assert lab.sql("SELECT count(*) FROM batch WHERE seq IN (2, 3)") == [(0,)]
    rows = read_chunk(lab.database, (1, 3), 10, 100_000).rows
    assert all(sent[row.seq] == row.payload for row in rows)
    async with lab.open() as store:
        assert store.account().balanced


CHANGES = [
    "UPDATE meta SET value = CAST(X'3966FF' AS TEXT) WHERE key = 'epoch'",
    "UPDATE meta SET value = CAST(X'6162FF' AS TEXT), key = 'boot' WHERE key = 'boot'",
    "UPDATE undelivered SET first = 'one'",
    "UPDATE undelivered SET last = X'03'",
]


@pytest.mark.parametrize("checked", [True, False])
@pytest.mark.parametrize("change", [*CHANGES, "UPDATE meta SET value = 12 WHERE key = 'lost'"])
async def test_a_changed_byte_in_what_the_file_says_of_itself_never_keeps_the_agent_from_starting(
    lab: Any, change: str, *, checked: bool
) -> None:
    async with lab.open() as store:
        numbers = lab.read(store, 5)
        await lab.live(store, 4.0)
        await store.flush()
    with closing(sqlite3.connect(lab.database)) as connection, connection:
        connection.execute(change)
        if not checked:
            connection.execute("DELETE FROM meta WHERE key = 'check'")
    async with lab.open() as store:
        await lab.live(store, 3.0)
        assert await lab.stored(store) == numbers
        await lab.check_account(store)


async def test_a_damaged_batch_is_declared_also_after_a_kill_right_after_it_was_seen(lab: Any) -> None:
    async with lab.open() as store:
        for _ in range(3):
            lab.read(store, 2)
            await lab.live(store, 1.5)
        await store.flush()
        with closing(sqlite3.connect(lab.database)) as connection, connection:
            connection.execute("UPDATE batch SET payload = X'00' WHERE seq = 2")
        await lab.undelivered(store)
        lab.kill()
    async with lab.open() as store:
        await lab.live(store, 2.0)
        (lost,) = await lab.events(store, "data.lost")
        assert (lost["reason"], lost["ranges"]) == ("damaged", [[2, 2]])
        await lab.check_account(store)
        lab.kill()
    async with lab.open() as store:
        await lab.live(store, 2.0)
        assert len(await lab.events(store, "data.lost")) == 1


@pytest.mark.parametrize("gone", [(1, 2), (3, 4), (5, 6), (1, 6)], ids=str)
async def test_batches_that_a_page_of_the_card_has_forgotten_are_declared_and_the_others_flow(
    lab: Any, gone: tuple[int, int]
) -> None:
    lab.outbox = OutboxSettings(archive_interval_s=2.0)
    async with lab.open() as store:
        for _ in range(6):
            lab.read(store, 2)
            await lab.live(store, 1.5)
        await store.flush()
        with closing(sqlite3.connect(lab.database)) as connection, connection:
            connection.execute("DELETE FROM batch WHERE seq BETWEEN ? AND ?", gone)
        left = [seq for seq in range(1, 7) if not gone[0] <= seq <= gone[1]]
        assert [batch.seq for batch in await lab.undelivered(store)] == left
        await lab.salvaged(store)
        await lab.live(store, 4.0)
        (lost,) = await lab.events(store, "data.lost")
        assert (lost["reason"], lost["ranges"]) == ("store_corrupt", [list(gone)])
        assert store.account().lost == {"store_corrupt": 2 * (gone[1] - gone[0] + 1)}
        await lab.check_account(store)


async def test_batches_that_a_commit_takes_from_the_file_meanwhile_are_no_damage(lab: Any) -> None:
    async with lab.open() as store:
        for _ in range(4):
            lab.read(store, 2)
            await lab.live(store, 1.5)
        await store.flush()
        await store.forget([(1, 2)])
        await store._committer.look_for([1, 2, 3, 4, 99])
        assert not store._parts.damage_seen
        assert [batch.kind for batch in await lab.undelivered(store)][:2] == ["data", "data"]
