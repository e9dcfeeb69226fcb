"""Verifying a file: a sound one passes whatever its last end was like, and each kind of forgery is seen."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from outbox_damage import fill, pages_of, spoil

from agent.clock import ClockState
from agent.settings import OutboxSettings
from agent.store.checks import CHECK_KEY, picture_check, row_check
from agent.store.inspection.outbox_file import open_file
from agent.store.inspection.verification import verify


def checks(path: Path) -> dict[str, Any]:
    with open_file(path) as file:
        return {msgspec.to_builtins(check)["check"]: check for check in verify(file)}


def failures(path: Path) -> set[str]:
    return {name for name, check in checks(path).items() if not check.ok}


async def filled(lab: Any) -> None:
    """A file that was closed in order: 12 batches, 1 to 4 delivered, 9 refused, 11 lost for its bytes."""
    async with lab.open() as store:
        await fill(lab, store, 12)
        store.mark_delivered([(1, 4)])
        store.mark_dead(9)
        await lab.live(store, 2.0)


def forged(path: Path, statement: str, *parameters: Any) -> None:
    """Change the file as one would who knows the checksums."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, parameters)
        for *fields, _ in connection.execute("SELECT * FROM batch").fetchall():
            connection.execute("UPDATE batch SET crc = ? WHERE seq = ?", (row_check(*fields), fields[0]))
        meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
        ranges = connection.execute("SELECT first, last FROM undelivered").fetchall()
        connection.execute("UPDATE meta SET value = ? WHERE key = ?", (picture_check(meta, ranges), CHECK_KEY))


async def test_a_sound_file_passes_and_its_account_is_exact(lab: Any) -> None:
    await filled(lab)
    found = checks(lab.database)
    assert failures(lab.database) == set()
    account, stored = found["account"], found["stored"]
    assert (account.accepted, account.delivered, account.stored, account.lost) == (720, 240, 420, 60)
    assert (account.in_journal, account.closed) == (0, True)
    assert (stored.says, stored.found) == (420, 420)
    assert (found["rows"].batches, found["rows"].unchecked, found["undelivered"].batches) == (12, 0, 7)


async def test_a_live_file_passes_at_every_moment(lab: Any) -> None:
    lab.outbox = OutboxSettings(archive_interval_s=5.0)
    lab.random.seed(3)
    async with lab.open() as store:
        most = 0
        for _ in range(60):
            lab.read(store, lab.random.randint(0, 5))
            if lab.random.random() < 0.2:
                lab.event(store)
            await lab.live(store, 0.5)
            first = lab.random.randint(1, max(1, store.high))
            store.mark_delivered([(first, first + lab.random.randint(0, 2))])
            if lab.random.random() < 0.1:
                await store.forget([(first, first + 1)])
            found = checks(lab.database)
            assert all(check.ok for check in found.values()), found
            most = max(most, found["account"].in_journal if "account" in found else 0)
        assert most > 0


async def test_a_file_of_a_killed_agent_passes_and_says_what_was_only_in_the_journal(lab: Any) -> None:
    async with lab.open() as store:
        await fill(lab, store, 3)
        lab.read(store, 5)
        await lab.live(store, 1.25)
        await store._committer.commit()
        lab.read(store, 2)
        await store._committer.commit()
        lab.kill()
    found = checks(lab.database)
    assert all(check.ok for check in found.values())
    assert (found["account"].in_journal, found["account"].closed) == (2, False)


async def test_batches_that_are_not_on_the_card_yet_are_in_the_journal_and_not_missing(
    lab: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("agent.store.draft.CHUNK_BYTES", 1)
    async with lab.open() as store:
        lab.read(store, 60)
        await lab.live(store, 1.25)
        lab.read(store, 50)
        await lab.live(store, 1.25)
        await store._committer.commit()
        found = checks(lab.database)
        assert all(check.ok for check in found.values())
        assert (found["undelivered"].batches, found["undelivered"].in_journal) == (2, 1)
        assert (found["account"].in_journal, found["stored"].found) == (50, 60)


async def test_a_file_that_waits_for_the_clock_passes(lab: Any) -> None:
    lab.clock.clock_state = ClockState.UNSYNC
    async with lab.open() as store:
        lab.read(store, 7)
        await lab.live(store, 4.0)
    found = checks(lab.database)
    assert all(check.ok for check in found.values())
    assert (found["account"].unsealed, found["account"].in_journal, found["account"].closed) == (7, 0, True)


async def test_a_file_passes_while_another_is_being_salvaged(lab: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("agent.store.damage.salvager.PORTION_BATCHES", 3)
    async with lab.open() as store:
        await fill(lab, store, 12)
        store.mark_delivered([(1, 2)])
        await lab.live(store, 2.0)
        store._parts.damaged(sqlite3.DatabaseError("a bad page"))
        seen = set()
        for step in range(12):
            await store.step()
            if step == 1:
                store.mark_delivered([(9, 10)])
            found = checks(lab.database)
            assert all(check.ok for check in found.values()), found
            seen.add(found["undelivered"].in_salvage)
        assert {7, 4, 1, 0} <= seen


async def test_a_file_of_version_1_passes_and_its_rows_are_called_unchecked(lab: Any) -> None:
    await filled(lab)
    with closing(sqlite3.connect(lab.database, isolation_level=None)) as connection:
        connection.executescript(
            "DROP TABLE bundle; DROP INDEX batch_last_ms; ALTER TABLE batch DROP COLUMN crc; PRAGMA user_version = 1;"
            "DELETE FROM meta WHERE key = 'check';"
        )
    found = checks(lab.database)
    assert all(check.ok for check in found.values())
    assert (found["rows"].unchecked, found["picture"].checksum) == (12, False)
    with closing(sqlite3.connect(lab.database)) as connection, connection:
        connection.execute("UPDATE batch SET payload = (SELECT payload FROM batch WHERE seq = 3) WHERE seq = 4")
    assert checks(lab.database)["rows"].damaged == [(4, 4)]


META: list[tuple[str, str, set[str]]] = [
    ("more was delivered", "UPDATE meta SET value = value + 60 WHERE key = 'delivered'", {"account"}),
    ("less was delivered", "UPDATE meta SET value = value - 60 WHERE key = 'delivered'", {"account"}),
    ("more was accepted", "UPDATE meta SET value = value + 1 WHERE key = 'accepted'", {"account"}),
    ("nothing was lost", "UPDATE meta SET value = '{}' WHERE key = 'lost'", {"account"}),
    ("more is stored", "UPDATE meta SET value = value + 1 WHERE key = 'stored'", {"account", "stored"}),
    ("another epoch", "UPDATE meta SET value = '0123456789abcdef' WHERE key = 'epoch'", {"payloads"}),
    ("a batch is gone", "DELETE FROM batch WHERE seq = 7", {"undelivered", "stored"}),
    ("a delivered batch is undelivered", "UPDATE undelivered SET first = 4 WHERE first = 5", {"stored"}),
    ("an undelivered batch is delivered", "UPDATE undelivered SET first = 6 WHERE first = 5", {"stored"}),
    ("a number nobody gave out", "INSERT INTO undelivered VALUES ('ioc', 13, 13)", {"undelivered"}),
    ("other readings", "UPDATE batch SET readings = 61 WHERE seq = 6", {"payloads", "stored"}),
    ("another time", "UPDATE batch SET sealed_ms = sealed_ms + 1 WHERE seq = 2", {"payloads"}),
    ("another number", "UPDATE batch SET seq = 99 WHERE seq = 3", {"payloads"}),
    ("another payload", "UPDATE batch SET payload = X'7B7D' WHERE seq = 2", {"payloads"}),
]


@pytest.mark.parametrize(("statement", "failed"), [(s, f) for _, s, f in META], ids=[name for name, _, _ in META])
async def test_a_forgery_with_right_checksums_is_seen(lab: Any, statement: str, failed: set[str]) -> None:
    await filled(lab)
    forged(lab.database, statement)
    assert failures(lab.database) == failed


async def test_a_live_account_that_says_more_than_was_accepted_is_seen(lab: Any) -> None:
    async with lab.open() as store:
        await fill(lab, store, 3)
        lab.kill()
    forged(lab.database, "UPDATE meta SET value = value + 1 WHERE key = 'delivered'")
    assert failures(lab.database) == {"account"}


@pytest.mark.parametrize(
    ("statement", "failed"),
    [
        ("UPDATE meta SET value = value + 1 WHERE key = 'delivered'", {"picture"}),
        ("DELETE FROM meta WHERE key = 'lost'", {"picture"}),
        ("UPDATE undelivered SET last = last - 1", {"picture"}),
        ("UPDATE batch SET payload = CAST(payload AS TEXT) || 'x' WHERE seq = 3", {"rows"}),
        ("UPDATE batch SET last_ms = last_ms + 1 WHERE seq = 3", {"rows"}),
        ("UPDATE batch SET kind = 'event' WHERE seq = 3", {"rows"}),
    ],
)
async def test_a_changed_byte_does_not_fit_its_checksum(lab: Any, statement: str, failed: set[str]) -> None:
    await filled(lab)
    with closing(sqlite3.connect(lab.database)) as connection, connection:
        connection.execute(statement)
    assert failures(lab.database) == failed


async def test_a_bad_page_is_named_by_the_numbers_that_were_on_it(lab: Any) -> None:
    async with lab.open() as store:
        await fill(lab, store, 40)
    pages = pages_of(lab.database, 20)
    spoil(lab.database, pages)
    found = checks(lab.database)
    assert {"structure", "rows"} <= {name for name, check in found.items() if not check.ok}
    ((first, last),) = found["rows"].unreadable
    assert first <= 20 <= last
    assert last - first < 20
    assert found["rows"].batches >= 40 - (last - first + 1)


async def test_bad_pages_at_the_end_end_the_looking(lab: Any) -> None:
    async with lab.open() as store:
        await fill(lab, store, 40)
    spoil(lab.database, pages_of(lab.database, 40))
    found = checks(lab.database)
    rows = found["rows"]
    assert rows.unreadable[-1][1] == 40
    assert rows.batches >= 20
    assert (found["picture"].ok, found["stored"].ok, found["stored"].found) == (True, False, None)
    assert (found["undelivered"].ok, found["undelivered"].counted) == (False, False)
    assert found["account"].ok


async def test_a_bad_page_under_the_picture_is_said_and_the_rows_are_looked_at_all_the_same(lab: Any) -> None:
    await filled(lab)
    with closing(sqlite3.connect(lab.database)) as connection:
        ((root,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'meta'").fetchall()
    spoil(lab.database, [root - 1])
    found = checks(lab.database)
    assert {name for name, check in found.items() if not check.ok} == {"structure", "picture"}
    assert found["rows"].batches == 12
