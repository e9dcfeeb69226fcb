"""The real store and a plain list side by side: Hypothesis looks for the shortest story in which they differ."""

import asyncio
import shutil
import sqlite3
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest
from fake_clock import FakeClock
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from store_lab import Lab

from agent.clock import NS_PER_S, ClockState
from agent.model import Scan
from agent.settings import OutboxSettings
from agent.store import Store
from agent.store.damage.damaged_file import read_chunk
from drivers.api import Reading

GRAIN_S = 0.25
KEPT_S = 3.0 + GRAIN_S
ROOM_BYTES = 500_000


class StoreMachine(RuleBasedStateMachine):
    """`read`, `delivered`, `forgotten`, `may_be_lost`: numbers of readings, as a plain list knows them."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = Path(tempfile.mkdtemp(prefix="oc-machine-"))
        self.ram = Path(tempfile.mkdtemp(prefix="oc-machine-", dir="/dev/shm"))
        self.lab = Lab(self.folder, self.ram, FakeClock(), hold_unsynced_s=0.0)
        self.stack = AsyncExitStack()
        self.store: Store
        self.read: list[int] = []
        self.delivered: dict[int, tuple[str, int]] = {}
        self.may_be_lost: set[int] = set()
        self.forgotten: set[int] = set()
        self.highest: dict[str, int] = {}
        self.padding = 0
        self.cuts = False

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @initialize(seed=st.integers(0, 2**16), interval_s=st.sampled_from([0.0, 1.0, 4.0]))
    def open_first(self, seed: int, interval_s: float) -> None:
        self.lab.random = Random(seed)
        self.lab.outbox = OutboxSettings(
            batch_interval_s=interval_s, archive_interval_s=10.0, max_bytes=ROOM_BYTES, retention_days=1.0
        )
        self.store = self.do(self.stack.enter_async_context(self.lab.open()))

    @rule(count=st.integers(1, 30))
    def append(self, count: int) -> None:
        self.read += self.lab.read(self.store, count)

    @rule(count=st.integers(50, 100))
    def fill(self, count: int) -> None:
        """Readings that do not compress: a few of these, and the file is full."""
        for number in self.lab.read(self.store, count):
            now_ns, text = self.lab.clock.mono_ns(), self.lab.random.randbytes(500).hex()
            self.store.append(Scan("pad", now_ns, [Reading("text", f"{number} {text}", now_ns)]))
            self.read.append(number)
        self.padding += count
        self.do(self.lab.live(self.store, 1.0, GRAIN_S))

    @rule()
    def append_event(self) -> None:
        self.lab.event(self.store)

    @rule(seconds=st.sampled_from([0.25, 1.0, 4.0, 11.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.do(self.lab.live(self.store, seconds, GRAIN_S))

    @rule()
    def seal_all(self) -> None:
        assert self.do(self.store.flush())

    @rule(choose=st.randoms(use_true_random=False))
    def deliver_out_of_order(self, choose: Random) -> None:
        batches = self.do(self.lab.undelivered(self.store))
        choose.shuffle(batches)
        for batch in batches[: choose.randint(0, len(batches))]:
            self.store.mark_delivered([(batch.seq, batch.seq)])
            self.delivered.update(dict.fromkeys(self.lab.numbers(batch), (self.store.epoch, batch.seq)))

    @rule(first=st.integers(1, 50), count=st.integers(0, 50))
    def deliver_what_nobody_named(self, first: int, count: int) -> None:
        """An acknowledgement of numbers above everything that was given out changes nothing."""
        self.store.mark_delivered([(self.store.high + first, self.store.high + first + count)])

    @rule(choose=st.randoms(use_true_random=False), span=st.integers(1, 4))
    def forget(self, choose: Random, span: int) -> None:
        batches = self.do(self.lab.undelivered(self.store))
        if not batches:
            return
        first = choose.choice(batches).seq
        gone = [batch for batch in batches if first <= batch.seq < first + span]
        full = self.store.account().lost.get("outbox_full", 0)
        forgotten = self.do(self.store.forget([(first, first + span - 1)]))
        if self.store.account().lost.get("outbox_full", 0) == full:  # else they had to go meanwhile
            assert forgotten.undelivered >= len(gone)
        self.forgotten.update(n for batch in gone for n in self.lab.numbers(batch))

    @rule()
    def kill(self) -> None:
        self.lab.kill()
        self._reopen()

    @rule(state=st.sampled_from([ClockState.SYNC, ClockState.UNSYNC]))
    def cut_power(self, state: ClockState) -> None:
        now_ns = self.lab.clock.mono_ns()
        kept = (n for n, at_ns in self.lab.read_at_ns.items() if (now_ns - at_ns) / NS_PER_S < KEPT_S)
        self.may_be_lost.update(kept)
        self.lab.cut_power()
        self.lab.clock.clock_state = state
        self.lab.read_at_ns = dict.fromkeys(self.lab.read_at_ns, -NS_PER_S * 3_600)
        self.cuts = True
        self._reopen()

    @rule()
    def stop_and_start(self) -> None:
        self._reopen()

    @rule()
    def set_the_file_aside(self) -> None:
        """A page goes bad that held nothing: the file is replaced, every batch is brought over."""
        self.store._parts.damaged(sqlite3.DatabaseError("a bad page"))
        self.do(self.lab.live(self.store, 2.0, GRAIN_S))

    @rule(step_ms=st.sampled_from([-86_400_000, -90_000, 90_000]))
    def step_the_clock(self, step_ms: int) -> None:
        self.lab.clock.wall_at_zero_ms += step_ms

    @rule()
    def expire(self) -> None:
        """Two days later: what was delivered is too old for the archive, what is undelivered never is."""
        before = self.do(self.lab.stored(self.store))
        dropped = self.store.account().lost.get("outbox_full", 0)
        self.lab.clock.wall_at_zero_ms += 2 * 86_400_000
        for _ in range(21):  # two checkpoints; a store in which nothing changes leaves its file alone
            self.append(1)
            self.do(self.lab.live(self.store, 1.0, 1.0))
        gone = set(before) - set(self.do(self.lab.stored(self.store)))
        assert len(gone) <= self.store.account().lost.get("outbox_full", 0) - dropped
        waiting = {batch.seq for batch in self.do(self.lab.undelivered(self.store))}
        if not self.store._ledger.salvages and self.lab.clock.clock_state is ClockState.SYNC:
            before_ms = self.lab.clock.wall_ms() - 86_400_000
            old = self.lab.sql("SELECT seq FROM batch WHERE last_ms < ?", before_ms)
            assert {seq for (seq,) in old} <= waiting

    @rule()
    def replay(self) -> None:
        """What is still in the archive has the bytes that were handed on."""
        found = read_chunk(self.lab.database, (1, max(1, self.store.high)), 10_000, 100_000_000)
        for row in found.rows:
            sent = self.lab.sent.get((self.store.epoch, row.seq))
            assert sent is None or sent == row.payload

    @precondition(lambda self: self.read)
    @invariant()
    def account_balances(self) -> None:
        account = self.store.account()
        assert account.balanced, account
        if not self.cuts:
            assert account.accepted == len(self.read) + self.padding
            assert set(account.lost) <= {"outbox_full", "forgotten"}, account

    @invariant()
    def numbers_only_rise(self) -> None:
        if hasattr(self, "store"):
            epoch, high = self.store.epoch, self.store.high
            assert high >= self.highest.get(epoch, 0) or self.store.low <= high + 1
            self.highest[epoch] = max(high, self.highest.get(epoch, 0))

    def teardown(self) -> None:
        try:
            if hasattr(self, "store"):
                self._check_all()
        finally:
            self.do(self.stack.aclose())
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()
            shutil.rmtree(self.folder)
            shutil.rmtree(self.ram)

    def _check_all(self) -> None:
        """Every reading is delivered or stored, once, but those that a power cut may have cost."""
        self.lab.clock.clock_state = ClockState.SYNC
        self.do(self.lab.live(self.store, 2.0, GRAIN_S))
        self.do(self.lab.salvaged(self.store))
        assert self.do(self.store.flush())
        stored = self.do(self.lab.stored(self.store))
        assert len(stored) == len(set(stored))
        assert not set(stored) & self.forgotten
        missing = set(self.read) - set(stored) - set(self.delivered) - self.forgotten
        dropped = self.store.account().lost.get("outbox_full", 0)
        assert len(missing - self.may_be_lost) <= dropped
        assert self.lab.database.stat().st_size <= 1.05 * ROOM_BYTES
        if not self.cuts:
            assert not set(stored) & set(self.delivered)
        self.do(self.lab.check_account(self.store))

    def _reopen(self) -> None:
        self.do(self.stack.aclose())
        self.stack = AsyncExitStack()
        self.store = self.do(self.stack.enter_async_context(self.lab.open()))


def _story(examples: int, steps: int, *, derandomize: bool) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=derandomize,
        database=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def test_the_store_and_a_plain_list_never_differ() -> None:
    run_state_machine_as_test(StoreMachine, settings=_story(60, 25, derandomize=True))


@pytest.mark.soak
def test_the_store_and_a_plain_list_never_differ_at_length() -> None:
    run_state_machine_as_test(StoreMachine, settings=_story(3_000, 40, derandomize=False))
