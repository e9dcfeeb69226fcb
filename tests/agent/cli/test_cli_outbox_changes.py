"""`oc-agent outbox salvage` and `forget`: what is saved, what is given up, and who does it."""

import asyncio
import os
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from outbox_cli import Run, found
from outbox_damage import fill, pages_of, spoil

from agent.cli.outbox import owner
from agent.control import control_server
from agent.forgetting import carry_out
from agent.settings import OutboxSettings


async def filled(lab: Any) -> None:
    """12 batches of 60 readings, 1 to 4 delivered; the clock stands in 2026."""
    async with lab.open() as store:
        await fill(lab, store, 12)
        store.mark_delivered([(1, 4)])
        await lab.live(store, 3.0)


def seqs(lab: Any) -> list[int]:
    return [seq for (seq,) in lab.sql("SELECT seq FROM batch WHERE kind = 'data' ORDER BY seq")]


async def test_salvage_says_what_it_saved_and_what_not(lab: Any, oc: Run, tmp_path: Path) -> None:
    async with lab.open() as store:
        await fill(lab, store, 40)
        store.mark_delivered([(1, 10)])
        await lab.live(store, 2.0)
    with closing(sqlite3.connect(lab.database)) as connection, connection:
        connection.execute("UPDATE batch SET payload = X'00' WHERE seq IN (5, 30)")
    spoil(lab.database, pages_of(lab.database, 20))
    new = tmp_path / "new.db"
    code, out, err = await asyncio.to_thread(oc, "outbox", "salvage", lab.data, new)
    assert (code, "takes a while" in err) == (0, True)
    for words in (
        "their bytes have changed: 5, 30",
        "their pages cannot be read: ",
        "lost, because they were undelivered: batches",
        f"{new} is made",
    ):
        assert words in out
    assert (await asyncio.to_thread(oc, "outbox", "verify", new))[0] == 0
    report = await asyncio.to_thread(found, oc, "outbox", "salvage", lab.data, tmp_path / "again.db")
    assert report["batches"] == len(seqs_of(new))
    assert report["lost"] == 60 * sum(last - first + 1 for first, last in report["missing"])
    assert f"saved: {report['batches']} batches with {report['readings']} readings" in out


def seqs_of(path: Path) -> list[int]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return [seq for (seq,) in connection.execute("SELECT seq FROM batch ORDER BY seq").fetchall()]


async def test_salvage_says_what_the_file_could_not_tell_and_what_the_ram_disk_held(
    lab: Any, oc: Run, tmp_path: Path
) -> None:
    async with lab.open() as store:
        await fill(lab, store, 2)
        lab.read(store, 5)
        await store._committer.commit()
        lab.kill()
    _, out, _ = await asyncio.to_thread(oc, "outbox", "salvage", lab.database, tmp_path / "one.db")
    assert "lost: 5 readings, which were on the RAM disk only" in out
    with closing(sqlite3.connect(lab.database)) as connection, connection:
        connection.execute("UPDATE meta SET value = 1 WHERE key = 'high'")
    _, out, _ = await asyncio.to_thread(oc, "outbox", "salvage", lab.database, tmp_path / "two.db")
    assert "what is undelivered is told by its batches" in out
    assert "nothing undelivered is lost" in out


async def test_salvage_never_touches_a_file_that_is_there_and_explains_what_it_cannot_do(
    lab: Any, oc: Run, tmp_path: Path
) -> None:
    await filled(lab)
    (tmp_path / "mine").write_text("mine", encoding="utf-8")
    code, _, err = await asyncio.to_thread(oc, "outbox", "salvage", lab.database, tmp_path / "mine")
    assert (code, "is there already" in err) == (1, True)
    assert (tmp_path / "mine").read_text(encoding="utf-8") == "mine"
    code, _, err = await asyncio.to_thread(oc, "outbox", "salvage", lab.database, tmp_path / "none" / "new.db")
    assert (code, "cannot be written: No such file" in err) == (1, True)
    with closing(sqlite3.connect(lab.database)) as connection, connection:
        connection.execute("UPDATE batch SET payload = X'00'")
        connection.execute("UPDATE meta SET value = 1 WHERE key = 'high'")
    code, _, err = await asyncio.to_thread(oc, "outbox", "salvage", lab.database, tmp_path / "new.db")
    assert (code, "not one batch" in err) == (1, True)


async def test_forget_without_yes_says_what_would_go_and_changes_nothing(lab: Any, oc: Run) -> None:
    await filled(lab)
    code, out, err = await asyncio.to_thread(oc, "outbox", "forget", "--seq", "3-6")
    assert (code, seqs(lab)) == (1, list(range(1, 13)))
    assert "4 batches: 3-6" in out
    assert "2 of them wait for the IOC: their 120 readings would be LOST" in out
    assert "--yes" in err
    plan = (await asyncio.to_thread(found, oc, "outbox", "forget", "--seq", "3-6"))["would_forget"]
    assert (plan["ranges"], plan["batches"], plan["undelivered"], plan["readings"]) == ([[3, 6]], 4, 2, 120)
    code, out, err = await asyncio.to_thread(oc, "outbox", "forget", "--seq", "90-99")
    assert (code, out, "nothing like that" in err) == (1, "", True)


@pytest.mark.parametrize("running", [True, False])
async def test_forget_is_done_by_the_running_agent_or_where_none_runs_by_opening_the_store(
    lab: Any, oc: Run, running: bool
) -> None:
    await filled(lab)
    if running:
        async with lab.open() as store, control_server(lab.runtime, {}, {"forget": partial(carry_out, store)}):
            code, out, _ = await asyncio.to_thread(oc, "outbox", "forget", "--seq", "3-6", "--yes")
    else:
        code, out, _ = await asyncio.to_thread(oc, "outbox", "forget", "--seq", "3-6", "--yes")
    assert (code, seqs(lab)) == (0, [1, 2, *range(7, 13)])
    assert "forgotten: 4 batches" in out
    assert "2 of them waited: their 120 readings are lost, and the IOC is told" in out
    async with lab.open() as store:
        assert store.account().lost == {"forgotten": 120}
        (lost,) = await lab.events(store, "data.lost")
        assert (lost["reason"], lost["ranges"], lost["readings"]) == ("forgotten", [[5, 6]], 120)
        await lab.check_account(store)


async def test_forget_opens_the_store_without_the_runtime_folder_that_a_stopped_service_has_not(
    lab: Any, oc: Run, monkeypatch: Any
) -> None:
    await filled(lab)
    lab.ram = lab.folder / "is-not" / "there"
    report = await asyncio.to_thread(found, oc, "outbox", "forget", "--seq", "5", "--yes")
    assert report == {"forgotten": {"batches": {"batches": 1, "undelivered": 1, "readings": 60}, "files": []}}
    assert not lab.ram.exists()


async def test_forget_by_age_takes_whole_batches_only_and_leaves_what_was_not_named(lab: Any, oc: Run) -> None:
    await filled(lab)
    ((last_ms,),) = lab.sql("SELECT last_ms FROM batch WHERE seq = 7")
    for state, before, gone in [
        ("--delivered", lab.sql("SELECT last_ms FROM batch WHERE seq = 2")[0][0], [1]),
        ("--delivered", "2036-01-01", [2, 3, 4]),
        ("--undelivered", last_ms, [5, 6]),
        ("--undelivered", last_ms + 1, [7]),
    ]:
        there = seqs(lab)
        code, _, _ = await asyncio.to_thread(oc, "outbox", "forget", state, "--before", before, "--yes")
        assert (code, [seq for seq in there if seq not in seqs(lab)]) == (0, gone)
    async with lab.open() as store:
        assert (store.account().delivered, store.account().lost) == (240, {"forgotten": 180})
        await lab.check_account(store)


async def test_forget_delivered_never_takes_what_was_sealed_since_the_file_was_written(lab: Any, oc: Run) -> None:
    lab.outbox = OutboxSettings(commit_interval_s=3_600.0)
    async with lab.open() as store:
        await fill(lab, store, 3)
        store.mark_delivered([(1, 3)])
        await store._committer.commit()
        lab.read(store, 5)
        await lab.live(store, 1.5)
        assert (store.high, len(await lab.stored(store))) == (4, 5)
        async with control_server(lab.runtime, {}, {"forget": partial(carry_out, store)}):
            await asyncio.to_thread(oc, "outbox", "forget", "--delivered", "--seq", "1-99", "--yes")
        assert len(await lab.stored(store)) == 5
        assert store.account().lost == {}


async def test_many_ranges_go_in_several_orders(lab: Any, oc: Run, monkeypatch: Any) -> None:
    monkeypatch.setattr("agent.cli.outbox.forget.RANGES_AN_ORDER", 2)
    async with lab.open() as store:
        await fill(lab, store, 10)
        store.mark_delivered([(seq, seq) for seq in (2, 4, 6, 8)])
        await lab.live(store, 2.0)
    report = await asyncio.to_thread(found, oc, "outbox", "forget", "--undelivered", "--seq", "1-9", "--yes")
    assert report["forgotten"]["batches"] == {"batches": 5, "undelivered": 5, "readings": 300}
    assert seqs(lab) == [2, 4, 6, 8, 10]


async def test_forget_deletes_files_that_were_set_aside_but_none_that_is_being_salvaged(lab: Any, oc: Run) -> None:
    async with lab.open() as store:
        await fill(lab, store, 3)
        store._parts.damaged(sqlite3.DatabaseError("a bad page"))
        await store._committer.commit_due()
        names = {path.name for path in lab.data.glob("*.corrupt-*")}
        async with control_server(lab.runtime, {}, {"forget": partial(carry_out, store)}):
            code, out, err = await asyncio.to_thread(oc, "outbox", "forget", "--aside", "--yes")
            assert (code, out, "nothing like that" in err) == (0, "", True)
            assert {path.name for path in lab.data.glob("*.corrupt-*")} == names
            await lab.live(store, 4.0)
            code, out, _ = await asyncio.to_thread(oc, "outbox", "forget", "--aside")
            assert (code, all(f"would be deleted: {name}" in out for name in names)) == (1, True)
            code, out, _ = await asyncio.to_thread(oc, "outbox", "forget", "--aside", "--yes")
            assert (code, all(f"deleted: {name}" in out for name in names)) == (0, True)
            assert list(lab.data.glob("*.corrupt-*")) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "say what"),
        (["--undelivered"], "say what"),
        (["--before", "2026-11-23"], "with --before say"),
        (["--aside", "--seq", "1"], "--aside goes alone"),
        (["--seq", "x"], "write a number like 7"),
        (["--undelivered", "--before", "soon"], "--before soon: write a time"),
    ],
)
async def test_an_order_that_is_not_clear_is_not_carried_out(
    lab: Any, oc: Run, arguments: list[str], words: str
) -> None:
    await filled(lab)
    code, _, err = await asyncio.to_thread(oc, "outbox", "forget", *arguments, "--yes")
    assert (code, words in err, seqs(lab)) == (1, True, list(range(1, 13)))


async def test_what_keeps_forget_from_its_work_is_explained(lab: Any, oc: Run, monkeypatch: Any) -> None:
    await filled(lab)
    async with lab.open():  # an agent that does not answer holds the lock
        code, _, err = await asyncio.to_thread(oc, "outbox", "forget", "--seq", "5", "--yes")
        assert (code, "another oc-agent uses" in err) == (1, True)
    async with control_server(lab.runtime, {"status": lambda: 1}):
        code, _, err = await asyncio.to_thread(oc, "outbox", "forget", "--seq", "5", "--yes")
        assert (code, "the agent refuses: unknown verb" in err) == (1, True)
    async with lab.open() as store, control_server(lab.runtime, {}, {"forget": partial(carry_out, store)}):
        await store._parts.outbox._writer.execute("PRAGMA busy_timeout = 1")
        with closing(sqlite3.connect(lab.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            code, _, err = await asyncio.to_thread(oc, "outbox", "forget", "--seq", "5", "--yes")
            other.execute("ROLLBACK")
    assert (code, "the agent refuses" in err, "cannot be written now" in err) == (1, True, True)
    with closing(sqlite3.connect(lab.database)) as connection:
        connection.execute("PRAGMA user_version = 1")
    code, _, err = await asyncio.to_thread(oc, "outbox", "forget", "--delivered", "--before", "2027-01-01", "--yes")
    assert (code, "start the agent once" in err) == (1, True)
    assert seqs(lab) == list(range(1, 13))


def test_root_works_as_the_owner_of_the_outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[tuple[str, Any]] = []
    for name in ("setgroups", "setgid", "setuid"):
        monkeypatch.setattr(os, name, partial(lambda name, value: done.append((name, value)), name))
    path = tmp_path / "outbox.db"
    path.touch()

    class Owner:
        st_uid, st_gid = 990, 991

    monkeypatch.setattr(Path, "stat", lambda _: Owner)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    owner._become_owner(path)
    assert done == []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    owner._become_owner(path)
    assert done == [("setgroups", [991]), ("setgid", 991), ("setuid", 990)]
