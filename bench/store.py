"""What the store costs: bytes on the card, processor, time to open, memory with ten million readings, draining.

The real store on real files, with the clock of the bench: an hour of 20 devices x 100 points at 1 Hz passes in about a
minute. Bytes on the card are what the kernel was given to write (`write_bytes` of /proc/self/io; see proc(5)), so the
data folder must not be on a RAM disk, and the journal must be on one.
"""

import argparse
import asyncio
import json
import resource
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

from agent.clock import NS_PER_MS, NS_PER_S, ClockState
from agent.model import Batch, Scan
from agent.settings import OutboxSettings
from agent.store import Store, StoreConfig, open_store
from drivers.api import Reading

DEVICES, POINTS = 20, 100
GRAIN_S = 0.25


class BenchClock:
    """Time that passes when the bench says so."""

    boot_id = "11111111-2222-3333-4444-555555555555"

    def __init__(self) -> None:
        self.now_ns = 1_000 * NS_PER_S

    def mono_ns(self) -> int:
        return self.now_ns

    def wall_ms(self) -> int:
        return 1_795_432_000_000 + self.now_ns // NS_PER_MS

    def state(self) -> ClockState:
        return ClockState.SYNC


class Cost(NamedTuple):
    """Of a stretch of work: bytes for the card, CPU seconds, wall seconds."""

    card_bytes: int
    cpu_s: float
    wall_s: float

    @classmethod
    def now(cls) -> "Cost":
        used = resource.getrusage(resource.RUSAGE_SELF)
        return cls(_io()["write_bytes"], used.ru_utime + used.ru_stime, time.monotonic())

    def since(self, before: "Cost") -> "Cost":
        return Cost(*(a - b for a, b in zip(self, before, strict=True)))


class Bench:
    """One store in folders of its own; its readings are 16-bit numbers that walk, each a little, each second.

    `rows`: whether the IOC reads them (contract, payloads).
    """

    def __init__(self, data: Path, runtime: Path, *, rows: bool) -> None:
        self._rows = rows
        self._config = StoreConfig(
            gateway="bench",
            data_dir=data,
            runtime_dir=runtime,
            outbox=OutboxSettings(max_bytes=20_000_000_000),
            hold_unsynced_s=0.0,
            config_hash="00000000",
        )
        self.clock = BenchClock()
        self._random = Random(1)
        self._values = [[self._random.randrange(65_536) for _ in range(POINTS)] for _ in range(DEVICES)]

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        async with open_store(self._config, self.clock, self._random) as store:
            store.allow_rows(allowed=self._rows)
            yield store

    async def live(self, store: Store, seconds: int) -> int:
        """Read every device once a second; gives the readings."""
        for _ in range(seconds):
            for device, values in enumerate(self._values):
                now_ns = self.clock.mono_ns()
                for point in range(POINTS):
                    values[point] = (values[point] + self._random.randrange(-3, 4)) & 0xFFFF
                readings = [Reading(f"r{point:03d}", value, now_ns) for point, value in enumerate(values)]
                store.append(Scan(f"dev-{device:02d}", now_ns, readings))
            for _ in range(round(1 / GRAIN_S)):
                self.clock.now_ns += round(GRAIN_S * NS_PER_S)
                await store.step()
        return seconds * DEVICES * POINTS


async def measure(folder: Path, ram: Path, seconds: int, stored: int, *, rows: bool) -> dict[str, float]:
    """Online, then an outage, then as many as `stored` readings waiting, a new start, and the draining of a million."""
    bench, found = Bench(folder / "data", ram, rows=rows), {}
    async with bench.store() as store:
        wire: list[int] = []

        def delivered(batch: Batch) -> None:
            wire.append(len(batch.payload))
            store.mark_delivered([(batch.seq, batch.seq)])

        store.on_sealed = delivered
        readings = await bench.live(store, seconds)  # the WAL has its full length after this
        found["wire_bytes_per_reading"] = sum(wire) / readings
        for phase in ("online", "offline"):
            before = Cost.now()
            readings = await bench.live(store, seconds)
            cost = Cost.now().since(before)
            found[f"card_bytes_per_reading_{phase}"] = cost.card_bytes / readings
            found[f"cpu_s_per_1000_readings_{phase}"] = 1000 * cost.cpu_s / readings
            store.on_sealed = None
        found["rss_mb_after_outage"] = _rss_mb()
        while store.account().stored < stored:
            await bench.live(store, 60)
        found["readings_stored"] = store.account().stored
        found["rss_mb_all_stored"] = _rss_mb()
    started = time.monotonic()
    async with bench.store() as store:
        first = await store.pending(0, 20, 1_000_000)
        found["s_from_opening_to_the_oldest_batch"] = time.monotonic() - started
        sent, at, longest_s, started = 0, 0, 0.0, time.monotonic()
        while sent < 1_000_000:
            asked = time.monotonic()
            batches = await store.pending(at, 20, 1_000_000)
            longest_s = max(longest_s, time.monotonic() - asked)
            sent, at = sent + sum(batch.readings for batch in batches), batches[-1].seq
            store.mark_delivered([(batches[0].seq, at)])
        found["s_to_drain_a_million"] = time.monotonic() - started
        found["s_longest_look_for_a_portion"] = longest_s
        assert first
    return found


def _io() -> dict[str, int]:
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return {key: int(value) for key, value in (line.split(": ") for line in lines)}


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="of each phase, in the clock of the bench")
    parser.add_argument("--stored", type=int, default=10_000_000, help="readings that wait at the new start")
    parser.add_argument("--names", action="store_true", help="the IOC does not say that it reads rows")
    args = parser.parse_args()
    rss_mb = _rss_mb()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(dir="/dev/shm") as ram:
        found = asyncio.run(measure(Path(folder), Path(ram), args.seconds, args.stored, rows=not args.names))
    print(json.dumps({"rss_mb_before": rss_mb} | {key: round(value, 5) for key, value in found.items()}, indent=2))


if __name__ == "__main__":
    main()
