"""A laboratory for the uplink: real store, publisher, broker and IOC, with proxies between them, and the whole account.

    store, publisher (this process) --- `way` --- mosquitto --- `ioc_way` --- oc-sim ioc (a process)

`finish` ends all faults and waits until everything has arrived; `check` holds what arrived against what was read.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, Final, Literal

from uplink_account import Arrivals, IocAccount, Truth, messages

from agent.clock import NS_PER_MS, ClockState
from agent.configuration import load_configuration
from agent.model import Event, Result
from agent.running import store_config
from agent.store import Store, open_store
from agent.uplink.publisher import Publisher
from agent.uplink.state import Tuning
from simulators.ioc.report import Report
from simulators.proxy.faults import Fault
from simulators.testing import Bench, BenchBroker, BenchIoc, BrokerOptions, Way

Protocol = Literal["5", "3.1.1"]
QUIET_S: Final = 120.0
CONFIG: Final = """\
[gateway]
id = "dng-hc-01"
data_dir = "{data}"
runtime_dir = "{runtime}"
[site]
oc = "oc-haichau"
[uplink]
host = "127.0.0.1"
port = {port}
tls = false
protocol = "{protocol}"
connect_timeout_s = 0.6
keepalive_s = 5
resend_s = 1.0
[outbox]
commit_interval_s = 1.0
batch_interval_s = {batch_interval_s}
archive_interval_s = 3.0
"""


class SteadyClock:
    """The machine's monotonic clock, and a wall clock that nobody sets: each reading has a time that is known.

    The wall clock stands still between two looks at the other one: else two looks a moment apart, as the store takes
    them, may differ by a millisecond.
    """

    boot_id = "11111111-2222-3333-4444-555555555555"

    def __init__(self) -> None:
        self._offset_ms = time.time_ns() // NS_PER_MS - time.monotonic_ns() // NS_PER_MS
        self._now_ns = time.monotonic_ns()

    def mono_ns(self) -> int:
        self._now_ns = time.monotonic_ns()
        return self._now_ns

    def wall_ms(self) -> int:
        return self.time_ms(self._now_ns)

    def time_ms(self, mono_ns: int) -> int:
        return self._offset_ms + mono_ns // NS_PER_MS

    def state(self) -> ClockState:
        return ClockState.SYNC


@dataclass
class UplinkLab:
    """Everything, and what has happened to it so far. `ioc_uncut`: the IOC's own connection was never cut."""

    random: Random
    truth: Truth
    store: Store
    publisher: Publisher
    broker: BenchBroker
    way: Way
    ioc_way: Way
    ioc: BenchIoc
    sent: Arrivals
    arrived: Arrivals
    protocol: Protocol
    reading: "asyncio.Task[None]" = field(init=False)
    ioc_uncut: bool = True
    broker_runs: bool = True
    began_s: float = field(default_factory=time.monotonic)
    so_far: list[str] = field(default_factory=list)
    reported: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)

    def tell(self, what: str) -> None:
        """Remember what happens, for whom must find out why it failed."""
        self.so_far.append(f"{time.monotonic() - self.began_s:7.2f} s  {what}")

    def report(self, event: Event) -> None:
        """The uplink has something to say about itself."""
        self.reported.append(event.type)
        self.store.append_event(event)

    def answer(self, result: Result) -> None:
        """A replay has its result."""
        self.answered.append(result.id)
        self.store.append_result(result)

    async def read_for_ever(self) -> None:
        """Read one scan after another."""
        while True:
            await self.some_time(0.001, 0.005)
            self.truth.read(self.store)

    async def some_time(self, least_s: float, most_s: float) -> None:
        await asyncio.sleep(self.random.uniform(least_s, most_s))

    async def until(self, condition: Callable[[], Any], seconds: float, what: str) -> None:
        end_s = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end_s, f"not within {seconds:g} s: {what}; {self._state()}"
            await asyncio.sleep(0.02)

    async def cuts(self, count: int) -> None:
        """Wait until the faults of the way have ended so many more connections."""
        goal = self.way.cuts + count
        await self.until(lambda: self.way.cuts >= goal, 3.0 * count + 10.0, f"{count} cuts")

    async def restart_broker(self, away_s: float) -> None:
        """Kill it; everything that was retained is gone."""
        self.tell(f"broker killed for {away_s:.2f} s")
        self.ioc_uncut = self.broker_runs = False
        await asyncio.to_thread(self.broker.kill)
        await asyncio.sleep(away_s)
        await self._start_broker()

    async def restart_ioc(self, away_s: float, *, kill: bool) -> None:
        """End it, in order or without a word, and start it again after a while."""
        await self.end_ioc(kill=kill)
        await asyncio.sleep(away_s)
        await self.start_ioc()

    async def end_ioc(self, *, kill: bool) -> None:
        self.tell(f"IOC {'killed' if kill else 'stopped'}")
        self.ioc_uncut = False
        await asyncio.to_thread(self.ioc.kill if kill else self.ioc.stop)

    async def start_ioc(self) -> None:
        self.tell("IOC started")
        await asyncio.to_thread(self.ioc.start)

    async def wait_delivered(self) -> None:
        """Everything that is sealed has arrived, and its readings are counted."""
        await self.until(lambda: not self.store.stats().undelivered, QUIET_S, "everything has arrived")

    async def finish(self) -> Report:
        """End all faults, wait until all has arrived, stop in order; gives the IOC's last report."""
        self.tell("all faults end")
        self.reading.cancel()
        await asyncio.wait([self.reading])
        self.way.heal()
        self.ioc_way.heal()
        await self._start_broker()
        await asyncio.to_thread(self.ioc.start)
        await self.store.flush()
        await self.wait_delivered()
        await self.until(lambda: not self.store.account().stored, QUIET_S, "all that has arrived is counted")
        await self.publisher.drain()
        if self.ioc_uncut:
            await self._wait_taken()
        return await asyncio.to_thread(self.ioc.stop)

    def check(self, report: Report, *, dead: bool = False) -> IocAccount:
        """Nothing lost, nothing wrong, nothing twice, every account agrees. `dead`: some were refused for good."""
        account = self.store.account()
        assert account.balanced, account
        assert account.stored == 0, account
        assert set(account.lost) == ({"rejected"} if dead else set()), account
        ioc = IocAccount(self.ioc, report)
        ioc.check_readings(self.truth, account)
        ioc.check_events(self.truth, lost=dead)
        ioc.check_numbers(self.store, lost=dead)
        ioc.check_duplicates(self.arrived, uncut=self.ioc_uncut)
        assert self.sent.changed == self.arrived.changed == [], "a resend had other bytes"
        return ioc

    def figures(self) -> str:
        """What was done, in one line."""
        took_s, account = time.monotonic() - self.began_s, self.store.account()
        done = ", ".join(f"{name} {count}" for name, count in sorted(self.way.done.items()) if count)
        return (
            f"{self.way.cuts} cuts in {took_s:.0f} s ({self.way.cuts / took_s:.1f}/s): {done}; "
            f"{self.way.connections} connections, {self.store.high} batches, {account.accepted} readings, "
            f"sent again {self.sent.again}, duplicates at the IOC {self.arrived.again}"
        )

    async def _wait_taken(self) -> None:
        """The IOC has taken all that has reached it, and the broker has nothing more for it."""
        end_s, passed = time.monotonic() + QUIET_S, -1
        while self.arrived.counts.total() != passed or messages(self.ioc).total() != passed:
            assert time.monotonic() < end_s, f"the IOC has not taken all of {passed} messages"
            passed = self.arrived.counts.total()
            await asyncio.sleep(0.2)

    async def _start_broker(self) -> None:
        if not self.broker_runs:
            await asyncio.to_thread(self.broker.start)
            self.broker_runs = True

    def _state(self) -> str:
        stats = self.store.stats()
        return f"undelivered {stats.undelivered}, low {stats.low}, high {stats.high}, {self.publisher.state()}"


@asynccontextmanager
async def uplink_lab(
    folder: Path,
    runtime: Path,
    bench: Bench,
    *,
    seed: int,
    protocol: Protocol = "5",
    max_queued_messages: int = 100_000,
    batch_interval_s: float = 0.05,
    ack_every_s: float | None = 0.3,
    ioc_faults: Sequence[Fault] = (),
) -> AsyncIterator[UplinkLab]:
    """Everything runs; where the test fails it says the seed and what has happened so far."""
    random, clock = Random(seed), SteadyClock()
    truth, sent, arrived = Truth(random, clock.mono_ns, clock.time_ms), Arrivals("up"), Arrivals("down")
    broker = await asyncio.to_thread(bench.broker, BrokerOptions(max_queued_messages=max_queued_messages))
    way, ioc_way = broker.way(seed=seed, watch=sent.watch), broker.way(seed=seed + 1, watch=arrived.watch)
    ioc_way.meet(ioc_faults)
    file, data = folder / "agent.toml", folder / "data"
    text = CONFIG.format(
        data=data, runtime=runtime, port=way.port, protocol=protocol, batch_interval_s=batch_interval_s
    )
    file.write_text(text, encoding="utf-8")
    settings = load_configuration(file).settings
    ioc = await asyncio.to_thread(partial(bench.ioc, ioc_way, "--every", "3600", ack_every_s=ack_every_s))
    async with open_store(store_config(settings), clock, random) as store:
        tuning = Tuning(decide_s=0.1, barrier_s=1.0, silence_s=0.6)
        publisher = Publisher(settings, store, clock, lambda: _soon(random), random=random, tuning=tuning)
        store.on_sealed = publisher.on_sealed
        lab = UplinkLab(
            random, truth, store, publisher, broker, way, ioc_way, ioc, sent, arrived, protocol
        )  # fmt: skip
        publisher.notices.event, publisher.notices.result = lab.report, lab.answer
        async with _running(lab):
            try:
                yield lab
            except BaseException:
                print(f"\nseed {seed}, MQTT {protocol}; {lab.figures()}", *lab.so_far, sep="\n")
                raise


@asynccontextmanager
async def _running(lab: UplinkLab) -> AsyncIterator[None]:
    """Read, store and publish, until the context ends; what crashes ends the test."""
    async with asyncio.TaskGroup() as core:
        tasks = [core.create_task(work) for work in (lab.store.run(), lab.publisher.run())]
        lab.reading = core.create_task(lab.read_for_ever())
        try:
            yield
        finally:
            for task in (*tasks, lab.reading):
                task.cancel()


def _soon(random: Random) -> Iterator[float]:
    while True:
        yield random.uniform(0.01, 0.1)
