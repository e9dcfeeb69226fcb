"""A damaged or copied outbox: set aside, what can be read of it brought over, what cannot declared, no number twice."""

import asyncio
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from outbox_damage import PAGE, checkpointed, fill, pages_of, spoil

from agent.settings import OutboxSettings
from agent.store import StoreError
from agent.store.damage.damaged_file import read_chunk
from agent.store.damage.damaged_word import undelivered_in


async def test_a_page_that_goes_bad_while_running_costs_its_batches_and_no_other(lab: Any) -> None:
    lab.rows = False  # in rows a page has more batches
    lab.outbox = OutboxSettings(archive_interval_s=2.0)
    async with lab.open() as store:
        await fill(lab, store, 40)
        await lab.live(store, 3.0)
        store.mark_delivered([(1, 10)])
        await lab.live(store, 3.0)
        epoch, before = store.epoch, store.account()
        lab.kill()
    checkpointed(lab.database)
    pages = pages_of(lab.database, 20)
    async with lab.open() as store:
        spoil(lab.database, pages)
        await lab.undelivered(store)
        assert store.epoch == epoch
        lab.read(store, 5)
        await lab.live(store, 8.0)
        assert list(lab.data.glob("outbox.db.corrupt-*"))
        found = {batch.seq for batch in await lab.undelivered(store) if batch.seq <= 40}
        gone = set(range(11, 41)) - found
        assert 20 in gone
        assert len(gone) <= 12
        (lost,) = await lab.events(store, "data.lost")
        assert {seq for first, last in lost["ranges"] for seq in range(first, last + 1)} == gone
        assert (lost["reason"], lost["readings"]) == ("store_corrupt", 60 * len(gone))
        set_aside, summary = await lab.events(store, "store.corrupt")
        assert (set_aside["severity"], summary["severity"]) == ("critical", "major")
        assert summary["readings"] == 60 * len(found)
        await lab.check_account(store)
        assert store.account().accepted == before.accepted + 5
        assert store.account().delivered == 600
        archived = {seq for (seq,) in lab.sql("SELECT seq FROM batch WHERE seq <= 10")}
        assert archived >= set(range(1, 11)) - set(range(min(gone) - 12, max(gone) + 12))
        assert store.account().lost == {"store_corrupt": 60 * len(gone)}


@pytest.mark.parametrize("steps", range(0, 12, 2))
async def test_a_salvage_that_is_killed_goes_on_and_brings_each_batch_once(
    lab: Any, steps: int, monkeypatch: Any
) -> None:
    monkeypatch.setattr("agent.store.damage.salvager.PORTION_BATCHES", 4)
    lab.outbox = OutboxSettings(archive_interval_s=2.0)
    async with lab.open() as store:
        await fill(lab, store, 30)
        store.mark_delivered([(1, 5)])
        await lab.live(store, 3.0)
        store._parts.damaged(sqlite3.DatabaseError("as if a page were bad"))
        store.mark_delivered([(6, 7)])
        for _ in range(steps):
            await store.step()
        lab.kill()
    async with lab.open() as store:
        await lab.live(store, 6.0)
        assert [batch.seq for batch in await lab.undelivered(store) if batch.kind == "data"] == list(range(8, 31))
        await lab.check_account(store)
        account = store.account()
        assert (account.accepted, account.delivered, account.lost) == (1800, 420, {})


@pytest.mark.parametrize("what", ["meta", "undelivered", "header"])
async def test_a_file_that_cannot_be_opened_gives_its_undelivered_batches_to_a_new_epoch(lab: Any, what: str) -> None:
    async with lab.open() as store:
        await fill(lab, store, 12)
        store.mark_delivered([(1, 4)])
        await lab.live(store, 61.0)
        epoch = store.epoch
        numbers = await lab.stored(store)
        lab.cut_power()
    checkpointed(lab.database)
    with closing(sqlite3.connect(f"file:{lab.database}?mode=ro", uri=True)) as connection:
        roots = dict(connection.execute("SELECT name, rootpage FROM sqlite_master WHERE type = 'table'").fetchall())
    spoil(lab.database, [0 if what == "header" else roots[what] - 1])
    async with lab.open() as store:
        assert store.epoch != epoch
        await lab.live(store, 3.0)
        kept = await lab.stored(store)
        events = await lab.events(store, "store.corrupt")
        if what == "header":
            assert kept == []
        else:
            assert set(kept) >= set(numbers)
            assert len(kept) == len(set(kept))
        assert events[0]["severity"] == "critical"
        await lab.check_account(store)


async def test_missing_batches_of_an_older_epoch_are_given_up_once_whatever_waits_under_the_same_numbers(
    lab: Any,
) -> None:
    async with lab.open() as store:
        await fill(lab, store, 40)
        await lab.live(store, 61.0)
        epoch = store.epoch
        lab.cut_power()
    checkpointed(lab.database)
    bad = pages_of(lab.database, 20)
    with closing(sqlite3.connect(f"file:{lab.database}?mode=ro", uri=True)) as connection:
        ((root,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'undelivered'").fetchall()
    spoil(lab.database, [root - 1, *bad])
    async with lab.open() as store:
        assert store.epoch != epoch
        await lab.live(store, 1.0)
        lab.read(store, 5)
        await lab.live(store, 8.0)
        assert {20} < {batch.seq for batch in await lab.undelivered(store)}
        set_aside, summary = await lab.events(store, "store.corrupt")
        assert (set_aside["severity"], summary["severity"]) == ("critical", "major")
        assert any(first <= 20 <= last for first, last in summary["ranges"])
        await lab.check_account(store)


async def test_a_restored_copy_never_uses_a_number_again(lab: Any, tmp_path: Path) -> None:
    async with lab.open() as store:
        await fill(lab, store, 5)
        epoch = store.epoch
    shutil.copytree(lab.data, tmp_path / "backup")
    async with lab.open() as store:
        await fill(lab, store, 5)
        numbers = await lab.stored(store)
    shutil.rmtree(lab.data)
    shutil.copytree(tmp_path / "backup", lab.data)
    async with lab.open() as store:
        assert store.epoch != epoch
        await lab.live(store, 3.0)
        assert await lab.stored(store) == numbers[:300]
        reasons = {event["reason"] for event in await lab.events(store, "store.corrupt")}
        assert reasons == {"store_restored"}
        await lab.check_account(store)


async def test_an_older_file_in_the_same_place_goes_on_above_every_number_that_was_used(lab: Any) -> None:
    async with lab.open() as store:
        await fill(lab, store, 5)
        epoch = store.epoch
    old = lab.database.read_bytes()
    async with lab.open() as store:
        await fill(lab, store, 400, count=1)
        high = store.high
        lab.cut_power()
    lab.database.with_name("outbox.db-wal").unlink(missing_ok=True)
    with lab.database.open("r+b") as file:
        file.truncate()
        file.write(old)
    async with lab.open() as store:
        assert store.epoch == epoch
        await fill(lab, store, 1)
        assert store.high > high
        (lost,) = await lab.events(store, "data.lost")
        assert lost["ranges"][0][0] == 6
        assert lost["ranges"][-1][1] >= high
        await lab.check_account(store)


def give_twice(path: Path, old: int, new: int) -> None:
    """Put the page of one batch into the place of another's, as a card does that answers with what it held before."""
    data = path.read_bytes()
    page = min(pages_of(path, old))
    with path.open("r+b") as file:
        for place in pages_of(path, new):
            file.seek(place * PAGE)
            file.write(data[page * PAGE : (page + 1) * PAGE])


async def test_a_page_that_a_card_gives_twice_ends_no_look_at_the_file_and_doubles_no_row(lab: Any) -> None:
    async with lab.open() as store:
        await fill(lab, store, 40)
        await lab.live(store, 61.0)
        lab.cut_power()
    checkpointed(lab.database)
    give_twice(lab.database, 5, 30)
    found, at = [], 1
    while at <= 40:
        chunk = read_chunk(lab.database, (at, 40), 3, 1 << 20)
        assert chunk.reached >= at
        found += [row.seq for row in chunk.rows]
        at = chunk.reached + 1
    assert found == sorted(set(found))
    assert set(range(1, 11)) <= set(found)


async def test_a_page_that_a_card_gives_twice_while_running_is_damage_and_each_batch_is_sent_once(lab: Any) -> None:
    lab.outbox = OutboxSettings(archive_interval_s=2.0)
    async with lab.open() as store:
        await fill(lab, store, 40)
        await lab.live(store, 6.0)
        lab.kill()
    checkpointed(lab.database)
    async with lab.open() as store:
        give_twice(lab.database, 5, 30)
        await lab.undelivered(store)
        await lab.live(store, 8.0)
        assert list(lab.data.glob("outbox.db.corrupt-*"))
        found = {batch.seq for batch in await lab.undelivered(store) if batch.seq <= 40}
        (lost,) = await lab.events(store, "data.lost")
        gone = {seq for first, last in lost["ranges"] for seq in range(first, last + 1)}
        assert found | gone == set(range(1, 41))
        assert set(range(1, 11)) <= found
        await lab.check_account(store)


async def test_every_row_outside_the_bad_pages_is_read(lab: Any, tmp_path: Path) -> None:
    async with lab.open() as store:
        await fill(lab, store, 80)
    checkpointed(lab.database)
    path = tmp_path / "one.db"
    pages = {seq: pages_of(lab.database, seq) for seq in range(1, 81)}
    for first in (1, 17, 50, 80):
        shutil.copy(lab.database, path)
        spoil(path, pages[first])
        rows, at = [], 1
        while at <= 80:
            chunk = await asyncio.to_thread(read_chunk, path, (at, 80), 7, 100_000)
            rows += [row.seq for row in chunk.rows]
            at = chunk.reached + 1
        assert first not in rows
        gone = set(range(1, 81)) - set(rows)
        assert gone >= {seq for seq, at in pages.items() if at <= pages[first]}
        assert gone <= {seq for seq, at in pages.items() if at & pages[first]}
        assert rows == sorted(set(rows))


@pytest.mark.parametrize(("journal_kept", "power_lost_again"), [(True, False), (False, False), (False, True)])
async def test_readings_that_a_copy_holds_unsealed_are_taken_over_once(
    lab: Any, tmp_path: Path, monkeypatch: Any, caplog: Any, *, journal_kept: bool, power_lost_again: bool
) -> None:
    lab.outbox = OutboxSettings(batch_interval_s=60, archive_interval_s=5.0)
    async with lab.open() as store:
        lab.read(store, 1)
        await lab.live(store, 66.0)
        store.mark_delivered([(1, 1)])
        await lab.live(store, 6.0)
        read_ms = lab.clock.wall_ms()
        numbers = lab.read(store, 5)
        lab.event(store)
        await lab.live(store, 4.0)
        assert store.account().waiting == 5
        shutil.copytree(lab.data, tmp_path / "data")
        shutil.copytree(lab.runtime, tmp_path / "runtime")
    lab.generation += 1
    shutil.copytree(tmp_path / "data", lab.data)
    if journal_kept:
        shutil.copytree(tmp_path / "runtime", lab.runtime)
    else:
        lab.boot()
        lab.clock.wall_at_zero_ms += 86_400_000
    if power_lost_again:
        with monkeypatch.context() as patched:
            patched.setattr("agent.store.store.Store.begin", _power_lost)
            with pytest.raises(StoreError):
                await lab.open().__aenter__()
    for _ in range(2):
        async with lab.open() as store:
            await lab.live(store, 3.0)
            assert await lab.stored(store) == numbers
            assert len(await lab.events(store, "device.down")) == 1
            scans = [scan for batch in await lab.undelivered(store) for scan in lab.decoded(batch).get("scans", ())]
            assert {scan["time_ms"] for scan in scans} == {read_ms}
            await lab.check_account(store)
            assert (store.account().accepted, store.account().lost) == (5, {})
    assert "more than the account knows of" not in caplog.text


async def _power_lost(*_: Any) -> None:
    raise OSError("no power")


async def test_a_copy_in_which_everything_had_arrived_sends_nothing_again(lab: Any, tmp_path: Path) -> None:
    async with lab.open() as store:
        await fill(lab, store, 5)
        store.mark_delivered([(1, 5)])
    shutil.copytree(lab.data, tmp_path / "clone")
    shutil.rmtree(lab.data)
    shutil.copytree(tmp_path / "clone", lab.data)
    async with lab.open() as store:
        await lab.live(store, 3.0)
        assert await lab.stored(store) == []
        assert store.account().accepted == 0


async def test_the_last_batches_are_found_behind_a_bad_page_without_reading_the_whole_file(lab: Any) -> None:
    async with lab.open() as store:
        for _ in range(5):
            for _ in range(300):
                lab.event(store)
            await store.flush()
        store.mark_delivered([(1, 1_490)])
    checkpointed(lab.database)
    data = lab.database.read_bytes()
    spoil(lab.database, {match.start() // PAGE for match in re.finditer(b'"seq":1500,', data)})
    looks = []
    with closing(sqlite3.connect(f"file:{lab.database}?mode=ro", uri=True)) as connection:
        connection.set_progress_handler(lambda: looks.append(1) and None, 1_000)
        _, undelivered = undelivered_in(connection)
    assert undelivered == [(1_491, 1_500)]
    assert len(looks) < 10, "a look at every row would take fifteen or more"


@pytest.mark.parametrize("copy", [False, True])
async def test_who_sends_is_told_when_batches_are_there_again(lab: Any, tmp_path: Path, *, copy: bool) -> None:
    async with lab.open() as store:
        await fill(lab, store, 6)
        store.mark_delivered([(1, 2)])
    if copy:
        shutil.copytree(lab.data, tmp_path / "backup")
        shutil.rmtree(lab.data)
        shutil.copytree(tmp_path / "backup", lab.data)
    told: list[int] = []
    async with lab.open() as store:
        store.on_salvaged = told.append
        before = {batch.seq for batch in await lab.undelivered(store)}
        if not copy:
            store._parts.damaged(sqlite3.DatabaseError("as if a page were bad"))
        await lab.live(store, 3.0)
        after = {batch.seq for batch in await lab.undelivered(store) if batch.kind == "data"}
        assert len(after) == 4
        assert told == [min(after - before) if copy else 3]
