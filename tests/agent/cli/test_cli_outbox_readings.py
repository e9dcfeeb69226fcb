"""`oc-agent outbox show` and `export`: which batches and readings, and in what form."""

import csv
import json
import resource
import shutil
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from outbox_cli import Run, found
from outbox_damage import fill, pages_of, spoil

from agent.cli.outbox.export import _values
from agent.cli.outbox.selection import Selection
from agent.clock import ClockState
from agent.model import Scan
from agent.ranges import RangeSet
from agent.store.inspection.outbox_file import open_file
from drivers.api import Quality, Reading


@pytest.fixture(autouse=True)
def hanoi(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Local time is seven hours ahead of UTC."""
    monkeypatch.setenv("TZ", "Asia/Ho_Chi_Minh")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


async def days(lab: Any) -> list[int]:
    """Two devices, a batch each ten minutes, for three hours; gives the times of the batches."""
    lab.clock.wall_at_zero_ms = 1_795_431_600_000 - 1_000_000  # 2026-11-23T18:00+07:00
    times = []
    async with lab.open() as store:
        for _ in range(18):
            times.append(lab.clock.wall_ms())
            lab.read(store, 1, "aq-01")
            lab.read(store, 1, "wl-02")
            await lab.live(store, 1.25)
            lab.clock.advance(600 - 1.25)
        lab.event(store)
        await lab.live(store, 1.25)
        store.mark_delivered([(1, 6)])
        await lab.live(store, 3.0)
    return times


def rows_of(out: str) -> list[dict[str, str]]:
    return list(csv.DictReader(out.splitlines()))


async def test_show_lists_the_newest_batches_the_newest_last(lab: Any, oc: Run) -> None:
    await days(lab)
    code, out, err = oc("outbox", "show", "--limit", 3)
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()[1:]]
    assert [row[0] for row in rows] == ["17", "18", "19"]
    assert rows[0][1:5] == ["data", "2026-11-23T20:40:01", "20:40:00", "2"]
    assert (rows[2][1], rows[2][4]) == ("event", "0")
    report = found(oc, "outbox", "show", "--limit", 0)["batches"]
    assert [batch["seq"] for batch in report] == list(range(1, 20))
    assert [batch["seq"] for batch in report if batch["waiting"]] == list(range(7, 20))
    assert len(found(oc, "outbox", "show")["batches"]) == 19
    assert [line.split()[-1] for line in oc("outbox", "show", "--seq", "6-7")[1].splitlines()[1:]] == ["done", "waits"]


SELECTIONS: list[tuple[list[str], list[int]]] = [
    (["--seq", "3"], [3]),
    (["--seq", "17-99"], [17, 18, 19]),
    (["--undelivered", "--seq", "5-8"], [7, 8]),
    (["--from", "2026-11-23T20:40"], [17, 18, 19]),
    (["--to", "2026-11-23T18:10"], [1]),
    (["--from", "2026-11-23T18:10", "--to", "2026-11-23T18:30"], [2, 3]),
    (["--from", "2026-11-23T11:10Z", "--to", "2026-11-23T11:30:00+00:00"], [2, 3]),
    (["--from", "1795432200000", "--to", "1795433400000"], [2, 3]),
    (["--from", "2026-11-24"], []),
    (["--device", "wl-02", "--limit", "2"], [17, 18]),
    (["--device", "nobody"], []),
]


@pytest.mark.parametrize(("arguments", "seqs"), SELECTIONS)
async def test_show_lists_what_is_asked_for(lab: Any, oc: Run, arguments: list[str], seqs: list[int]) -> None:
    await days(lab)
    assert [batch["seq"] for batch in found(oc, "outbox", "show", *arguments)["batches"]] == seqs


async def test_show_gives_the_content_of_one_batch(lab: Any, oc: Run) -> None:
    await days(lab)
    code, out, _ = oc("outbox", "show", "--seq", 2, "--payload")
    content = json.loads(out)
    assert (code, content["seq"], content["gateway"]) == (0, 2, "dng-hc-01")
    assert [scan["device"] for scan in content["scans"]] == ["aq-01", "wl-02"]
    assert json.loads(oc("outbox", "show", "--seq", 19, "--payload")[1])["event"]["type"] == "device.down"
    for arguments, words in [
        (["--payload"], "--seq N"),
        (["--seq", "2-3", "--payload"], "--seq N"),
        (["--seq", "99", "--payload"], "no batch 99"),
    ]:
        code, out, err = oc("outbox", "show", *arguments)
        assert (code, out, words in err) == (1, "", True)


async def test_a_damaged_batch_is_never_shown(lab: Any, oc: Run) -> None:
    await days(lab)
    with closing(sqlite3.connect(lab.database)) as connection, connection:
        connection.execute("UPDATE batch SET readings = 3 WHERE seq = 18")
    code, out, err = oc("outbox", "show", "--limit", 2)
    assert (code, [line.split()[0] for line in out.splitlines()[1:]]) == (1, ["17", "19"])
    assert "damaged, not shown: 18" in err
    assert found(oc, "outbox", "show", "--limit", 2)["damaged"] == [[18, 18]]
    code, out, err = oc("outbox", "show", "--seq", 18, "--payload")
    assert (code, out, "does not fit its checksum" in err) == (1, "", True)


async def test_every_reading_comes_out_as_it_went_in(lab: Any, oc: Run) -> None:
    now_ns = lab.clock.mono_ns()
    readings = [
        Reading("level", 1.25, now_ns),
        Reading("count", 7, now_ns),
        Reading("rain", None, now_ns, Quality.NO_ANSWER, "01"),
        Reading("open", True, now_ns),
        Reading("name", 'a "b", c\nd', now_ns),
        Reading("pm25", 12.0, now_ns, Quality.CALIBRATING),
    ]
    async with lab.open() as store:
        store.append(Scan("wl-02", now_ns, readings))
        await lab.live(store, 1.25)
    at_ms = lab.clock.wall_at_zero_ms + now_ns // 1_000_000
    at = (
        (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms))
        .astimezone()
        .isoformat(timespec="milliseconds")
    )
    assert at.endswith("+07:00")
    code, out, err = oc("outbox", "export")
    assert (code, err) == (0, "6 readings\n")
    assert list(csv.reader(out.splitlines(keepends=True))) == [
        ["time", "device", "point", "value", "quality", "status", "seq", "clock"],
        [at, "wl-02", "level", "1.25", "", "", "1", "sync"],
        [at, "wl-02", "count", "7", "", "", "1", "sync"],
        [at, "wl-02", "rain", "", "com", "01", "1", "sync"],
        [at, "wl-02", "open", "true", "", "", "1", "sync"],
        [at, "wl-02", "name", 'a "b", c\nd', "", "", "1", "sync"],
        [at, "wl-02", "pm25", "12.0", "cal", "", "1", "sync"],
    ]
    lines = [json.loads(line) for line in oc("outbox", "export", "--format", "jsonl")[1].splitlines()]
    assert [line["value"] for line in lines] == [1.25, 7, None, True, 'a "b", c\nd', 12.0]
    first = {"time": at, "time_ms": at_ms, "device": "wl-02", "point": "level", "value": 1.25}
    assert lines[0] == first | {"quality": "", "status": "", "seq": 1, "clock": "sync"}
    assert oc("outbox", "export", "--json")[1] == oc("outbox", "export", "--format", "jsonl")[1]


EXPORTS: list[tuple[list[str], int, set[str]]] = [
    ([], 36, {"aq-01", "wl-02"}),
    (["--device", "aq-01"], 18, {"aq-01"}),
    (["--device", "aq-01", "--device", "wl-02"], 36, {"aq-01", "wl-02"}),
    (["--undelivered"], 24, {"aq-01", "wl-02"}),
    (["--from", "2026-11-23T19:00", "--to", "2026-11-23T20:00"], 12, {"aq-01", "wl-02"}),
    (["--from", "2026-11-23T19:00:00.001", "--to", "2026-11-23T20:00:00.001", "--device", "wl-02"], 6, {"wl-02"}),
    (["--seq", "4", "--undelivered"], 0, set()),
]


@pytest.mark.parametrize(("arguments", "count", "devices"), EXPORTS)
async def test_export_gives_what_is_asked_for(
    lab: Any, oc: Run, arguments: list[str], count: int, devices: set[str]
) -> None:
    await days(lab)
    rows = rows_of(oc("outbox", "export", *arguments)[1])
    assert (len(rows), {row["device"] for row in rows}) == (count, devices)
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)


async def test_a_window_cuts_a_batch_by_the_times_of_its_readings(lab: Any, oc: Run) -> None:
    async with lab.open() as store:
        for _ in range(4):
            lab.read(store, 1)
            lab.clock.advance(0.1)
        at_ms = lab.clock.wall_ms()
        await lab.live(store, 1.25)
    values = [row["value"] for row in rows_of(oc("outbox", "export", "--from", at_ms - 300, "--to", at_ms - 100)[1])]
    assert values == ["2", "3"]


async def test_a_file_of_version_1_has_no_index_and_gives_the_same(lab: Any, oc: Run, tmp_path: Path) -> None:
    await days(lab)
    shutil.copy(lab.database, tmp_path / "old.db")
    with closing(sqlite3.connect(tmp_path / "old.db")) as connection:
        connection.executescript(
            "DROP INDEX batch_last_ms; ALTER TABLE batch DROP COLUMN crc; PRAGMA user_version = 1;"
        )
    arguments = ["--from", "2026-11-23T19:00", "--to", "2026-11-23T20:00"]
    for verb in ("export", "show"):
        assert oc("outbox", verb, tmp_path / "old.db", *arguments)[1] == oc("outbox", verb, *arguments)[1]


async def test_damaged_batches_are_left_out_and_counted(lab: Any, oc: Run) -> None:
    async with lab.open() as store:
        await fill(lab, store, 40)
    with closing(sqlite3.connect(lab.database)) as connection, connection:
        connection.execute("UPDATE batch SET payload = X'7B' WHERE seq = 3")
    spoil(lab.database, pages_of(lab.database, 20))
    code, out, err = oc("outbox", "export")
    seqs = {int(row["seq"]) for row in rows_of(out)}
    assert code == 1
    assert {3, 20} & seqs == set()
    assert {1, 2, 4, 40} <= seqs
    assert "damaged and left out: 3, " in err
    assert f"{60 * len(seqs)} readings" in err


async def test_export_writes_a_new_file_for_its_owner_only(lab: Any, oc: Run, tmp_path: Path) -> None:
    await days(lab)
    target = tmp_path / "day.csv"
    code, out, _ = oc("outbox", "export", "--output", target)
    assert (code, out, len(rows_of(target.read_text(encoding="utf-8")))) == (0, "", 36)
    assert target.stat().st_mode & 0o777 == 0o600
    assert "is there already" in oc("outbox", "export", "--output", target)[2]
    assert "cannot be written" in oc("outbox", "export", "--output", tmp_path / "none" / "day.csv")[2]


async def test_a_full_disk_is_explained(lab: Any, oc: Run, tmp_path: Path) -> None:
    async with lab.open() as store:
        await fill(lab, store, 40)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, hard))
    try:
        code, _, err = oc("outbox", "export", "--output", tmp_path / "day.csv")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (code, f"{tmp_path / 'day.csv'}: it cannot be written" in err) == (1, True)


async def test_export_holds_a_portion_in_memory_and_not_the_file(lab: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("agent.store.inspection.outbox_file.PORTION_ROWS", 2)
    async with lab.open() as store:
        await fill(lab, store, 10)
    everything = Selection(seqs=None, devices=frozenset(), from_ms=None, to_ms=None, undelivered=False)
    with open_file(lab.database) as file:
        read = []
        chunks = file.chunks
        monkeypatch.setattr(file, "chunks", lambda ranges: (read.append(chunk) or chunk for chunk in chunks(ranges)))
        values = _values(file, everything, RangeSet())
        next(values)
        assert len(read) == 1
        assert sum(1 for _ in values) == 599


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "20261123T", "12", "9" * 30])
async def test_a_time_that_is_none_is_explained(lab: Any, oc: Run, text: str) -> None:
    await days(lab)
    code, _, err = oc("outbox", "export", "--from", text)
    assert (code, f"--from {text}" in err, "2026-11-23T14:00" in err) == (1, True, True)


@pytest.mark.parametrize("text", ["x", "0", "9-3", "1-2-3", "-4", "1" * 30])
async def test_a_number_that_is_none_is_explained(lab: Any, oc: Run, text: str) -> None:
    await days(lab)
    code, _, err = oc("outbox", "show", f"--seq={text}")
    assert (code, "write a number like 7" in err) == (1, True)


async def test_the_clock_of_a_batch_is_in_its_rows(lab: Any, oc: Run) -> None:
    lab.hold_unsynced_s = 0.0
    lab.clock.clock_state = ClockState.UNSYNC
    async with lab.open() as store:
        lab.read(store, 1)
        await lab.live(store, 2.0)
    assert rows_of(oc("outbox", "export")[1])[0]["clock"] == "unsync"
