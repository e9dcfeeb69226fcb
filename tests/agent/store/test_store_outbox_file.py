"""Reading an outbox file from outside: of a running agent, a copy with its WAL, a folder that cannot be written."""

import errno
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from outbox_damage import checkpointed, fill, pages_of, spoil
from read_only import may_not_write, read_only_folder

from agent.settings import OutboxSettings
from agent.store.inspection.outbox_file import SELECT_WINDOW, OutboxFile, UnreadableFile, open_file

EVERYTHING = [(1, 1_000)]


def seqs(file: OutboxFile) -> list[int]:
    return [row.seq for chunk in file.chunks(EVERYTHING) for row in chunk.rows]


async def test_a_running_agent_is_read_and_never_held_up(lab: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("agent.store.inspection.outbox_file.PORTION_ROWS", 3)
    async with lab.open() as store:
        await fill(lab, store, 10)
        with open_file(lab.database) as file:
            assert file.how == "as it is"
            chunks = file.chunks(EVERYTHING)
            assert [row.seq for row in next(chunks).rows] == [1, 2, 3]
            await fill(lab, store, 1)
            assert file.census().picture.undelivered == [(1, 11)]
            writer = store._parts.outbox._writer
            ((busy, *_),) = await writer.execute_fetchall("PRAGMA wal_checkpoint(RESTART)")
            assert busy == 0
            assert [row.seq for chunk in chunks for row in chunk.rows] == list(range(4, 12))


async def test_a_copy_is_read_with_its_wal(lab: Any, tmp_path: Path) -> None:
    async with lab.open() as store:
        await fill(lab, store, 5)
        shutil.copytree(lab.data, tmp_path / "copy", ignore=shutil.ignore_patterns("*-shm"))
    copy = tmp_path / "copy" / "outbox.db"
    assert copy.with_name("outbox.db-wal").stat().st_size
    with open_file(copy) as file:
        assert seqs(file) == [1, 2, 3, 4, 5]
    copy.with_name("outbox.db-wal").unlink()
    with pytest.raises(UnreadableFile), open_file(copy) as file:
        seqs(file)


@pytest.mark.parametrize("wal", [True, False])
async def test_a_copy_in_a_folder_that_cannot_be_written_is_read_and_left_as_it_is(lab: Any, *, wal: bool) -> None:
    with read_only_folder() as folder:
        async with lab.open() as store:
            await fill(lab, store, 5)
            if not wal:
                checkpointed(lab.database)
            for name in ("outbox.db", "outbox.db-wal") if wal else ("outbox.db",):
                shutil.copyfile(lab.data / name, folder / name)
        with may_not_write(folder):
            with open_file(folder / "outbox.db") as file:
                assert file.how == ("copied" if wal else "alone")
                assert seqs(file) == [1, 2, 3, 4, 5]
            assert {path.name for path in folder.iterdir()} == (
                {"outbox.db", "outbox.db-wal"} if wal else {"outbox.db"}
            )


async def test_what_is_no_outbox_is_told_by_its_kind(lab: Any, tmp_path: Path) -> None:
    async with lab.open() as store:
        await fill(lab, store, 1)
    newer, other, rubbish, headless = (
        tmp_path / name for name in ("newer.db", "other.db", "rubbish.db", "headless.db")
    )
    shutil.copy(lab.database, newer)
    with closing(sqlite3.connect(newer)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("CREATE TABLE batch (x)")
        connection.execute("PRAGMA user_version = 2")
    rubbish.write_bytes(b"this was a memory card once" * 400)
    shutil.copy(lab.database, headless)
    with headless.open("r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * 3_000)
    (tmp_path / "empty.db").touch()
    found = {}
    for name in ("newer", "other", "rubbish", "headless", "empty", "none", "none/none"):
        with pytest.raises(UnreadableFile) as caught, open_file(tmp_path / f"{name}.db"):
            pass
        found[name] = caught.value.why
    assert found == {
        "newer": "newer",
        "other": "not_outbox",
        "rubbish": "not_sqlite",
        "headless": "damaged",
        "empty": "not_sqlite",
        "none": "missing",
        "none/none": "missing",
    }


async def test_a_file_that_may_not_be_read_is_told_so(lab: Any) -> None:
    async with lab.open() as store:
        await fill(lab, store, 1)
    with read_only_folder() as folder:
        shutil.copyfile(lab.database, folder / "outbox.db")
        (folder / "outbox.db").chmod(0)
        with may_not_write(folder), pytest.raises(UnreadableFile) as caught, open_file(folder / "outbox.db"):
            pass
    assert caught.value.why == "forbidden"


async def test_no_room_for_the_temporary_copy_is_told_with_its_place(lab: Any, monkeypatch: Any) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with read_only_folder() as folder:
        async with lab.open() as store:
            await fill(lab, store, 1)
            for name in ("outbox.db", "outbox.db-wal"):
                (folder / name).write_bytes((lab.data / name).read_bytes())
        with may_not_write(folder), pytest.raises(UnreadableFile) as caught, open_file(folder / "outbox.db"):
            pass
    assert caught.value.why == "failed"
    assert "oc-outbox-" in caught.value.detail
    assert "No space left" in caught.value.detail


async def test_a_window_of_time_is_one_range_of_the_index_and_misses_no_batch(lab: Any) -> None:
    lab.outbox = OutboxSettings(batch_interval_s=3_000, retention_days=3_660)
    async with lab.open() as store:
        for _ in range(5):
            lab.read(store, 3)
            await lab.live(store, 900.0, 300.0)
        for _ in range(60):
            lab.read(store, 3)
            lab.clock.wall_at_zero_ms += lab.random.choice([0, 0, 7_000, -90_000, 4_000_000])
            await store.flush()
    plan = lab.sql(f"EXPLAIN QUERY PLAN {SELECT_WINDOW}", 1, 2, 3, 4)
    assert [row[3] for row in plan] == ["SEARCH batch USING COVERING INDEX batch_last_ms (last_ms>? AND last_ms<?)"]
    rows = lab.sql("SELECT seq, first_ms, last_ms FROM batch")
    times = sorted({time for _, *both in rows for time in both})
    with open_file(lab.database) as file:
        for _ in range(100):
            from_ms, to_ms = sorted(lab.random.sample(times, 2))
            found = {seq for first, last in file.window(from_ms, to_ms) for seq in range(first, last + 1)}
            there = {seq for seq, first_ms, last_ms in rows if last_ms >= from_ms and first_ms < to_ms}
            assert there <= found
            assert len(found) <= len([1 for _, _, last_ms in rows if from_ms <= last_ms < to_ms + 3_600_000])
        assert file.window(None, None) == [(1, 2**53 - 1)]
        assert file.window(times[-1], None)[-1][1] == max(seq for seq, _, last_ms in rows if last_ms == times[-1])
        assert file.window(times[-1] + 1, None) == []


async def test_a_window_is_read_in_portions_of_the_index(lab: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("agent.store.inspection.outbox_file.WINDOW_ROWS", 2)
    async with lab.open() as store:
        await fill(lab, store, 9)
    with open_file(lab.database) as file:
        assert file.window(0, None) == [(1, lab.sql("SELECT max(seq) FROM batch")[0][0])]


@pytest.mark.parametrize("damage", [False, True])
async def test_backwards_the_same_batches_come_with_the_newest_first(
    lab: Any, monkeypatch: Any, *, damage: bool
) -> None:
    monkeypatch.setattr("agent.store.inspection.outbox_file.PORTION_ROWS", 7)
    async with lab.open() as store:
        await fill(lab, store, 40)
        store.mark_delivered([(1, 40)])
        await store.forget([(1, 4), (20, 22)])
    if damage:
        spoil(lab.database, pages_of(lab.database, 40))
    with open_file(lab.database) as file:
        ranges = [(2, 12), (15, 30), (31, 1_000)]
        forwards = [row.seq for chunk in file.chunks(ranges) for row in chunk.rows]
        backwards = [row.seq for chunk in file.chunks_backwards(ranges) for row in reversed(chunk.rows)]
    assert backwards == forwards[::-1]
    assert len(forwards) > 20
