"""`oc-agent outbox status` and `verify`: what a technician sees of a running agent, of a stopped one, of a copy."""

import asyncio
import shutil
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from outbox_cli import Run, found
from outbox_damage import fill, pages_of, spoil
from read_only import may_not_write, read_only_folder

from agent.cli.messages import set_language
from agent.clock import ClockState
from agent.control import control_server
from agent.forgetting import carry_out
from agent.store.checks import CHECK_KEY, picture_check
from agent.store.inspection.overview import Aside, files_aside


async def filled(lab: Any) -> None:
    """12 batches of 60 readings: 1 to 4 delivered, 5 refused, 6 forgotten; two readings wait for their batch."""
    async with lab.open() as store:
        await fill(lab, store, 12)
        store.mark_delivered([(1, 4)])
        store.mark_dead(5)
        await store.forget([(6, 6)])
        await lab.live(store, 3.0)


def forge(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)
        meta = dict(connection.execute("SELECT key, value FROM meta").fetchall())
        ranges = connection.execute("SELECT first, last FROM undelivered").fetchall()
        connection.execute("UPDATE meta SET value = ? WHERE key = ?", (picture_check(meta, ranges), CHECK_KEY))


async def test_the_account_of_a_stopped_agent_is_shown_with_the_limits_of_its_configuration(lab: Any, oc: Run) -> None:
    await filled(lab)
    status = found(oc, "outbox", "status")
    assert status["account"] == {
        "accepted": 720,
        "delivered": 240,
        "stored": 360,
        "waiting": 0,
        "lost": {"rejected": 60, "forgotten": 60},
    }
    assert (status["source"], status["file"], status["undelivered"], status["low"], status["dead"]) == (
        *("file", str(lab.database), 7, 7, 1),
    )
    assert (status["limit_bytes"], status["retention_days"], status["when_full"]) == (20_000_000, 30.0, "drop_oldest")
    assert status["bytes"] == lab.database.stat().st_size
    code, out, err = oc("outbox", "status")
    assert (code, err) == (0, "")
    for words in (
        "as the file says",
        "720 readings",
        "120 (forgotten 60, rejected 60)",
        "7 wait, from number 7",
        "of 20 MB",
    ):
        assert words in out
    assert "WRONG" not in out


async def test_a_running_agent_is_asked_and_knows_what_is_on_no_card_yet(lab: Any, oc: Run) -> None:
    async with lab.open() as store:
        await fill(lab, store, 2)
        lab.read(store, 3)
        answer = {"overview": store.overview(), "commit_failures": 2, "ram_disk": False}
        async with control_server(lab.runtime, {"outbox": lambda: answer}):
            status = await asyncio.to_thread(found, oc, "outbox", "status")
            _, out, _ = await asyncio.to_thread(oc, "outbox", "status")
        assert (status["source"], status["account"]["accepted"], status["account"]["waiting"]) == ("agent", 123, 3)
        assert (status["commit_failures"], status["ram_disk"]) == (2, False)
        for words in (
            "as the running agent says",
            "3 of them not in a batch yet",
            "2 commits have failed",
            "each batch is committed",
        ):
            assert words in out
        named = await asyncio.to_thread(found, oc, "outbox", "status", lab.database)
        assert (named["source"], named["account"]["accepted"], named["limit_bytes"]) == ("file", 120, None)


async def test_an_agent_that_does_not_know_the_question_is_told_to_be_restarted(lab: Any, oc: Run) -> None:
    await filled(lab)
    async with control_server(lab.runtime, {"status": lambda: 1}):
        code, _, err = await asyncio.to_thread(oc, "outbox", "status")
    assert (code, "restart the service" in err) == (1, True)


async def test_what_was_only_on_the_ram_disk_is_said(lab: Any, oc: Run) -> None:
    async with lab.open() as store:
        await fill(lab, store, 2)
        lab.read(store, 5)
        await store._committer.commit()
        lab.kill()
    _, out, _ = oc("outbox", "status")
    assert "5 were on the RAM disk only" in out
    assert "WRONG" not in out


async def test_readings_that_waited_for_the_clock_count_as_waiting(lab: Any, oc: Run) -> None:
    lab.clock.clock_state = ClockState.UNSYNC
    async with lab.open() as store:
        lab.read(store, 7)
        await lab.live(store, 4.0)
    account = found(oc, "outbox", "status")["account"]
    assert (account["accepted"], account["stored"], account["waiting"]) == (7, 7, 7)
    _, out, _ = oc("outbox", "status")
    assert "7, 7 of them not in a batch yet" in out
    assert "WRONG" not in out


async def test_an_account_that_does_not_add_up_is_called_wrong(lab: Any, oc: Run) -> None:
    await filled(lab)
    forge(lab.database, "UPDATE meta SET value = value + 1 WHERE key = 'delivered'")
    assert "WRONG" in oc("outbox", "status")[1]


async def test_files_that_were_set_aside_and_what_is_saved_of_them_are_shown(
    lab: Any, oc: Run, monkeypatch: Any
) -> None:
    monkeypatch.setattr("agent.store.damage.salvager.PORTION_BATCHES", 3)
    async with lab.open() as store:
        await fill(lab, store, 12)
        store._parts.damaged(sqlite3.DatabaseError("a bad page"))
        await store.step()
        assert [s.wanted for s in store.overview().salvages] == [9]
        lab.kill()
    status = found(oc, "outbox", "status")
    (salvage,) = status["salvages"]
    assert (salvage["wanted"], salvage["saved"], salvage["readings"], salvage["missing"]) == (9, 3, 180, 0)
    assert salvage["name"] in {aside["name"] for aside in status["aside"]}
    _, out, _ = oc("outbox", "status")
    assert "9 batches to look for, 3 saved, 0 cannot be read" in out
    assert "set aside" in out


@pytest.mark.parametrize("lang", ["en", "vi"])
async def test_the_screen_fits_80_columns_in_both_languages(lab: Any, oc: Run, lang: str) -> None:
    await filled(lab)
    for verb in ("status", "verify", "show"):
        _, out, _ = oc("outbox", verb, lang=lang)
        set_language("en")
        assert max(len(line) for line in out.splitlines() if str(lab.data) not in line) <= 80


async def test_a_new_empty_outbox_is_shown_as_empty(lab: Any, oc: Run) -> None:
    async with lab.open():
        lab.kill()
    assert found(oc, "outbox", "status")["account"]["accepted"] == 0
    assert "none waits" in oc("outbox", "status")[1]
    assert oc("outbox", "verify")[0] == 0


async def test_a_copy_with_its_wal_is_shown_without_a_configuration(lab: Any, oc: Run, tmp_path: Path) -> None:
    async with lab.open() as store:
        await fill(lab, store, 3)
        shutil.copytree(lab.data, tmp_path / "card", ignore=shutil.ignore_patterns("*-shm"))
    for file in (tmp_path / "card", tmp_path / "card" / "outbox.db"):
        status = found(partial(oc, "--config", tmp_path / "none.toml"), "outbox", "status", file)
        assert (status["account"]["accepted"], status["undelivered"]) == (180, 3)


async def test_a_copy_that_cannot_be_written_beside_is_read_and_said_how(lab: Any, oc: Run) -> None:
    oc("outbox", "status", lab.data)  # what it imports nobody may perhaps read
    with read_only_folder() as folder:
        async with lab.open() as store:
            await fill(lab, store, 3)
            for name in ("outbox.db", "outbox.db-wal"):
                shutil.copyfile(lab.data / name, folder / name)
        with may_not_write(folder):
            code, out, err = oc("outbox", "status", folder)
        assert (code, "180 readings" in out, "a temporary copy" in err) == (0, True, True)
        async with lab.open():
            pass
        (folder / "outbox.db-wal").unlink()
        shutil.copyfile(lab.database, folder / "outbox.db")
        with may_not_write(folder):
            code, out, err = oc("outbox", "verify", folder)
        assert (code, "sound" in out, "read as it is" in err) == (0, True, True)


async def test_verify_says_each_check_and_exits_0(lab: Any, oc: Run) -> None:
    await filled(lab)
    code, out, _ = oc("outbox", "verify")
    assert code == 0
    assert [line[:5].strip() for line in out.splitlines()] == ["ok"] * 7 + ["The f"]
    assert "720 accepted = 240 delivered + 360 stored + 120 lost" in out
    report = found(oc, "outbox", "verify")
    assert report["ok"]
    names = ["structure", "picture", "undelivered", "account", "stored", "rows", "payloads"]
    assert [check["check"] for check in report["checks"]] == names


FORGERIES = [
    ("UPDATE meta SET value = value + 9 WHERE key = 'delivered'", "9 more than were accepted"),
    ("UPDATE meta SET value = value - 9 WHERE key = 'delivered'", "9 are missing, and the agent was stopped in order"),
    ("UPDATE meta SET value = value - 9 WHERE key = 'stored'", "the account says 351 readings, there are 360"),
    ("DELETE FROM batch WHERE seq = 8", "without a row: 8"),
    ("INSERT INTO undelivered VALUES ('ioc', 99, 100)", "never given out: 99-100"),
    ("UPDATE meta SET value = '0123456789abcdef' WHERE key = 'epoch'", "not so: 1-5, 7-13"),
]


@pytest.mark.parametrize(("statement", "words"), FORGERIES)
async def test_verify_says_what_is_forged_and_exits_1(lab: Any, oc: Run, statement: str, words: str) -> None:
    await filled(lab)
    forge(lab.database, statement)
    code, out, _ = oc("outbox", "verify")
    assert code == 1
    assert words in out
    assert "FAIL" in out
    assert "NOT SOUND" in out
    assert not found(oc, "outbox", "verify")["ok"]


async def test_verify_names_changed_bytes_and_bad_pages(lab: Any, oc: Run) -> None:
    async with lab.open() as store:
        await fill(lab, store, 40)
    with closing(sqlite3.connect(lab.database)) as connection, connection:
        connection.execute("UPDATE batch SET last_ms = last_ms + 1 WHERE seq IN (2, 3)")
    spoil(lab.database, pages_of(lab.database, 20))
    code, out, _ = oc("outbox", "verify")
    assert code == 1
    for words in (
        "with other bytes than were written: 2-3",
        "on pages that cannot be read",
        "bad pages are among them",
    ):
        assert words in out
    with closing(sqlite3.connect(lab.database)) as connection, connection:
        connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'high'")
    code, out, _ = oc("outbox", "verify")
    assert "cannot be believed" in out
    code, out, err = oc("outbox", "status")
    assert (code, out) == (1, "")
    assert "oc-agent outbox salvage" in err


async def test_a_file_that_is_no_outbox_is_explained_in_both_languages(lab: Any, oc: Run, tmp_path: Path) -> None:
    await filled(lab)
    newer, other = tmp_path / "newer.db", tmp_path / "other.db"
    shutil.copy(lab.database, newer)
    with closing(sqlite3.connect(newer)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("CREATE TABLE song (title)")
    (tmp_path / "rubbish.db").write_bytes(b"x" * 9_000)
    headless = tmp_path / "headless.db"
    shutil.copy(lab.database, headless)
    spoil_head(headless)
    words = {
        newer: ("schema 99, this one knows up to 3", "cấu trúc 99"),
        other: ("no outbox of oc-agent", "không phải hộp gửi"),
        tmp_path / "rubbish.db": ("no SQLite file", "không phải tệp SQLite"),
        tmp_path / "none.db": ("no such file", "không có tệp"),
        headless: ("it is damaged", "bị hỏng"),
    }
    for path, (en, vi) in words.items():
        for verb in (["status"], ["show"], ["export"], ["verify"], ["salvage"]):
            arguments = [*verb, path, *([tmp_path / "new.db"] if verb == ["salvage"] else [])]
            code, _, err = await asyncio.to_thread(oc, "outbox", *arguments)
            assert (code, str(path) in err, en in err) == (1, True, True), (path, verb, err)
        assert vi in oc("outbox", "status", path, lang="vi")[2]
        set_language("en")


def spoil_head(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * 3_000)


async def test_a_file_that_is_held_is_said_so(lab: Any, oc: Run, monkeypatch: Any) -> None:
    await filled(lab)
    monkeypatch.setattr("agent.store.inspection.outbox_file.BUSY_TIMEOUT_S", 0.01)
    with closing(sqlite3.connect(lab.database, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("CREATE TABLE scratch (x)")
        code, _, err = oc("outbox", "status")
    assert (code, "another program holds it" in err) == (1, True)


def test_a_verb_without_its_own_verb_is_a_usage_error_and_help_of_each_can_be_read(oc: Run) -> None:
    assert oc("outbox")[0] == 2
    assert oc("outbox", "nonsense")[0] == 2
    for verb in ("status", "show", "export", "verify", "salvage", "forget"):
        code, out, _ = oc("outbox", verb, "--help")
        assert code == 0
        assert f"usage: oc-agent outbox {verb}" in out


async def test_a_live_file_is_verified_while_data_is_forgotten(lab: Any, oc: Run) -> None:
    async with lab.open() as store:
        await fill(lab, store, 8)
        async with control_server(lab.runtime, {}, {"forget": partial(carry_out, store)}):
            assert (await asyncio.to_thread(oc, "outbox", "forget", "--seq", "2-3", "--yes"))[0] == 0
            assert (await asyncio.to_thread(oc, "outbox", "verify"))[0] == 0


def test_a_file_that_vanishes_while_it_is_looked_at_is_left_out(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "outbox.db.corrupt-2").write_bytes(b"12345")
    there = [tmp_path / "outbox.db.corrupt-1", tmp_path / "outbox.db.corrupt-2"]
    monkeypatch.setattr("agent.store.inspection.overview.aside_files", lambda _: there)
    assert files_aside(tmp_path / "outbox.db") == [Aside("outbox.db.corrupt-2", 5)]
