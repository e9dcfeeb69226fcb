"""A process that is really killed, with SIGKILL, at random moments, one after another on the same files."""

import asyncio
import base64
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agent.clock import SystemClock
from agent.settings import OutboxSettings

ROUNDS = 10


class Victim:
    """A child that reads as fast as it can and writes down, after each step, what it was told is safe."""

    def __init__(self, lab: Any, log: Path) -> None:
        self.lab = lab
        self.log = log

    def live_and_die(self, seed: int, first: int) -> None:
        pid = os.fork()
        if pid == 0:
            try:
                asyncio.run(self._live(seed, first))
            finally:
                os._exit(1)
        try:
            until = time.monotonic() + 20
            while f'"open":{seed}' not in self._text():
                assert time.monotonic() < until, "the child did not open the store"
                time.sleep(0.002)
            time.sleep(Random(seed).uniform(0.0, 0.15))
        finally:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status), "the child ended before it was killed"

    def entries(self) -> Iterator[dict[str, Any]]:
        for line in self._text().splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue  # the line that it was writing when it was killed

    def _text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    async def _live(self, seed: int, first: int) -> None:
        random = Random(seed)
        log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

        def note(**entry: Any) -> None:
            os.write(log, ("\n" + json.dumps(entry, separators=(",", ":")) + "\n").encode())

        async with self.lab.open() as store:

            def sealed(batch: Any) -> None:
                note(sealed=batch.seq, payload=base64.b64encode(batch.payload).decode())
                if random.random() < 0.6:
                    late = batch.seq - random.choice([0, 0, 1, 5])
                    store.mark_delivered([(late, late)])
                    note(delivered=late)

            store.on_sealed = sealed
            self.lab.read_at_ns = dict.fromkeys(range(1, first))
            note(open=seed)
            running = asyncio.create_task(store.run())
            while not running.done():
                (number,) = self.lab.read(store, 1)
                note(accepted=number)
                await asyncio.sleep(0 if random.random() < 0.8 else 0.003)
            await running


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(2, 40))])
def test_a_reading_survives_kill_9_at_any_moment(lab: Any, tmp_path: Path, seed: int) -> None:
    lab.clock, lab.hold_unsynced_s, lab.random = SystemClock(), 0.0, Random(seed)
    lab.outbox = OutboxSettings(
        batch_interval_s=0.01, commit_interval_s=0.03 + 0.05 * (seed % 2), archive_interval_s=0.1
    )
    victim = Victim(lab, tmp_path / "log")
    for number in range(ROUNDS):
        known = [entry["accepted"] for entry in victim.entries() if "accepted" in entry]
        victim.live_and_die(1_000 * seed + number, max(known, default=0) + 2)
        asyncio.run(_check(lab, victim, settle=number % 3 == 0))
    asyncio.run(_check(lab, victim, settle=True))


async def _check(lab: Any, victim: Victim, *, settle: bool) -> None:
    """Nothing that was said to be safe is missing, nothing is in two batches, no number has two contents."""
    accepted: set[int] = set()
    delivered: set[int] = set()
    sealed = {seq: payload for (_, seq), payload in lab.sent.items()}
    for entry in victim.entries():
        if "accepted" in entry:
            accepted.add(entry["accepted"])
        elif "delivered" in entry:
            delivered.add(entry["delivered"])
        elif "sealed" in entry:
            payload = base64.b64decode(entry["payload"])
            assert sealed.setdefault(entry["sealed"], payload) == payload, "a number was used twice"
    async with lab.open() as store:
        if settle:
            await store.flush()
        pending = {batch.seq: batch.payload for batch in await lab.undelivered(store)}
        assert not delivered & set(pending), "what was marked delivered came back"
        assert all(pending.get(seq, payload) == payload for seq, payload in sealed.items())
        await lab.drain(store)
        account = store.account()
        assert account.balanced, account
        assert account.lost == {}
        if settle:
            pending = {batch.seq: batch.payload for batch in await lab.undelivered(store)}
            everything = {**sealed, **pending}
            numbers = sorted(n for payload in everything.values() for n in lab.values(payload))
            assert len(numbers) == len(set(numbers)), "a reading is in two batches"
            assert accepted <= set(numbers)
            assert account.accepted == account.delivered + sum(len(lab.values(p)) for p in pending.values())
