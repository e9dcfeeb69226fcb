"""Out of a damaged file a sound one, and its data through another gateway to the IOC."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from outbox_damage import fill, pages_of, spoil

from agent.settings import OutboxSettings
from agent.store.damage.rescue import NothingLeft, Rescued, rescue
from agent.store.inspection.outbox_file import UnreadableFile, open_file
from agent.store.inspection.verification import AccountCheck, verify


def rows(path: Path) -> dict[int, Any]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return {row[0]: row for row in connection.execute("SELECT * FROM batch ORDER BY seq").fetchall()}


def meta(path: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return dict(connection.execute("SELECT key, value FROM meta").fetchall())


def undelivered(path: Path) -> list[tuple[int, int]]:
    with open_file(path) as file:
        return file.picture().undelivered


def is_sound(path: Path) -> bool:
    with open_file(path) as file:
        return all(check.ok for check in verify(file))


async def filled(lab: Any) -> str:
    """40 batches of 60 readings, 1 to 10 delivered; gives the epoch."""
    async with lab.open() as store:
        await fill(lab, store, 40)
        store.mark_delivered([(1, 10)])
        await lab.live(store, 2.0)
        return str(store.epoch)


async def test_a_sound_file_comes_out_as_it_is(lab: Any, tmp_path: Path) -> None:
    epoch = await filled(lab)
    new = tmp_path / "new.db"
    found = await rescue(lab.database, new)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["new.db"]
    assert found == Rescued(
        epoch=epoch, trusted=True, batches=40, readings=2400, undelivered=30, undelivered_readings=1800, unsealed=0,
        damaged=[], unreadable=[], missing=[], lost=0,
    )  # fmt: skip
    assert rows(new) == rows(lab.database)
    assert undelivered(new) == [(11, 40)]
    assert {key: value for key, value in meta(new).items() if key != "check"} == {
        key: value for key, value in meta(lab.database).items() if key != "check"
    }
    assert is_sound(new)
    assert new.stat().st_mode & 0o777 == 0o600


async def test_what_cannot_be_read_is_lost_in_the_new_account_and_to_be_declared(lab: Any, tmp_path: Path) -> None:
    epoch = await filled(lab)
    with closing(sqlite3.connect(lab.database)) as connection, connection:
        connection.execute("UPDATE batch SET payload = X'00' WHERE seq IN (5, 30)")
    spoil(lab.database, pages_of(lab.database, 20))
    found = await rescue(lab.database, tmp_path / "new.db")
    saved = rows(tmp_path / "new.db")
    gone = set(range(1, 41)) - saved.keys()
    lost = {seq for seq in gone if seq > 10}
    assert {5, 20, 30} <= gone
    assert (found.epoch, found.trusted, found.batches, found.damaged) == (epoch, True, len(saved), [(5, 5), (30, 30)])
    assert {seq for first, last in found.missing for seq in range(first, last + 1)} == lost
    assert found.lost == 60 * len(lost)
    assert found.undelivered_readings == 60 * len([seq for seq in saved if seq > 10])
    account = meta(tmp_path / "new.db")
    assert (account["accepted"], account["delivered"], account["stored"]) == (2400, 600, found.undelivered_readings)
    assert account["lost"] == f'{{"store_corrupt":{found.lost}}}'
    assert f'"readings":{found.lost}' in account["undeclared"]
    assert is_sound(tmp_path / "new.db")


@pytest.mark.parametrize("what", ["meta", "undelivered", "check"])
async def test_a_file_whose_word_cannot_be_believed_is_saved_by_what_its_batches_say(
    lab: Any, tmp_path: Path, what: str
) -> None:
    epoch = await filled(lab)
    if what == "check":
        with closing(sqlite3.connect(lab.database)) as connection, connection:
            connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'delivered'")
    else:
        with closing(sqlite3.connect(lab.database)) as connection:
            sql = "SELECT rootpage FROM sqlite_master WHERE name = ?"
            ((root,),) = connection.execute(sql, (what,)).fetchall()
        spoil(lab.database, [root - 1])
    with closing(sqlite3.connect(lab.database)) as connection, connection:
        connection.execute("UPDATE batch SET payload = X'00' WHERE seq = 30")
    found = await rescue(lab.database, tmp_path / "new.db")
    assert (found.epoch, found.trusted, found.batches, found.lost) == (epoch, False, 39, None)
    assert found.missing == [(30, 30)]
    first = 1 if what == "undelivered" else 11  # the last batch says that 1 was the lowest undelivered then
    assert undelivered(tmp_path / "new.db") == [(first, 29), (31, 40)]
    assert is_sound(tmp_path / "new.db")


async def test_readings_that_were_not_sealed_and_losses_not_declared_yet_come_along(lab: Any, tmp_path: Path) -> None:
    lab.outbox = OutboxSettings(batch_interval_s=60)
    async with lab.open() as store:
        lab.read(store, 5)
        lab.event(store)
        await lab.live(store, 4.0)
        lab.read(store, 2)
        store._committer._timetable.duration_s = 0.0
        await store._committer.commit()
        lab.kill()
    found = await rescue(lab.database, tmp_path / "new.db")
    account = meta(tmp_path / "new.db")
    assert (found.unsealed, found.lost, account["accepted"]) == (5, 2, 7)
    assert account["lost"] == '{"unclean_stop":2}'
    with open_file(tmp_path / "new.db") as file:
        checks = list(verify(file))
        assert all(check.ok for check in checks)
        assert [(c.unsealed, c.in_journal) for c in checks if isinstance(c, AccountCheck)] == [(5, 0)]


async def test_what_is_only_in_a_file_that_was_set_aside_is_missing_and_counted(
    lab: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("agent.store.damage.salvager.PORTION_BATCHES", 4)
    async with lab.open() as store:
        await fill(lab, store, 12)
        store._parts.damaged(sqlite3.DatabaseError("a bad page"))
        store.mark_delivered([(3, 4)])
        await store.step()
        lab.kill()
    found = await rescue(lab.database, tmp_path / "new.db")
    assert (found.missing, found.lost, found.undelivered) == ([(5, 12)], 480, 2)
    assert is_sound(tmp_path / "new.db")


async def test_the_new_file_is_whole_or_not_there(lab: Any, tmp_path: Path, monkeypatch: Any) -> None:
    await filled(lab)
    new = tmp_path / "new.db"
    new.write_text("something of mine", encoding="utf-8")
    with pytest.raises(FileExistsError):
        await rescue(lab.database, new)
    assert new.read_text(encoding="utf-8") == "something of mine"
    new.unlink()

    async def full(*_: Any, **__: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    for work in ("write_batches", "write_picture"):
        with monkeypatch.context() as patched:
            patched.setattr(f"agent.store.outbox.Outbox.{work}", full)
            with pytest.raises(OSError, match="disk is full"):
                await rescue(lab.database, new)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []
    (tmp_path / "new.db.part").write_text("left by a kill", encoding="utf-8")
    await rescue(lab.database, new)
    assert is_sound(new)


async def test_a_file_with_nothing_in_it_gives_no_new_file(lab: Any, tmp_path: Path) -> None:
    await filled(lab)
    with closing(sqlite3.connect(lab.database)) as connection, connection:
        connection.execute("UPDATE batch SET payload = X'00'")
        connection.execute("UPDATE meta SET value = 1 WHERE key = 'delivered'")
    with pytest.raises(NothingLeft):
        await rescue(lab.database, tmp_path / "new.db")
    (tmp_path / "no.db").write_bytes(b"\0" * 9_000)
    with pytest.raises(UnreadableFile):
        await rescue(tmp_path / "no.db", tmp_path / "new.db")
    assert not (tmp_path / "new.db").exists()


async def _dead_card(lab: Any) -> Path:
    """A card with a bad page, and what is undelivered on it."""
    await filled(lab)
    with closing(sqlite3.connect(lab.database)) as connection, connection:
        connection.execute("UPDATE batch SET payload = X'00' WHERE seq = 30")
    return Path(lab.database)


async def test_a_fresh_gateway_brings_what_was_rescued_to_the_ioc(lab: Any, tmp_path: Path) -> None:
    dead = await _dead_card(lab)
    lab.generation += 1
    lab.data.mkdir()
    await rescue(dead, lab.database)
    for _ in range(2):
        async with lab.open() as store:
            await lab.live(store, 5.0)
            assert await lab.stored(store) == [*range(601, 29 * 60 + 1), *range(30 * 60 + 1, 2401)]
            losses = await lab.events(store, "data.lost")
            assert [(e["reason"], e["readings"], "ranges" in e) for e in losses] == [("store_corrupt", 60, False)]
            assert {e["reason"] for e in await lab.events(store, "store.corrupt")} == {"store_restored"}
            await lab.check_account(store)
            assert (store.account().accepted, store.account().lost) == (1740, {})


async def test_a_gateway_with_an_outbox_of_its_own_brings_both_and_loses_neither(lab: Any, tmp_path: Path) -> None:
    """As docs/outbox.md tells the technician: own file out, rescued file in, and when that is through, own file in."""
    dead = await _dead_card(lab)
    lab.generation += 1
    lab.random.seed(7)
    own = lab.database
    async with lab.open() as store:
        first_epoch = store.epoch
        await fill(lab, store, 3)
        store.mark_delivered([(1, 1)])
        await lab.live(store, 2.0)
        mine = await lab.stored(store)
    kept = own.with_name("own.db")
    own.rename(kept)
    await rescue(dead, own)
    async with lab.open() as store:
        await lab.live(store, 5.0)
        assert len(await lab.stored(store)) == 1740
        assert store.epoch != first_epoch
        await lab.check_account(store)
        store.mark_delivered([(1, store.high)])
        await lab.live(store, 3.0)
        assert await lab.undelivered(store) == []
    own.unlink()
    kept.rename(own)
    async with lab.open() as store:
        await lab.live(store, 5.0)
        assert await lab.stored(store) == mine
        await lab.check_account(store)
