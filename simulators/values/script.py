"""Values from a file: which point gives what at which time.

CSV in one of two forms, with commas or semicolons. Long: `time_s,device,point,value`. Wide: `time_s` and a column for
each point, `meter-1.voltage`; an empty cell says nothing. Times are seconds since the start of the run.

Promises: every problem of the file is found at once, each with its line; where there is one, nothing is followed. A
point follows its waveform until its first row, and after its last row it keeps that value, unless the file loops.
"""

import csv
import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import StringIO
from operator import attrgetter
from pathlib import Path
from typing import Final

from drivers.api import Value
from drivers.tomlfile import Problem
from simulators.problems import SiteError
from simulators.values.board import BadValue, Channel, Values
from simulators.values.waveforms import Waveform

LONG: Final = ("time_s", "device", "point", "value")


@dataclass(frozen=True, slots=True)
class Row:
    """One value as it stands in the file."""

    line: int
    time_s: float
    device: str
    point: str
    text: str


@dataclass(frozen=True)
class Script:
    """The rows of a file, and what is wrong in it so far."""

    file: str
    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @property
    def end_s(self) -> float:
        return max((row.time_s for row in self.rows), default=0.0)

    def problem(self, line: int, key: str, what: str, fix: str) -> None:
        self.problems.append(Problem(self.file, line, key, what, fix))


def follow_script(file: Path, values: Values, *, interpolate: bool = False, loop: bool = False) -> int:
    """Let the points of `file` follow it; gives how many they are. Raises `SiteError` with every problem.

    `interpolate`: numbers go in a straight line from one row to the next. `loop`: it begins anew at its last time.
    """
    script = read_script(file)
    courses = list(_courses(script, values, interpolate=interpolate, loop=loop))
    if loop and script.rows and script.end_s <= 0:
        script.problem(1, "time_s", "is 0 in every row, and the file is to loop", "say when it begins anew, like 60")
    if script.problems:
        raise SiteError(script.problems)
    for channel, wave in courses:
        channel.follow(wave)
    return len(courses)


def read_script(file: Path) -> Script:
    """The rows of a file, and what is wrong with them whatever the devices are."""
    script = Script(str(file))
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as err:
        script.problem(1, "(file)", f"is not UTF-8 text: {err}", "save it as CSV in UTF-8")
        return script
    except OSError as err:
        script.problem(1, "(file)", f"cannot be read: {err.strerror}", "check the path and its permissions")
        return script
    _parse(script, text)
    return script


def _parse(script: Script, text: str) -> None:
    first, _, _ = text.partition("\n")
    reader = csv.reader(StringIO(text, newline=""), delimiter=";" if ";" in first else ",", strict=True)
    try:
        head = [cell.strip() for cell in next(reader, [])]
        columns = _columns(script, head)
        if columns is None:
            return
        for cells in reader:
            if any(cell.strip() for cell in cells):
                _row(script, reader.line_num, [cell.strip() for cell in cells], head, columns)
    except csv.Error as err:
        script.problem(
            reader.line_num, "(row)", f"is not CSV: {err}", 'close every quote; text that has commas stands in "quotes"'
        )
    if not script.rows and not script.problems:
        script.problem(1, "(file)", "has no values", "write a row like 0,meter-1,voltage,231.5")


def _columns(script: Script, head: Sequence[str]) -> Sequence[tuple[str, str]] | None:
    """Device and point of each column after the time, empty in the long form; None where it is neither."""
    if tuple(head) == LONG:
        return ()
    if not head or head[0] != "time_s" or len(head) < 2:
        fix = f"write {','.join(LONG)}, or time_s,meter-1.voltage,… with a column for each point"
        script.problem(1, "(head)", f'"{",".join(head)}" is not understood', fix)
        return None
    columns = [_device_and_point(name) for name in head[1:]]
    for name, (device, point) in zip(head[1:], columns, strict=True):
        if not device or not point:
            script.problem(1, name or "(head)", "is no device with a point", "write device.point, like meter-1.voltage")
        elif head.count(name) > 1:
            script.problem(1, name, "has two columns", "leave one")
    return columns


def _device_and_point(name: str) -> tuple[str, str]:
    device, _, point = name.rpartition(".")
    return device, point


def _row(
    script: Script, line: int, cells: Sequence[str], head: Sequence[str], columns: Sequence[tuple[str, str]]
) -> None:
    if len(cells) != len(head):
        script.problem(line, "(row)", f"has {len(cells)} cells, the head has {len(head)}", "write one cell for each")
        return
    time_s = _time(script, line, cells[0])
    if time_s is None:
        return
    if columns:
        script.rows.extend(Row(line, time_s, *at, text) for at, text in zip(columns, cells[1:], strict=True) if text)
    else:
        script.rows.append(Row(line, time_s, *cells[1:]))


def _time(script: Script, line: int, text: str) -> float | None:
    try:
        time_s = float(text)
    except ValueError:
        time_s = -1.0
    if not math.isfinite(time_s) or time_s < 0:
        script.problem(line, "time_s", f'"{text}" is no time', "write seconds since the start, like 12.5")
        return None
    return time_s


def _courses(script: Script, values: Values, *, interpolate: bool, loop: bool) -> Iterator[tuple[Channel, Waveform]]:
    """What each point does, for the points that there are; the others are problems."""
    period_s = script.end_s if loop else math.inf
    points: dict[tuple[str, str], list[Row]] = {}
    for row in script.rows:
        points.setdefault((row.device, row.point), []).append(row)
    for (device, point), rows in points.items():
        try:
            channel = values.find(device, point)
        except BadValue as err:
            what, _, fix = str(err).partition(": ")
            script.problem(rows[0].line, f"{device}.{point}", what, fix)
            continue
        times_s, said = _understood(script, channel, sorted(rows, key=attrgetter("time_s")))
        if times_s:
            yield channel, _course(times_s, said, channel.at, period_s, interpolate=interpolate)


def _understood(script: Script, channel: Channel, rows: Sequence[Row]) -> tuple[list[float], list[Value]]:
    times_s: list[float] = []
    said: list[Value] = []
    for row in rows:
        key = f"{row.device}.{row.point}"
        if times_s and row.time_s == times_s[-1]:
            script.problem(row.line, key, f"has two values at {row.time_s:g} s", "leave one")
            continue
        try:
            said.append(channel.understand(row.text))
            times_s.append(row.time_s)
        except BadValue as err:
            script.problem(row.line, key, f'cannot give "{row.text}"', str(err.__cause__))
    return times_s, said


def _course(
    times_s: Sequence[float], said: Sequence[Value], before: Waveform, period_s: float, *, interpolate: bool
) -> Waveform:
    """The rows of one point as a waveform; `before` is what it does until the first."""
    straight = interpolate and all(isinstance(value, float | int) and not isinstance(value, bool) for value in said)

    def at(elapsed_s: float) -> Value:
        time_s = elapsed_s % period_s if period_s < math.inf else elapsed_s
        index = bisect_right(times_s, time_s) - 1
        if index < 0:
            return before(elapsed_s)
        value = said[index]
        if not straight or index + 1 == len(said):
            return value
        part = (time_s - times_s[index]) / (times_s[index + 1] - times_s[index])
        return float(value) + (float(said[index + 1]) - float(value)) * part

    return at
