"""A card that takes seconds for a sync, and a file that another process holds: in real time, with the real loops."""

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from card_lab import CardLab
from card_model import Rename, Sync
from faulty_card import NEEDED, can_be_had
from processes import ready_line, started
from store_lab import Lab

from agent.clock import SystemClock
from agent.model import Batch
from agent.settings import OutboxSettings
from agent.store import Store

LONGEST_GAP_S = 0.5
"""So long may the event loop stand still on a busy machine. A sync that blocked it would take a multiple."""
HANDED_ON_S = 0.9
"""So long may a reading wait that is sealed each 0.1 s."""

HOLDER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("{}", flush=True)
time.sleep(600)
"""


@dataclass
class Running:
    """A store that runs in real time, is given a reading each 50 ms, and what was seen meanwhile."""

    lab: CardLab
    store: Store
    longest_gap_s: float = 0.0
    longest_wait_s: float = 0.0
    numbers: list[int] = field(default_factory=list)

    async def tick(self) -> None:
        loop = asyncio.get_running_loop()
        before = loop.time()
        while True:
            await asyncio.sleep(0.01)
            before, now = loop.time(), before
            self.longest_gap_s = max(self.longest_gap_s, before - now)

    async def read(self) -> None:
        while True:
            self.numbers += self.lab.read(self.store)
            assert self.store.is_alive()
            await asyncio.sleep(0.025)

    def handed_on(self, batch: Batch) -> None:
        self.lab.note(self.store, batch, handed_on=True)
        oldest = min(self.lab.values(batch.payload), default=None)
        if oldest is not None:
            waited_ns = self.lab.clock.mono_ns() - self.lab.read_at_ns[oldest]
            self.longest_wait_s = max(self.longest_wait_s, waited_ns / 1e9)

    def check(self) -> None:
        assert self.longest_gap_s < LONGEST_GAP_S
        assert self.longest_wait_s < HANDED_ON_S


@asynccontextmanager
async def running(lab: CardLab) -> AsyncIterator[Running]:
    lab.clock, lab.hold_unsynced_s = SystemClock(), 0.0
    lab.outbox = OutboxSettings(batch_interval_s=0.05, commit_interval_s=0.4, archive_interval_s=1.0)
    async with lab.open() as store:
        seen = Running(lab, store)
        store.on_sealed = seen.handed_on
        tasks = [asyncio.create_task(work) for work in (store.run(), seen.read(), seen.tick())]
        yield seen
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results), results


@pytest.mark.skipif(not can_be_had(), reason=NEEDED)
@pytest.mark.parametrize("delay_s", [1.0, pytest.param(5.0, marks=pytest.mark.soak)])
async def test_a_sync_of_seconds_blocks_neither_the_loop_nor_reading_nor_what_is_handed_on(
    card_lab: CardLab, delay_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = card_lab
    monkeypatch.setattr("agent.store.timetable.RESERVE_AHEAD", round(100 * delay_s))  # or it takes a minute to use them
    with lab.card() as card:
        async with running(lab) as seen:
            card.faults.sync_delay_s = delay_s
            before = len(lab.log.operations)
            async with asyncio.timeout(20 * delay_s):
                while not any(isinstance(operation, Rename) for operation in lab.log.operations[before:]):
                    await asyncio.sleep(0.05)
                assert sum(isinstance(operation, Sync) for operation in lab.log.operations[before:]) > 2
            seen.check()
            card.faults.heal()
    await check_all_on_card(lab, seen)


@pytest.mark.parametrize("seconds", [6.5, pytest.param(20.0, marks=pytest.mark.soak)])
async def test_while_another_process_holds_the_file_everything_goes_on_and_nothing_is_lost(
    card_lab: CardLab, tmp_path: Path, seconds: float
) -> None:
    lab = card_lab
    async with running(lab) as seen:
        command = [sys.executable, "-c", HOLDER, str(lab.database)]
        with started(command, tmp_path / "log") as holder:
            await asyncio.to_thread(ready_line, holder)
            at = len(seen.numbers)
            await asyncio.sleep(seconds)
            assert seen.store.commit_failures
            held = set(seen.numbers[at:-20])
            assert held
            assert not held & on_card(lab)
        async with asyncio.timeout(15):
            while not held <= on_card(lab):
                await asyncio.sleep(0.1)
        seen.check()
    await check_all_on_card(lab, seen)


async def check_all_on_card(lab: CardLab, seen: Running) -> None:
    async with lab.open() as store:
        assert await lab.stored(store) == seen.numbers
        account = store.account()
        assert account.balanced
        assert (account.accepted, account.lost) == (len(seen.numbers), {})


def on_card(lab: CardLab) -> set[int]:
    """The readings of the batches that are in the file."""
    with closing(sqlite3.connect(f"file:{lab.database}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT payload FROM batch ORDER BY seq").fetchall()
    return {number for (payload,) in rows for number in lab.values(payload)}


async def test_a_reading_that_comes_while_others_are_sealed_waits_no_longer_than_they_did(lab: Lab) -> None:
    lab.outbox = OutboxSettings(batch_interval_s=0.25)
    async with lab.open() as store:
        loop = asyncio.get_running_loop()
        # After the first batch, when the sealer lets others run, or as soon as it has found nothing more.
        store.on_sealed = lambda batch: batch.seq > 1 or loop.call_soon(loop.call_soon, lab.read, store)
        lab.read(store)
        await lab.live(store, 0.25)
        for _ in range(2):
            await asyncio.sleep(0)
        assert (store.high, store.account().waiting) == (1, 1)
        await lab.live(store, 0.25)
        assert store.high == 2
