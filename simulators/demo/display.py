"""The readings as they arrive at the IOC: a live table on a terminal, else plain lines every few seconds."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from simulators.ioc.report import Report
from simulators.output import show_text

PLAIN_EVERY_S = 5.0
MAX_VALUES = 5


class Display(Protocol):
    """Shows a report of the IOC, and what is going on."""

    def show(self, phase: str, report: Report) -> None: ...


class PlainDisplay:
    """For pipes and logs: one line a device, every few seconds, and at once when something new goes on."""

    def __init__(self) -> None:
        self._phase = ""
        self._shown_s = 0.0

    def show(self, phase: str, report: Report) -> None:
        now_s = time.monotonic()
        if phase == self._phase and now_s - self._shown_s < PLAIN_EVERY_S:
            return
        self._phase, self._shown_s = phase, now_s
        show_text(headline(phase, report))
        for device, age, values in rows(report):
            show_text(f"  {device:<12} {age:>6}  {values}")


class SilentDisplay:
    """For `--json`."""

    def show(self, phase: str, report: Report) -> None:
        """Nothing."""


class LiveDisplay:
    """A table that stays in place."""

    def __init__(self, live: Any) -> None:
        self._live = live

    def show(self, phase: str, report: Report) -> None:
        from rich.table import Table  # an extra, needed here only

        table = Table(title=headline(phase, report), title_justify="left", expand=True)
        for column in ("device", "age", "newest values at the IOC"):
            table.add_column(column, no_wrap=column != "newest values at the IOC")
        for row in rows(report):
            table.add_row(*row)
        self._live.update(table, refresh=True)


@contextmanager
def display(*, silent: bool) -> Iterator[Display]:
    """The display that fits stdout."""
    if silent:
        yield SilentDisplay()
        return
    try:
        from rich.live import Live
    except ImportError:
        yield PlainDisplay()
        return
    if not sys.stdout.isatty():
        yield PlainDisplay()
        return
    with Live(auto_refresh=False) as live:
        yield LiveDisplay(live)


def headline(phase: str, report: Report) -> str:
    """What goes on, and the counts of the IOC."""
    return f"{phase}: {report.readings} readings at the IOC, {report.duplicates} duplicates, {report.lost} lost"


def rows(report: Report) -> Iterator[tuple[str, str, str]]:
    """Device, age of its newest reading, and its values."""
    now_ms = time.time_ns() // 1_000_000
    for gateway in report.gateways:
        for device, values in sorted(gateway.newest.items()):
            age = f"{max(0, now_ms - gateway.newest_ms[device]) / 1_000:.1f} s"
            shown = [f"{point} {'-' if value is None else value}" for point, value in values.items()]
            more = f" and {len(shown) - MAX_VALUES} more" if len(shown) > MAX_VALUES else ""
            yield device, age, ", ".join(shown[:MAX_VALUES]) + more
