"""After an outage: live data goes out at once while the backlog drains, and neither starves the other.

A real store that was filled before there was a broker, a real publisher, mosquitto, and the reference IOC as a process.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from uplink_lab import CONFIG, SteadyClock

from agent.clock import NS_PER_MS
from agent.configuration import load_configuration
from agent.model import Scan
from agent.running import store_config
from agent.store import Store, open_store
from agent.uplink.publisher import Publisher
from agent.uplink.state import Tuning
from drivers.api import Reading
from simulators.testing import Bench, BenchIoc

POINTS = 100
BATCH_INTERVAL_S = 0.5
LIVE_EVERY_S = 0.2
"""No part of the interval of batches: what is read as one becomes due goes with it, and so the number of them halves."""
QUIET_S = 1.5


@dataclass(frozen=True)
class Size:
    """How much waits, and how fast it may go. `min_live`: so many live batches must arrive while it drains."""

    readings: int
    backfill_readings_per_s: int
    within_s: float
    min_live: int


SHORT = Size(readings=60_000, backfill_readings_per_s=20_000, within_s=30, min_live=3)
DEFAULT_PACE = Size(readings=1_000_000, backfill_readings_per_s=20_000, within_s=120, min_live=60)
NO_PACE = Size(readings=1_000_000, backfill_readings_per_s=1_000_000, within_s=60, min_live=2)


@pytest.fixture
def runtime() -> Iterator[Path]:
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else None) as folder:
        yield Path(folder)


async def test_live_goes_out_while_a_backlog_drains_oldest_first(tmp_path: Path, runtime: Path, bench: Bench) -> None:
    await _drain(tmp_path, runtime, bench, SHORT)


@pytest.mark.soak
@pytest.mark.parametrize("size", [DEFAULT_PACE, NO_PACE], ids=["default pace", "no pace"])
async def test_live_p95_holds_while_a_million_readings_drain(
    tmp_path: Path, runtime: Path, bench: Bench, size: Size
) -> None:
    lateness = await _drain(tmp_path, runtime, bench, size)
    assert lateness["p95_s"] <= BATCH_INTERVAL_S + 2.0, lateness


async def _drain(folder: Path, runtime: Path, bench: Bench, size: Size) -> dict[str, float]:
    broker, clock = bench.broker(start=False), SteadyClock()
    text = CONFIG.format(
        data=folder / "data", runtime=runtime, port=broker.port, protocol="5", batch_interval_s=BATCH_INTERVAL_S
    )
    pace = f"backfill_readings_per_s = {size.backfill_readings_per_s}\n[outbox]"
    text = text.replace("resend_s = 1.0", "resend_s = 20.0").replace("[outbox]", pace)
    (folder / "agent.toml").write_text(text, encoding="utf-8")
    settings = load_configuration(folder / "agent.toml").settings
    async with open_store(store_config(settings), clock) as store, asyncio.TaskGroup() as core:
        running = [core.create_task(store.run())]
        await _fill(store, clock, size.readings)
        await asyncio.to_thread(broker.start)
        ioc = await asyncio.to_thread(bench.ioc, broker, "--every", "3600")
        publisher = Publisher(settings, store, clock, _soon, tuning=Tuning(decide_s=60.0))
        store.on_sealed = publisher.on_sealed
        waiting, began_s = store.high, time.monotonic()
        running.append(core.create_task(publisher.run()))
        live = core.create_task(_read_live(store, clock))
        async with asyncio.timeout(size.within_s):
            while store.low <= waiting:
                await asyncio.sleep(0.05)
        took_s = time.monotonic() - began_s
        live.cancel()
        await store.flush()
        async with asyncio.timeout(QUIET_S + 30):
            while store.stats().undelivered:
                await asyncio.sleep(0.05)
        await publisher.drain()
        for task in running:
            task.cancel()
        await asyncio.to_thread(ioc.stop)
        return _check(ioc, waiting, size, took_s, store.account().accepted)


async def _fill(store: Store, clock: SteadyClock, readings: int) -> None:
    scans = readings // POINTS
    began_ns = clock.mono_ns() - scans * NS_PER_MS
    for number in range(scans):
        at_ns = began_ns + number * NS_PER_MS
        store.append(Scan(f"c{number % 20}", at_ns, [Reading(f"p{p}", number + p, at_ns) for p in range(POINTS)]))
        if number % 50 == 0:
            await asyncio.sleep(0.002)
    await store.flush()


async def _read_live(store: Store, clock: SteadyClock) -> None:
    while True:
        now_ns = clock.mono_ns()
        store.append(Scan("live", now_ns, [Reading("n", now_ns, now_ns)]))
        await asyncio.sleep(LIVE_EVERY_S)


def _check(ioc: BenchIoc, waiting: int, size: Size, took_s: float, accepted: int) -> dict[str, float]:
    rows = ioc.query("SELECT seq, lane FROM message ORDER BY id")
    late = [seq for seq, lane in rows if seq <= waiting]
    assert late == sorted(late), "the oldest first"
    assert set(late) == set(range(1, waiting + 1))
    before_the_end = rows[: max(index for index, (seq, _) in enumerate(rows) if seq <= waiting)]
    live = [seq for seq, lane in before_the_end if lane == "data" and seq > waiting]
    assert len(live) >= size.min_live, "live data starved"
    assert ioc.query("SELECT count(*) FROM reading") == [(accepted,)]
    waits = [ms for (ms,) in ioc.query(LIVE_WAITS)]
    figures = {"p50_s": waits[len(waits) // 2] / 1000, "p95_s": waits[len(waits) * 95 // 100] / 1000}
    print(f"\n{size.readings} readings of backlog in {took_s:.1f} s; {len(waits)} live readings meanwhile: {figures}")
    return figures


LIVE_WAITS = """\
SELECT received_ms - time_ms FROM reading JOIN message ON message.id = message
WHERE device = 'live' AND lane = 'data' ORDER BY 1
"""


def _soon() -> Iterator[float]:
    while True:
        yield 0.05
