"""Whatever page of the outbox is bad when the agent starts: it starts, sets the file aside where it must, runs on."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from agent.settings import OutboxSettings

PAGE = 4096


def spoil(database: Path, *names: str) -> None:
    """Overwrite the first page of these tables or indexes, in the file itself."""
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        roots = dict(connection.execute("SELECT name, rootpage FROM sqlite_master ORDER BY name").fetchall())
    with database.open("r+b") as file:
        for name in names:
            file.seek((roots[name] - 1) * PAGE)
            file.write(b"\xa5" * PAGE)


@pytest.mark.parametrize("end", ["kill", "cut", "cut_keeping_the_journal"])
@pytest.mark.parametrize(
    "names",
    [("batch",), ("batch_last_ms",), ("unsealed",), ("undelivered",), ("meta",), ("meta", "batch")],
    ids="+".join,
)
async def test_a_bad_page_of_any_kind_stops_no_start(lab: Any, names: tuple[str, ...], end: str) -> None:
    lab.outbox = OutboxSettings(batch_interval_s=5.0)
    async with lab.open() as store:
        on_card = lab.read(store, 3)
        await lab.live(store, 10.0)
        on_card += lab.read(store, 3)
        await lab.live(store, 5.0)
        in_journal = lab.read(store, 3)
        await lab.live(store, 4.0)
        lab.kill() if end == "kill" else lab.cut_power(keep_runtime=end != "cut")
    spoil(lab.database, *names)
    async with lab.open() as store:
        assert store.account().balanced
        new = lab.read(store, 3)
        await lab.live(store, 8.0)
        assert await store.flush()
        await lab.salvaged(store)
        stored = await lab.stored(store)
        assert len(stored) == len(set(stored)), "a reading is in two batches"
        expected = {*new, *(in_journal if end != "cut" else ())} | (set() if "batch" in names else set(on_card))
        assert set(stored) >= expected
        await lab.check_account(store)


async def test_a_bad_page_that_a_clean_stop_meets_costs_nothing_of_what_was_not_on_the_card_yet(lab: Any) -> None:
    async with lab.open() as store:
        lab.read(store, 3)
        await lab.live(store, 4.0)
        spoil(lab.database, "batch")
        numbers = lab.read(store, 3)
    lab.cut_power()
    async with lab.open() as store:
        await lab.live(store, 2.0)
        assert await lab.stored(store) == numbers
