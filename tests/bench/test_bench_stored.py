"""`MemoryMax=64M` of the unit holds with ten million readings stored: undelivered, then drained, archived, let go.

The agent runs the plain work of the bench in a memory cgroup of that size. Its peak is printed.
"""

import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest
from gateways.recorder import Work
from gateways.rig import Rig, Unfit, build, rig
from gateways.scenes.steady import started
from memory_limit import memory_limit
from plain_work import AgentUnderTest, account_at_the_end, look

from agent.clock import NS_PER_MS, NS_PER_S, ClockState
from agent.control import ask_agent
from agent.model import Scan
from agent.settings import OutboxSettings
from agent.store import StoreConfig, open_store
from drivers.api import Reading

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(not shutil.which("cc"), reason="no C compiler: apt-get install gcc"),
]
LIMIT_BYTES = 64 * 1024 * 1024
"""`MemoryMax=` of systemd/oc-agent.service."""
STORED = 10_000_000
DEVICES, POINTS, STEPS = 20, 100, range(-3, 4)
LIVE = 10_000
"""So many readings may be on their way."""
TOO_SMALL_BYTES = 12 * 1024 * 1024
GROWTH_MB = 6.0
EMPTY_S, DRAIN_S, SHRINK_S, SETTLE_S = 65.0, 1_200.0, 300.0, 60.0


class PastClock:
    """An hour and more that passes as quickly as it can be written, and ends now."""

    boot_id = "11111111-2222-3333-4444-555555555555"

    def __init__(self, seconds: int) -> None:
        self.now_ns = 1_000 * NS_PER_S
        self._begin_ms = time.time_ns() // NS_PER_MS - 1000 * seconds - self.now_ns // NS_PER_MS

    def mono_ns(self) -> int:
        return self.now_ns

    def wall_ms(self) -> int:
        return self._begin_ms + self.now_ns // NS_PER_MS

    def state(self) -> ClockState:
        return ClockState.SYNC


async def fill(data: Path, runtime: Path, readings: int) -> None:
    """Have the store keep so many readings that nobody was sent; their devices are none of the recorder's."""
    seconds = readings // (DEVICES * POINTS)
    config = StoreConfig(
        gateway="bench",
        data_dir=data,
        runtime_dir=runtime,
        outbox=OutboxSettings(),
        hold_unsynced_s=0.0,
        config_hash="00000000",
    )
    clock, random = PastClock(seconds), Random(1)
    rows = [[random.randrange(65_536) for _ in range(POINTS)] for _ in range(DEVICES)]
    async with open_store(config, clock, random) as store:
        for _ in range(seconds):
            clock.now_ns += NS_PER_S
            for device, values in enumerate(rows):
                values[:] = [value + step for value, step in zip(values, random.choices(STEPS, k=POINTS), strict=True)]
                row = [Reading(f"r{point}", value, clock.now_ns) for point, value in enumerate(values)]
                store.append(Scan(f"_{device}", clock.now_ns, row))
            await store.step()
        await store.flush()
        assert store.account().stored >= seconds * DEVICES * POINTS


def kept(ready: Rig) -> int:
    """Readings in the file, delivered or not."""
    with closing(sqlite3.connect(f"file:{ready.site.card}/data/outbox.db?mode=ro", uri=True)) as file:
        return int(file.execute("SELECT total(readings) FROM batch").fetchone()[0])


class Watch:
    """How large the agent has been."""

    def __init__(self, ready: Rig) -> None:
        self._ready = ready
        self.largest_mb = 0.0

    def until(self, done: Callable[[], bool], seconds: float, what: str) -> float:
        """Look each second until something is so; gives the seconds that it took."""
        began_s = time.monotonic()
        while not done():
            assert time.monotonic() - began_s < seconds, f"not within {seconds:g} s: {what}"
            time.sleep(1.0)
            self.largest_mb = max(self.largest_mb, look(self._ready).rss_mb)
        return time.monotonic() - began_s


async def test_the_limit_of_the_unit_holds_with_ten_million_readings(tmp_path: Path) -> None:
    build(tmp_path)
    with memory_limit(LIMIT_BYTES) as limit, rig(AgentUnderTest(prefix=limit.prefix), Work(), tmp_path) as ready:
        started(ready)
        time.sleep(EMPTY_S)
        empty_mb = look(ready).rss_mb
        ready.stop()
        await fill(ready.site.card / "data", ready.site.ram / "fill", STORED)
        ready.record_anew()
        first_s, watch = started(ready), Watch(ready)
        drained_s = watch.until(lambda: _stored(ready) < LIVE, DRAIN_S, "everything is delivered")
        archived = kept(ready)
        ready.stop()
        with (ready.site.card / "agent.toml").open("a") as file:
            file.write("[outbox]\nmax_bytes = 10_000_000\n")
        ready.start()
        shrunk_s = watch.until(lambda: kept(ready) < STORED * 2 // 3, SHRINK_S, "the archive fits")
        reads = ready.truth.snapshot()
        lost = ready.recorder.settle(reads, SETTLE_S)
        account = account_at_the_end(ready)
        print(f"\nfirst value after {first_s:.2f} s, drained in {drained_s:.0f} s, within 10 MB in {shrunk_s:.0f} s")
        print(
            f"RSS {empty_mb:.1f} MB empty, {watch.largest_mb:.1f} MB at most; peak of the cgroup {limit.peak_mb:.1f} MB"
        )
        print(account)
        assert limit.kills == 0
        assert archived >= STORED
        assert not lost
        assert (ready.recorder.account.wrong, account["lost"]) == (0, {})
        assert account["accepted"] == account["delivered"] + account["stored"]
        assert watch.largest_mb - empty_mb <= GROWTH_MB


def test_a_limit_that_is_too_small_is_noticed(tmp_path: Path) -> None:
    build(tmp_path)
    with memory_limit(TOO_SMALL_BYTES) as limit:
        with rig(AgentUnderTest(prefix=limit.prefix), Work(), tmp_path) as ready, pytest.raises(Unfit):
            started(ready)
        assert limit.kills > 0


def _stored(ready: Rig) -> int:
    return int(ask_agent(ready.site.ram / "run", "live")["account"]["stored"])
