"""The faulty card itself: it takes what a real one would take, and gives the errors that a real one gives."""

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import get_args

import pytest
from card_model import Mirror, Operation, OperationLog, Survive, identities_path
from faulty_card import NEEDED, FaultyCard, can_be_had
from sqlite_vfs import library

from agent.durable import sync_folder
from agent.store.numbers import file_identity

pytestmark = pytest.mark.skipif(not can_be_had(), reason=NEEDED)


class Bench:
    """A card, its log, and a database of which it is known when each row was acknowledged."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "card"
        self.log = OperationLog()
        self.card = FaultyCard(self.folder, self.log)
        self.acknowledged: list[int] = []
        self._states = folder / "states"

    @contextmanager
    def database(self, synchronous: str) -> Iterator[sqlite3.Connection]:
        with self.card.inserted(), closing(sqlite3.connect(self.folder / "x.db", isolation_level=None)) as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(f"PRAGMA synchronous = {synchronous}")
            database.execute("CREATE TABLE row (n INTEGER PRIMARY KEY, body BLOB)")
            yield database

    def insert(self, database: sqlite3.Connection, count: int) -> None:
        for _ in range(count):
            number = len(self.acknowledged)
            database.execute("INSERT INTO row VALUES (?, randomblob(1500))", (number,))
            self.acknowledged.append(len(self.log.operations))

    def after_cut(self, count: int, survive: Survive, seed: int = 1) -> Path:
        folder = self._states / f"{count}-{survive}-{seed}"
        self.log.state_after(count, survive, seed, folder)
        return folder

    def lost(self, count: int, survive: Survive, seed: int = 1) -> set[int]:
        """Rows that were acknowledged before the cut and are not there after it; a corrupt file raises."""
        before = {n for n, at in enumerate(self.acknowledged) if at <= count}
        with closing(sqlite3.connect(self.after_cut(count, survive, seed) / "x.db")) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            if not database.execute("SELECT name FROM sqlite_master ORDER BY name").fetchall():
                return before
            return before - {n for (n,) in database.execute("SELECT n FROM row ORDER BY n")}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize("survive", get_args(Survive))
def test_with_synchronous_full_no_acknowledged_row_is_lost_at_any_operation(bench: Bench, survive: Survive) -> None:
    with bench.database("FULL") as database:
        database.execute("PRAGMA wal_autocheckpoint = 8")
        bench.insert(database, 12)
    for count in range(bench.acknowledged[0], len(bench.log.operations) + 1):
        assert bench.lost(count, survive, count) == set()


def test_with_synchronous_normal_rows_are_lost_and_nothing_is_corrupt(bench: Bench) -> None:
    with bench.database("NORMAL") as database:
        database.execute("PRAGMA wal_autocheckpoint = 8")
        bench.insert(database, 12)
    counts = range(bench.acknowledged[0], len(bench.log.operations) + 1)
    assert set().union(*(bench.lost(count, "random", count) for count in counts))


def test_with_synchronous_off_acknowledged_rows_are_lost_and_files_are_corrupt(bench: Bench) -> None:
    with bench.database("OFF") as database:
        database.execute("PRAGMA wal_autocheckpoint = 8")
        bench.insert(database, 12)
    assert bench.lost(bench.acknowledged[-1], "none") == set(range(12))
    corrupt = 0
    for seed in range(20):
        try:
            bench.lost(bench.acknowledged[-1], "random", seed)
        except (sqlite3.DatabaseError, AssertionError):
            corrupt += 1
    assert corrupt


def test_a_sync_that_lies_loses_what_was_acknowledged(bench: Bench) -> None:
    with bench.database("FULL") as database:
        bench.insert(database, 3)
        bench.card.faults.lying = True
        bench.insert(database, 3)
        assert bench.lost(len(bench.log.operations), "none") == {3, 4, 5}


def test_a_full_card_refuses_to_grow_and_lets_what_is_there_be_overwritten(bench: Bench) -> None:
    with bench.database("FULL") as database:
        bench.insert(database, 8)
        database.execute("PRAGMA wal_checkpoint").fetchall()  # the next commit begins the log anew
        bench.card.faults.room_bytes = 0
        database.execute("UPDATE row SET body = zeroblob(1500) WHERE n = 0")
        with pytest.raises(sqlite3.OperationalError, match="database or disk is full"):
            database.execute("INSERT INTO row VALUES (8, randomblob(90000))")
        bench.card.faults.heal()
        bench.insert(database, 1)
        assert bench.lost(len(bench.log.operations), "none") == set()


def test_a_full_card_says_so_and_has_room_again_when_a_file_is_deleted(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with bench.card.inserted():
        fd = os.open(bench.folder / "file", os.O_WRONLY | os.O_CREAT)
        bench.card.faults.room_bytes = 20_000
        os.posix_fallocate(fd, 0, 12_000)
        with pytest.raises(OSError, match="No space"):
            os.posix_fallocate(fd, 12_000, 12_000)
        os.close(fd)
        assert bench.card.faults.room_bytes == 8_000
        (bench.folder / "file").unlink()
        found = os.statvfs(bench.folder)
        assert found.f_bavail == 20_000 // found.f_frsize


@pytest.mark.parametrize("kind", ["write", "sync"])
def test_an_io_error_fails_the_commit_and_the_next_one_works(bench: Bench, kind: str) -> None:
    with bench.database("FULL") as database:
        bench.card.faults.fail(errno.EIO, kind)
        with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
            bench.insert(database, 1)
        bench.card.faults.heal()
        bench.insert(database, 2)
        assert database.execute("SELECT count(*) FROM row").fetchall() == [(2,)]
        assert bench.lost(len(bench.log.operations), "none") == set()


def test_what_cannot_be_read_raises(bench: Bench) -> None:
    with bench.database("FULL") as database:
        bench.insert(database, 1)
        with closing(sqlite3.connect(bench.folder / "x.db")) as other:
            bench.card.faults.fail(errno.EIO, "read")
            with pytest.raises(sqlite3.DatabaseError):
                other.execute("SELECT * FROM row").fetchall()
            bench.card.faults.heal()
            assert len(other.execute("SELECT * FROM row").fetchall()) == 1


def test_a_read_only_card_can_be_read_and_not_be_written(bench: Bench) -> None:
    with bench.database("FULL") as database:
        bench.insert(database, 1)
        bench.card.faults.fail(errno.EROFS, "open", "create", "write", "sync", "delete")
        with closing(sqlite3.connect(bench.folder / "x.db")) as other:
            assert len(other.execute("SELECT * FROM row").fetchall()) == 1
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                other.execute("DELETE FROM row")
        with pytest.raises(OSError, match="Read-only"):
            os.open(bench.folder / "x.db", os.O_RDWR)


def test_a_new_name_is_lost_until_something_is_synced_and_what_it_names_until_it_is(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with bench.card.inserted():
        for name in ("synced", "named"):
            fd = os.open(bench.folder / "new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.write(fd, b"content")
            if name == "synced":
                os.fsync(fd)
            os.close(fd)
            (bench.folder / "new").rename(bench.folder / name)
        before = len(bench.log.operations)
        sync_folder(bench.folder)
    assert contents(bench.after_cut(before, "none")) == {"new": b"content"}
    assert contents(bench.after_cut(before + 1, "none")) == {"synced": b"content", "named": b""}
    assert contents(bench.after_cut(before + 1, "all")) == {"synced": b"content", "named": b"content"}


def test_on_a_card_that_is_strict_about_names_only_a_sync_of_the_folder_keeps_them(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.log = OperationLog(strict=True)
    bench.card = FaultyCard(bench.folder, bench.log)
    with bench.card.inserted():
        fd = os.open(bench.folder / "new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.write(fd, b"content")
        os.fsync(fd)
        os.write(fd, b" and more")
        os.close(fd)
        (bench.folder / "new").rename(bench.folder / "named")
        before = len(bench.log.operations)
        sync_folder(bench.folder)
        (bench.folder / "named").unlink()
    assert contents(bench.after_cut(before, "none")) == {}
    assert contents(bench.after_cut(before, "all")) == {"named": b"content and more"}
    assert contents(bench.after_cut(before + 1, "none")) == {"named": b"content"}
    assert contents(bench.after_cut(before + 2, "none")) == {"named": b"content"}
    assert contents(bench.after_cut(before + 2, "all")) == {}


def test_sqlite_keeps_the_name_of_a_new_wal_with_the_first_commit_in_it(bench: Bench) -> None:
    bench.log = OperationLog(strict=True)
    bench.card = FaultyCard(bench.folder, bench.log)
    with bench.database("FULL") as database:
        sync_folder(bench.folder)
        bench.insert(database, 3)
        assert bench.lost(len(bench.log.operations), "none") == set()


def test_what_a_failed_sync_lost_the_next_sync_does_not_bring_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with bench.card.inserted():
        fd = os.open(bench.folder / "file", os.O_WRONLY | os.O_CREAT)
        os.write(fd, b"lost")
        bench.card.faults.fail(errno.EIO, "sync")
        with pytest.raises(OSError, match="Input/output"):
            os.fsync(fd)
        bench.card.faults.heal()
        os.write(fd, b"kept")
        os.fsync(fd)
        os.close(fd)
    assert contents(bench.after_cut(len(bench.log.operations), "all")) == {"file": b"\0\0\0\0kept"}


def test_of_an_unsynced_write_some_sectors_survive(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with bench.card.inserted():
        fd = os.open(bench.folder / "file", os.O_WRONLY | os.O_CREAT)
        os.write(fd, bytes(8_192))
        os.fsync(fd)
        os.close(fd)
        fd = os.open(bench.folder / "file", os.O_WRONLY)
        os.write(fd, b"x" * 8_192)
        os.close(fd)
    found = [contents(bench.after_cut(len(bench.log.operations), "torn", seed))["file"] for seed in range(9)]
    assert any(0 < data.count(b"x") < 8_192 for data in found)
    assert all(data.count(b"x") % 512 == 0 and len(data) == 8_192 for data in found)


def test_a_slow_sync_holds_up_its_own_thread_only(bench: Bench) -> None:
    with bench.database("FULL") as database:
        bench.card.faults.sync_delay_s = 0.2
        thread = threading.Thread(target=bench.card.sync, args=(None,))
        thread.start()
        looks = 0
        while thread.is_alive():
            assert database.execute("SELECT count(*) FROM row").fetchall() == [(0,)]
            looks += 1
        thread.join()
        assert looks > 1


def test_the_mirror_is_at_any_moment_what_a_cut_without_survivors_leaves(tmp_path: Path) -> None:
    class Both(OperationLog):
        mirror = Mirror(tmp_path / "mirror")

        def note(self, operation: Operation) -> None:
            super().note(operation)
            self.mirror.note(operation)
            if len(self.operations) % 7 == 0:
                folder = bench.after_cut(len(self.operations), "none", len(self.operations))
                assert contents(folder) == contents(tmp_path / "mirror")

    bench = Bench(tmp_path)
    bench.log = Both()
    bench.card = FaultyCard(bench.folder, bench.log)
    with bench.database("FULL") as database:
        database.execute("PRAGMA wal_autocheckpoint = 8")
        bench.insert(database, 12)
        identity = file_identity(bench.folder / "x.db")
    assert f'"x.db": "{identity}"' in identities_path(tmp_path / "mirror").read_text()


def test_a_file_that_was_there_before_is_on_the_card(bench: Bench) -> None:
    with bench.database("FULL") as database:
        bench.insert(database, 2)
    again = Bench(bench.folder.parent)
    with again.card.inserted():
        pass
    assert contents(again.after_cut(0, "none")) == contents(bench.folder)


def test_afterwards_sqlite_is_what_it_was(bench: Bench) -> None:
    sqlite = library()
    assert sqlite
    before, functions = sqlite.sqlite3_vfs_find(None).contents.name, (os.open, os.rename)
    with bench.card.inserted():
        assert sqlite.sqlite3_vfs_find(None).contents.name == b"faulty-card"
    assert (sqlite.sqlite3_vfs_find(None).contents.name, os.open, os.rename) == (before, *functions)
    assert not sqlite.sqlite3_vfs_find(b"faulty-card")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}
