"""A file that is damaged when it is opened: what was not sealed yet goes on, or is declared; and only damage is damage."""

import asyncio
import errno
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from card_lab import CardLab
from card_model import OperationLog
from faulty_card import NEEDED, FaultyCard, can_be_had
from outbox_damage import checkpointed, spoil

from agent.settings import OutboxSettings
from agent.store import StoreError
from agent.store.sqlite_errors import is_damaged

NOT_YET_SEALED = 5


async def cut_while_readings_wait(lab: Any, *, keep_runtime: bool = False) -> int:
    """4 readings and an event are sealed, 5 readings and no event wait; gives when those were read (ms)."""
    lab.outbox = OutboxSettings(batch_interval_s=60, archive_interval_s=5.0)
    async with lab.open() as store:
        lab.read(store, 4)
        await lab.live(store, 66.0)
        lab.event(store)
        await lab.live(store, 2.0)
        read_ms: int = lab.clock.wall_ms()
        lab.read(store, NOT_YET_SEALED)
        await lab.live(store, 4.0)
        assert store.account().waiting == NOT_YET_SEALED
        lab.cut_power(keep_runtime=keep_runtime)
    lab.clock.wall_at_zero_ms += 86_400_000
    checkpointed(lab.database)
    return read_ms


def spoil_table(path: Path, name: str) -> None:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        sql = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        ((root,),) = connection.execute(sql, (name,)).fetchall()
    spoil(path, [root - 1])


def change_meta(path: Path, key: str, sql: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"UPDATE meta SET value = {sql} WHERE key = ?", (key,))


@pytest.mark.parametrize("keep_runtime", [False, True])
@pytest.mark.parametrize("what", ["undelivered", "a counter"])
async def test_what_waited_unsealed_in_a_file_damaged_at_opening_is_sealed_with_its_time(
    lab: Any, what: str, *, keep_runtime: bool
) -> None:
    read_ms = await cut_while_readings_wait(lab, keep_runtime=keep_runtime)
    if what == "undelivered":
        spoil_table(lab.database, "undelivered")
    else:
        change_meta(lab.database, "accepted", "value + 1")
    for _ in range(2):
        async with lab.open() as store:
            await lab.live(store, 8.0)
            assert sorted(await lab.stored(store)) == list(range(1, 10))
            assert len(await lab.events(store, "device.down")) == 1
            found = [lab.decoded(batch) for batch in await lab.undelivered(store)]
            waited = [batch for batch in found for scan in batch.get("scans", ()) if scan["values"]["n"] > 4]
            assert {scan["time_ms"] for batch in waited for scan in batch["scans"]} == {read_ms}
            if not keep_runtime:
                assert {batch["clock"] for batch in waited} == {"unsync"}, "no checksum vouches for the time"
            await lab.check_account(store)
            assert (store.account().accepted, store.account().lost) == (9, {})
            assert not await lab.events(store, "data.lost")


@pytest.mark.parametrize("what", ["meta", "scan_cursor", "anchors"])
async def test_what_waited_unsealed_and_cannot_be_placed_is_lost_in_the_account_and_declared(
    lab: Any, what: str
) -> None:
    await cut_while_readings_wait(lab)
    if what == "meta":
        spoil_table(lab.database, "meta")
    elif what == "scan_cursor":
        change_meta(lab.database, "scan_cursor", "value + 1")
    else:
        change_meta(lab.database, "anchors", "'{}'")
    for _ in range(2):
        async with lab.open() as store:
            await lab.live(store, 8.0)
            assert await lab.stored(store) == [1, 2, 3, 4]
            (lost,) = await lab.events(store, "data.lost")
            assert (lost["reason"], lost["readings"], lost.get("ranges")) == ("store_corrupt", NOT_YET_SEALED, None)
            await lab.check_account(store)
            assert (store.account().accepted, store.account().lost) == (9, {"store_corrupt": NOT_YET_SEALED})


async def test_pieces_that_cannot_be_read_are_declared_without_a_figure(lab: Any) -> None:
    await cut_while_readings_wait(lab)
    spoil_table(lab.database, "unsealed")
    async with lab.open() as store:
        await lab.live(store, 8.0)
        assert await lab.stored(store) == [1, 2, 3, 4]
        (lost,) = await lab.events(store, "data.lost")
        assert (lost["reason"], lost.get("readings")) == ("store_corrupt", None)
        await lab.check_account(store)


needs_card = pytest.mark.skipif(not can_be_had(), reason=NEEDED)
BEHIND_HEADER = 4096


async def some_batches(lab: Any) -> tuple[str, list[int]]:
    async with lab.open() as store:
        numbers = []
        for _ in range(10):
            numbers += lab.read(store, 3)
            await lab.live(store, 1.25)
        assert await store.flush()
        return store.epoch, numbers


@needs_card
@pytest.mark.parametrize("heals_at", [0, 1, 2, 5])
async def test_a_card_that_gives_an_error_for_a_moment_while_the_file_is_opened_costs_nothing(
    card_lab: CardLab, monkeypatch: pytest.MonkeyPatch, heals_at: int
) -> None:
    lab, naps, nap = card_lab, 0, asyncio.sleep
    epoch, numbers = await some_batches(lab)
    with FaultyCard(lab.data, OperationLog()).inserted() as card:
        card.faults.fail(errno.EIO, "read")
        card.faults.only, card.faults.beyond = "outbox.db*", BEHIND_HEADER

        async def sleep(_: float) -> None:
            nonlocal naps
            naps += 1
            if naps == heals_at:
                card.faults.heal()
            await nap(0)

        def seen(err: Exception) -> bool:
            if not heals_at:
                card.faults.heal()
            return is_damaged(err)

        with monkeypatch.context() as patched:
            patched.setattr(asyncio, "sleep", sleep)
            patched.setattr("agent.store.opening.is_damaged", seen)
            opening = lab.open()
            store = await opening.__aenter__()
        assert naps >= heals_at
        assert store.epoch == epoch
        assert await lab.stored(store) == numbers
        assert not list(lab.data.glob("*.corrupt-*"))
        await opening.__aexit__(None, None, None)


@needs_card
async def test_a_card_that_fails_while_batches_of_another_epoch_are_brought_over_loses_and_doubles_none(
    card_lab: CardLab,
) -> None:
    lab = card_lab
    epoch, numbers = await some_batches(lab)
    checkpointed(lab.database)
    spoil_table(lab.database, "undelivered")
    with FaultyCard(lab.data, OperationLog()).inserted() as card:
        async with lab.open() as store:
            assert store.epoch != epoch
            high = store.high
            card.faults.fail(errno.EIO, "write")
            await lab.live(store, 3.0)
            assert store.commit_failures
            assert store.account().balanced
            assert store.account().stored == 0
            card.faults.heal()
            await lab.live(store, 3.0)
            await lab.salvaged(store)
            assert await lab.stored(store) == numbers
            assert store.account().accepted == len(numbers)
            assert store.high < high + 20
            await lab.check_account(store)


REFUSALS: dict[str, tuple[int, str]] = {
    "eio-read": (errno.EIO, "read"),
    "another-error": (errno.ETIMEDOUT, "read"),
    "eacces": (errno.EACCES, "open"),
    "emfile": (errno.EMFILE, "open"),
    "eio-write": (errno.EIO, "write"),
}


@needs_card
@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
async def test_only_damage_is_damage_whatever_else_keeps_the_file_from_being_opened(
    card_lab: CardLab, refusal: tuple[int, Any]
) -> None:
    """The rest of the card is good, so a new file could be made: it must not be."""
    lab = card_lab
    epoch, numbers = await some_batches(lab)
    with FaultyCard(lab.data, OperationLog()).inserted() as card:
        card.faults.only = "outbox.db"
        card.faults.fail(*refusal)
        await opens_or_says_so(lab)
        card.faults.heal()
        await is_as_it_was(lab, epoch, numbers)


@pytest.mark.parametrize("locked", ["for writing", "for all"])
async def test_a_file_that_another_process_holds_is_not_damaged(
    lab: Any, monkeypatch: pytest.MonkeyPatch, locked: str
) -> None:
    epoch, numbers = await some_batches(lab)
    monkeypatch.setattr("agent.store.outbox.BUSY_TIMEOUT_S", 0.05)
    with closing(sqlite3.connect(lab.database, isolation_level=None)) as other:
        if locked == "for all":
            other.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        other.execute("BEGIN EXCLUSIVE")
        await opens_or_says_so(lab)
    await is_as_it_was(lab, epoch, numbers)


async def test_a_file_that_may_not_be_written_is_not_damaged(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    epoch, numbers = await some_batches(lab)

    async def refused(*_: Any) -> Any:
        err = sqlite3.OperationalError("attempt to write a readonly database")
        err.sqlite_errorcode = sqlite3.SQLITE_READONLY
        raise err

    with monkeypatch.context() as patched:
        patched.setattr("agent.store.opening.open_outbox", refused)
        await opens_or_says_so(lab)
    await is_as_it_was(lab, epoch, numbers)


async def opens_or_says_so(lab: Any) -> None:
    with suppress(StoreError):
        async with lab.open():
            pass


async def is_as_it_was(lab: Any, epoch: str, numbers: list[int]) -> None:
    assert not [path.name for path in lab.data.iterdir() if ".corrupt-" in path.name or ".new-" in path.name]
    async with lab.open() as store:
        assert store.epoch == epoch
        assert await lab.stored(store) == numbers
        assert not await lab.events(store, "store.corrupt")
        assert not await lab.events(store, "data.lost")
