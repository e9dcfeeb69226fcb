"""The reference IOC in the hands of a test: a process that can be killed, and what it has received, by name."""

import signal
import sqlite3
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeVar

import msgspec

from simulators.ioc.report import Report
from simulators.processes import Child, child
from simulators.testing.brokers import BenchBroker, Way
from simulators.testing.stage import Stage, wait_until

T = TypeVar("T")
WAIT_S = 20.0
_READINGS = """
SELECT gateway, device, point, time_ms, value, quality FROM reading WHERE device <> '_gateway'
AND (?1 = '' OR device = ?1) AND (?2 = '' OR point = ?2) ORDER BY time_ms, device, point
"""
_EVENTS = "SELECT gateway, type, severity, device, time_ms, body FROM event WHERE ?1 IN ('', type) ORDER BY id"


class Reading(NamedTuple):
    """One value at one time, as it arrived; `quality` is empty where it is good."""

    gateway: str
    device: str
    point: str
    time_ms: int
    value: Any
    quality: str


class Event(NamedTuple):
    """One event, as it arrived."""

    gateway: str
    type: str
    severity: str
    device: str | None
    time_ms: int
    body: dict[str, Any]


class BenchIoc:
    """The IOC behind a broker. Its database (`db`; tables in `simulators/ioc/schema.sql`) outlives it."""

    def __init__(self, stage: Stage, folder: Path, broker: BenchBroker | Way, options: Sequence[str]) -> None:
        self._stage = stage
        self._folder = folder
        self.db = folder / "ioc.db"
        self.pictures = folder / "pictures"
        self._argv = [sys.executable, "-m", "simulators", "ioc", "--broker", broker.url, "--db", str(self.db)]
        self._argv += ["--pictures", str(self.pictures), "--json", "--every", "0.5", *options]
        self._stack = AsyncExitStack()
        self._child: Child | None = None

    def start(self) -> None:
        """Start it, and wait until it is connected; raises `ChildFailed`."""
        self._stage.run(self._start())

    def stop(self) -> Report:
        """End it in order; gives its last report."""
        return self._stage.run(self._stop(signal.SIGTERM))

    def kill(self) -> None:
        """End it as a power cut would."""
        self._stage.run(self._stop(signal.SIGKILL))

    @property
    def report(self) -> Report | None:
        """The newest that it has printed; twice a second."""
        lines = [line for line in (self._child.lines if self._child else ()) if "report" in line]
        return msgspec.convert(lines[-1]["report"], Report) if lines else None

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of its database as it is now; none while it has not made it."""
        if not self.db.exists():
            return []
        db = sqlite3.connect(f"file:{self.db}?mode=ro", uri=True, timeout=10)
        try:
            return db.execute(sql, parameters).fetchall()
        finally:
            db.close()

    def readings(self, device: str = "", point: str = "") -> list[Reading]:
        """What has arrived, or what of one device or point, in the order of its times."""
        rows = self.query(_READINGS, device, point)
        return [
            Reading(gateway, device, point, time_ms, msgspec.json.decode(value), quality)
            for gateway, device, point, time_ms, value, quality in rows
        ]

    def events(self, type: str = "") -> list[Event]:  # noqa: A002 - the contract's own name
        """What has happened, as the gateways say, or what of one type."""
        rows = self.query(_EVENTS, type)
        return [
            Event(gateway, kind, severity, device, time_ms, msgspec.json.decode(body))
            for gateway, kind, severity, device, time_ms, body in rows
        ]

    def wait_for(self, condition: Callable[["BenchIoc"], T], timeout_s: float = WAIT_S, what: str = "") -> T:
        """Until it gives something true, and that; raises `AssertionError`."""
        return wait_until(lambda: condition(self), timeout_s, what or "what the test waits for at the IOC")

    def wait_for_readings(
        self, count: int, device: str = "", point: str = "", timeout_s: float = WAIT_S
    ) -> list[Reading]:
        """Until so many have arrived; raises `AssertionError`."""
        return self.wait_for(
            lambda ioc: found if len(found := ioc.readings(device, point)) >= count else [],
            timeout_s,
            f"{count} readings of {device or 'any device'} at the IOC",
        )

    async def _start(self) -> None:
        if self._child is None:
            log = self._folder / "ioc.log"
            self._child = await self._stack.enter_async_context(child("ioc", self._argv, log))
            await self._child.ready()

    async def _stop(self, number: signal.Signals) -> Report:
        running = self._child
        if running is not None:
            await running.stop(number)
        await self._stack.aclose()
        report = self.report
        self._child = None
        return report or Report([], 0, 0, 0, 0, {}, "", [], None, None)

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop(signal.SIGTERM)
