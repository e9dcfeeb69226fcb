"""How findings look on a terminal: a heading for each group, lines of 80 columns, colour where there is a terminal."""

import os
import sys
from typing import Final

from agent.cli.doctor.finding import Finding, State
from agent.cli.layout import wrapped
from agent.cli.messages import tr
from agent.cli.output import show_line

_COLOURS: Final[dict[State, str]] = {"ok": "\033[32m", "warn": "\033[33m", "fail": "\033[1;31m"}
_PLAIN: Final = "\033[0m"
_WIDE: Final = 8


class Shown:
    """Shows findings as they come, and remembers whose group it is."""

    def __init__(self) -> None:
        self._group = ""
        self._colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")

    def show(self, group: str, finding: Finding) -> None:
        """One finding, behind the heading of its group where that is new."""
        if group != self._group:
            if self._group:
                show_line("")
            show_line(_heading(group))
            self._group = group
        state = {"ok": tr("ok"), "warn": tr("warning"), "fail": tr("FAIL")}[finding.state]
        about = f"{finding.subject}: " if finding.subject and finding.subject not in finding.what else ""
        first, *others = wrapped(about + finding.what, first=f"  {state:<{_WIDE}}", rest=" " * (_WIDE + 2))
        if self._colour:
            first = first.replace(state, f"{_COLOURS[finding.state]}{state}{_PLAIN}", 1)
        for line in (first, *others):
            show_line(line)
        if finding.advice:
            for line in wrapped(finding.advice, first=" " * (_WIDE + 2) + "-> ", rest=" " * (_WIDE + 5)):
                show_line(line)


def _heading(group: str) -> str:
    return {
        "configuration": tr("CONFIGURATION"),
        "service": tr("SERVICE"),
        "machine": tr("MACHINE"),
        "clock": tr("CLOCK"),
        "ports": tr("PORTS"),
        "devices": tr("DEVICES AND WIRING"),
        "bus": tr("BUS LOAD"),
        "broker": tr("WAY TO THE IOC"),
    }[group]
