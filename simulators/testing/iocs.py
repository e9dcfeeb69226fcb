"""The reference IOC in the hands of a test: a process that can be killed, and what it has received, by name."""

import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from simulators.ioc.report import Report
from simulators.testing.programs import BenchProgram
from simulators.testing.stage import Stage, wait_until

T = TypeVar("T")
WAIT_S = 20.0
NOTHING: Final = Report([], 0, 0, 0, 0, {}, "", [], None, None)
"""The report of an IOC that did not run."""
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


class BenchIoc(BenchProgram):
    """The IOC behind a broker. Its database (`db`; tables in `simulators/ioc/schema.sql`) outlives it."""

    def __init__(self, stage: Stage, folder: Path, url: str, options: Sequence[str]) -> None:
        self.db = folder / "ioc.db"
        self.pictures = folder / "pictures"
        argv = [sys.executable, "-m", "simulators", "ioc", "--broker", url, "--db", str(self.db)]
        argv += ["--pictures", str(self.pictures), "--json", "--every", "0.5", *options]
        super().__init__(stage, "ioc", argv, folder / "ioc.log")

    def stop(self) -> Report:
        """End it in order; gives its last report. Raises `ChildFailed`."""
        return _last_report(self._stage.run(self._stop())) or NOTHING

    @property
    def report(self) -> Report | None:
        """The newest that it has printed; twice a second."""
        return _last_report(self._lines())

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


def _last_report(lines: Sequence[dict[str, Any]]) -> Report | None:
    reports = [line["report"] for line in lines if "report" in line]
    return msgspec.convert(reports[-1], Report) if reports else None
