"""The timeline of a scenario played on real things, and the evidence that it leaves."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, NamedTuple

from simulators.faults.answers import SPOILS
from simulators.faults.schedule import Schedule
from simulators.host import FAULTS as HOST_FAULTS
from simulators.processes import ChildFailed
from simulators.scenario.doing import Doings
from simulators.scenario.evidence import Arrival, Evidence, Exit, Failure, Line, Usage
from simulators.scenario.expectations.process import Disk
from simulators.scenario.gathering import Tail, account_in, at_ioc, bytes_in, messages_at_ioc, twice
from simulators.scenario.machine import Runs
from simulators.scenario.placeholders import Places
from simulators.scenario.scenario import Scenario, SetKeys, Where
from simulators.scenario.timeline import Window
from simulators.scenario.uplink import Uplink
from simulators.values.script import follow_script
from simulators.world import Exchange, Served, World

WATCH_S: Final = 0.2
MEASURE_S: Final = 1.0
NOON_S: Final = 43_200.0
"""Every scenario begins at noon: its values do not depend on when it is run."""
QUIET_S: Final = 0.7
"""So long nothing new may come before all has arrived."""


_BY_PROXY: Final[Mapping[str, str]] = {
    "nack": "refused",
    "puback_lost": "puback lost",
    "ack_lost": "lost",
    "ack_late": "late",
    "ack_doubled": "doubled",
    "ack_stale": "stale",
}
"""Faults of messages, and how the proxy counts what it has done."""


@dataclass(frozen=True)
class Stage:
    """Everything that stands when the gateway starts. `say` tells a person what goes on."""

    scenario: Scenario
    places: Places
    machine: Runs
    uplink: Uplink
    say: Callable[[str], None]


class Happening(NamedTuple):
    """Something to do at a time, in seconds since the start of the gateway."""

    at_s: float
    what: str
    do: Callable[[], Coroutine[Any, Any, None]]


class Play:
    """One run. `world` is that of the devices: its time stands at 0 until the gateway starts."""

    def __init__(self, stage: Stage, windows: Mapping[Where, Sequence[Window]]) -> None:
        self._stage = stage
        self._windows = windows
        self._start_s: float | None = None
        self._start_ms = self._stop_ms = self._end_ms = 0
        self._host_lock = asyncio.Lock()
        self._host_faults: list[tuple[Window, AsyncExitStack]] = []
        self._served: list[Served] = []
        self._exchanges: list[Exchange] = []
        self._exits: list[Exit] = []
        self._output: list[Line] = []
        self._bytes_in: dict[str, list[tuple[int, int]]] = {}
        self._tails = Tail(stage.machine.stdout, "stdout"), Tail(stage.machine.stderr, "stderr")
        self._made_ms = now_ms()
        keys = stage.scenario.keys
        self.world = World(
            seed=keys.seed,
            elapsed_s=self.elapsed_s,
            record=self._served.extend,
            watch=self._exchanges.append,
            faults=Schedule(stage.scenario.on("site"), keys.seed),
            start_s=NOON_S,
        )

    def direct(self) -> None:
        """Let devices measure what the scenario says; call it when they stand. Raises `SiteError`, `BadValue`."""
        scenario = self._stage.scenario
        if (told := scenario.values) is not None:
            file = scenario.file.parent / told.file
            follow_script(file, self.world.values, interpolate=told.interpolate, loop=told.loop)
        for one in scenario.sets:
            self.world.values.find(one.device, one.name).understand(one.value)

    def elapsed_s(self) -> float:
        """Seconds since the start of the gateway; 0 before it."""
        return 0.0 if self._start_s is None else time.monotonic() - self._start_s

    async def run(self, argv: Sequence[str], env: Mapping[str, str], doings: Doings) -> None:
        """Start the gateway, let happen what happens, and have it end. Raises `ChildFailed`, `HostCannot`."""
        keys = self._stage.scenario.keys
        for one in self._stage.scenario.do:
            if one.at_s is None:
                self._stage.say(f"before    {one.run}")
                await doings.do(self._stage.places.fill(one.run))
        self._start_s, self._start_ms = time.monotonic(), now_ms()
        await self._stage.machine.start(argv, env)
        await self._play(keys.length_s, doings)
        self._stop_ms = now_ms()
        self._stage.say("the gateway is told to end")
        code = await self._stage.machine.terminate(keys.stop_s)
        self._end_ms = now_ms()
        if not self._exits or self._exits[-1].asked:
            self._exits.append(Exit(self._end_ms, code, asked=True))
        self._look(at_end=True)
        if failed := await doings.end():
            raise ChildFailed("; ".join(failed))

    async def settle(self) -> None:
        """Until nothing new has come for a while, or `arrive_s` is over."""
        end_s = time.monotonic() + self._stage.scenario.keys.arrive_s
        count, since_s = -1, time.monotonic()
        while time.monotonic() < end_s and time.monotonic() - since_s < QUIET_S:
            newest = self._count()
            if newest != count:
                count, since_s = newest, time.monotonic()
            await asyncio.sleep(WATCH_S)

    def evidence(self) -> Evidence:
        """All that was seen; call it when the IOC has ended."""
        stage, uplink = self._stage, self._stage.uplink
        windows = [window for found in self._windows.values() for window in found]
        evidence = Evidence(
            start_ms=self._start_ms,
            stop_ms=self._stop_ms,
            end_ms=self._end_ms,
            devices=stage.scenario.devices,
            served=self._served,
            asked_ms=_asked(self._exchanges),
            failures=[
                Failure(one.link, one.device, one.time_ms)
                for one in self._exchanges
                if not SPOILS.isdisjoint(one.faults)
            ],
            windows=windows,
            statuses=uplink.recorder.statuses,
            malformed=dict(uplink.recorder.malformed),
            account=account_in(self._output),
            exits=self._exits,
            output=self._output,
            usage=[_usage(self._made_ms, one) for one in stage.machine.usage()],
            bytes_in=self._bytes_in,
            shifts_ms=_shifts(self._windows.get("host", ())),
            done=_done(windows, self._exchanges, uplink.proxy.done),
        )
        return self._with_arrivals(evidence)

    def _with_arrivals(self, evidence: Evidence) -> Evidence:
        arrives, uplink = self._stage.scenario.arrives, self._stage.uplink
        if uplink.ioc is not None:
            found = at_ioc(uplink.ioc.database, uplink.ioc.pictures)
            evidence.arrivals, evidence.events = found.arrivals, found.events
            evidence.duplicates, evidence.changed = found.duplicates, found.changed
            evidence.at_ioc = found.readings
        elif arrives is not None:
            heard: Sequence[Arrival] = uplink.recorder.arrivals
            evidence.arrivals, evidence.contract = heard, False
            evidence.timed, evidence.tolerance = bool(arrives.time), arrives.tolerance
            if evidence.timed:
                evidence.duplicates, evidence.changed = twice(heard)
        return evidence

    async def _play(self, until_s: float, doings: Doings) -> None:
        happenings = sorted(self._happenings(doings), key=lambda one: one.at_s)
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch(), name="watch")
            for one in happenings:
                if await self._over_at(one.at_s):
                    break
                self._stage.say(f"{one.at_s:7.1f} s  {one.what}")
                tasks.create_task(one.do(), name=one.what)
            while not await self._over_at(until_s) and self.elapsed_s() < until_s:
                pass
            watching.cancel()

    async def _over_at(self, at_s: float) -> bool:
        """Wait for a time; True where the gateway has ended by itself before."""
        while (left_s := at_s - self.elapsed_s()) > 0 and not self._exits:  # noqa: ASYNC110 - whichever comes first
            await asyncio.sleep(min(left_s, WATCH_S))
        return bool(self._exits)

    def _happenings(self, doings: Doings) -> Iterator[Happening]:
        uplink = self._stage.uplink
        for told in self._stage.scenario.do:
            if told.at_s is not None:
                yield Happening(told.at_s, told.run, partial(self._do, doings, told.run))
        for window in self._windows.get("site", ()):
            yield Happening(window.begin_s, f"{window.fault}", _nothing)
        for window in self._windows.get("uplink", ()):
            yield Happening(window.begin_s, f"{window.fault}", partial(uplink.begin, window))
            if not window.fault.kind.moment and not window.lasts:
                yield Happening(window.end_s, f"{window.fault} is over", partial(uplink.end, window))
        for window in self._windows.get("host", ()):
            yield Happening(window.begin_s, f"{window.fault}", partial(self._begin_on_host, window))
            if not window.fault.kind.moment and not window.lasts:
                yield Happening(window.end_s, f"{window.fault} is over", partial(self._end_on_host, window))
        for one in self._stage.scenario.sets:
            yield Happening(one.at_s, f"{one.point} = {one.value}", partial(self._set, one))

    async def _begin_on_host(self, window: Window) -> None:
        fault = window.fault
        told = {name: fault[name] for name in fault.kind.parameters}
        if fault.kind.moment:
            told["back"] = 0
        async with self._host_lock:
            stack = AsyncExitStack()
            self._host_faults.append((window, stack))
            await stack.enter_async_context(HOST_FAULTS[fault.name](self._stage.machine, **told))

    async def _end_on_host(self, window: Window) -> None:
        async with self._host_lock:
            for one in [one for one in self._host_faults if one[0] is window]:
                await one[1].aclose()
                self._host_faults.remove(one)

    async def _do(self, doings: Doings, shell: str) -> None:
        await doings.start(self._stage.places.fill(shell))

    async def _set(self, one: SetKeys) -> None:
        self.world.values.set(one.device, one.name, one.value)

    async def _watch(self) -> None:
        measured_s = -MEASURE_S
        while True:
            self._look()
            if self.elapsed_s() - measured_s >= MEASURE_S:
                measured_s = self.elapsed_s()
                self._measure()
            self._notice_end()
            await asyncio.sleep(WATCH_S)

    def _look(self, *, at_end: bool = False) -> None:
        for tail in self._tails:
            self._output.extend(tail.lines(now_ms(), at_end=at_end))

    def _measure(self) -> None:
        for one in self._stage.scenario.expect:
            if isinstance(one, Disk):
                folder = self._stage.machine.inside(Path(self._stage.places.fill(one.folder)))
                self._bytes_in.setdefault(one.folder, []).append((now_ms(), bytes_in(folder)))

    def _notice_end(self) -> None:
        """It has ended, and nobody has asked it to."""
        machine = self._stage.machine
        if machine.exit_codes and not machine.running and not self._is_down() and not self._host_lock.locked():
            code = machine.exit_codes[-1]
            self._exits.append(Exit(now_ms(), code, asked=False))
            self._stage.say(f"the gateway has ended by itself, exit code {code}")

    def _is_down(self) -> bool:
        return any(window.fault.name in ("sigkill", "sigterm", "power_cut") for window, _ in self._host_faults)

    def _count(self) -> int:
        uplink = self._stage.uplink
        return messages_at_ioc(uplink.ioc.database) if uplink.ioc is not None else uplink.recorder.messages


def now_ms() -> int:
    """The wall clock of the tester."""
    return time.time_ns() // 1_000_000


async def _nothing() -> None:
    """Devices do it by themselves."""


def _asked(exchanges: Sequence[Exchange]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for one in exchanges:
        if one.request:
            found.setdefault(one.device, []).append(one.time_ms)
    return found


def _done(windows: Sequence[Window], exchanges: Sequence[Exchange], by_proxy: Mapping[str, int]) -> dict[str, int]:
    """What has happened, by name: to how many answers and messages, and of other faults, how often they began.

    0 is said too: a fault that has met nothing has tested nothing.
    """
    met = Counter(name for one in exchanges for name in one.faults)
    done: dict[str, int] = {}
    for window in windows:
        name, places = window.fault.name, window.fault.kind.places
        if name in _BY_PROXY:
            done[name] = by_proxy.get(_BY_PROXY[name], 0)
        elif "answer" in places and window.fault.on != "uplink":
            done[name] = met[name]
        else:
            done[name] = done.get(name, 0) + 1
    return done


def _usage(made_ms: int, one: Any) -> Usage:
    return Usage(made_ms + int(one.elapsed_s * 1_000), one.rss_bytes, one.cpu_s, one.open_fds)


def _shifts(windows: Sequence[Window]) -> list[int]:
    """By how much the gateway's clock was wrong, after each jump; 0 among them."""
    jumps = [int(one.fault["seconds"] * 1_000) for one in windows if one.fault.name == "clock_jump"]
    return list(accumulate(jumps, initial=0))
