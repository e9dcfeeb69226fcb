"""How a scan shows where it is: a bar on the terminal, and what it finds as soon as it is found."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Protocol

from agent.cli.layout import wrapped
from agent.cli.messages import tr
from agent.cli.output import show_line
from agent.cli.scan.finding import FoundUnit, HeardInstrument, heard_lines, unit_lines

_BAR = 20
_EVERY_S = 0.1


class Watcher(Protocol):
    """Who follows a scan."""

    def at(self, where: str) -> None:
        """It is here now."""

    def passed(self, seconds: float) -> None:
        """So much of the longest time is through."""

    def found(self, unit: FoundUnit) -> None:
        """A device has answered."""

    def heard(self, instrument: HeardInstrument) -> None:
        """Something sends by itself."""


class Progress:
    """On stderr where that is a terminal, else silent; what is found on stdout, unless it becomes JSON at the end."""

    def __init__(self, longest_s: float, *, as_json: bool) -> None:
        self._longest_s = max(longest_s, 0.001)
        self._as_json = as_json
        self._passed_s = 0.0
        self._count = 0
        self._where = ""
        self._shown_at = 0.0
        self._shows = sys.stderr.isatty()

    def at(self, where: str) -> None:
        self._where = where
        if self._shows and time.monotonic() - self._shown_at > _EVERY_S:
            self._shown_at = time.monotonic()
            sys.stderr.write(f"\r\x1b[K{self.line()}")
            sys.stderr.flush()

    def passed(self, seconds: float) -> None:
        self._passed_s += seconds

    def found(self, unit: FoundUnit) -> None:
        self._count += 1
        self._show(unit_lines(unit))

    def heard(self, instrument: HeardInstrument) -> None:
        self._show(heard_lines(instrument))

    def close(self) -> None:
        """Take the bar away."""
        if self._shows:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def line(self) -> str:
        """The bar in words: how far, where, how many, how long at most."""
        share = min(1.0, self._passed_s / self._longest_s)
        bar = "#" * round(_BAR * share)
        rest = tr(
            "{count} found, at most {time} left", count=self._count, time=duration(self._longest_s - self._passed_s)
        )
        return f"[{bar:<{_BAR}}] {share:4.0%}  {self._where}  {rest}"

    def _show(self, lines: list[str]) -> None:
        self.close()
        if not self._as_json:
            for line in wrapped_lines(lines):
                show_line(line)
            sys.stdout.flush()


def wrapped_lines(lines: Iterable[str]) -> Iterator[str]:
    """The lines within the width of a terminal; what is behind a break stands further in."""
    for line in lines:
        indent = " " * (len(line) - len(line.lstrip()) + 4)
        yield from wrapped(line.lstrip(), first=indent[4:], rest=indent)


def duration(seconds: float) -> str:
    """Seconds or minutes, as a person says it."""
    if seconds < 90:
        return tr("{count} s", count=max(0, round(seconds)))
    return tr("{count} min", count=round(seconds / 60))
