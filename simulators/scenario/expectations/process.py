"""The gateway as a program: `runs`, `exit`, `output`, `memory`, `files`, `cpu`, `disk`."""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

import msgspec

from simulators.scenario.evidence import Evidence, Usage
from simulators.scenario.expectations.verdict import Count, Expectation, Seconds, Timed, Verdict, bounds, within

MB = 1_000_000
Positive = Annotated[float, msgspec.Meta(gt=0, le=1_000_000_000, examples=[100.0])]


class Runs(Expectation, frozen=True, kw_only=True):
    """The gateway does not end by itself. It is expected in every scenario, unless switched off."""

    that: ClassVar[str] = "runs"

    def judge(self, evidence: Evidence) -> Verdict:
        ended = [one for one in evidence.exits if not one.asked]
        return self.verdict(
            "the gateway runs until it is told to end",
            f"it ended by itself {len(ended)} times" if ended else f"{evidence.seconds:.1f} s",
            (f"exit code {one.code} at {evidence.at_s(one.at_ms):.1f} s" for one in ended),
            passed=not ended,
        )


class ExitCode(Expectation, frozen=True, kw_only=True):
    """After SIGTERM the gateway ends with this `code`, within `within_s`; `by_itself`: of its start, without it."""

    that: ClassVar[str] = "exit"

    code: Annotated[int, msgspec.Meta(ge=-64, le=255)] = 0
    by_itself: bool = False
    within_s: Seconds = 30.0

    def judge(self, evidence: Evidence) -> Verdict:
        last = evidence.exits[-1] if evidence.exits else None
        if self.by_itself:
            last = next((one for one in evidence.exits if not one.asked), None)
            took_s = evidence.at_s(last.at_ms) if last else 0.0
        else:
            took_s = (evidence.end_ms - evidence.stop_ms) / 1_000
        never = "it did not end by itself" if self.by_itself else "it never ended"
        return self.verdict(
            f"exit code {self.code} within {self.within_s:g} s of {'its start' if self.by_itself else 'SIGTERM'}",
            f"exit code {last.code} after {took_s:.1f} s" if last else never,
            passed=last is not None and last.code == self.code and took_s <= self.within_s,
        )


class Output(Timed, frozen=True, kw_only=True):
    """Lines that match the regular expression `text` are written: `at_least` one, or so many, and `at_most`.

    `never = true`: none. `stream`: stdout, stderr, or both.
    """

    that: ClassVar[str] = "output"

    text: Annotated[str, msgspec.Meta(min_length=1, examples=["reconnect"])]
    stream: Literal["stdout", "stderr", "both"] = "both"
    never: bool = False
    at_least: Count | None = None
    at_most: Count | None = None

    def judge(self, evidence: Evidence) -> Verdict:
        pattern = re.compile(self.text)
        found = [
            one
            for one in evidence.output
            if self.stream in ("both", one.stream) and self.holds(evidence, one.at_ms) and pattern.search(one.text)
        ]
        low, high = (0, 0) if self.never else (self.at_least, self.at_most)
        if low is None:
            low = 1 if high is None else 0
        where = "output" if self.stream == "both" else self.stream
        return self.verdict(
            f"lines like /{self.text}/ on {where}{self.when()}: {bounds(low, high)}",
            f"{len(found)}",
            (f"at {evidence.at_s(one.at_ms):.1f} s: {one.text[:200]}" for one in found),
            passed=within(len(found), low, high),
        )


class Memory(Timed, frozen=True, kw_only=True):
    """The gateway's memory (RSS) stays `at_most_mb`, and grows by at most `growth_mb`; MB are 10^6 bytes.

    Growth is from the median of the first third to that of the last: what comes and goes is not growth.
    """

    that: ClassVar[str] = "memory"

    at_most_mb: Positive | None = None
    growth_mb: Positive | None = None

    def judge(self, evidence: Evidence) -> Verdict:
        used = [one.rss_bytes / MB for one in _looked_at(self, evidence)]
        return _grown(self, "memory", " MB", used, self.at_most_mb, self.growth_mb)


class Files(Timed, frozen=True, kw_only=True):
    """The gateway has `at_most` so many files and sockets open, and `growth` more at the end than at first."""

    that: ClassVar[str] = "files"

    at_most: Count | None = None
    growth: Count | None = None

    def judge(self, evidence: Evidence) -> Verdict:
        used = [float(one.files) for one in _looked_at(self, evidence)]
        return _grown(self, "open files", "", used, self.at_most, self.growth)


class Cpu(Timed, frozen=True, kw_only=True):
    """The gateway needs at most so many percent of one CPU, on average from `from_s` to `to_s`."""

    that: ClassVar[str] = "cpu"

    at_most_percent: Positive

    def judge(self, evidence: Evidence) -> Verdict:
        expected = f"at most {self.at_most_percent:g} % of a CPU{self.when()}"
        samples = _looked_at(self, evidence)
        used_s = sum(max(0.0, other.cpu_s - one.cpu_s) for one, other in pairwise(samples))
        if len(samples) < 2:
            return self.verdict(expected, "it was not measured", passed=False)
        percent = used_s / ((samples[-1].at_ms - samples[0].at_ms) / 1_000) * 100
        return self.verdict(expected, f"{percent:.0f} %", passed=percent <= self.at_most_percent)


class Disk(Timed, frozen=True, kw_only=True):
    """What is in `folder` (default: `{data}`) stays `at_most_mb`; MB are 10^6 bytes."""

    that: ClassVar[str] = "disk"

    at_most_mb: Positive
    folder: str = "{data}"

    def judge(self, evidence: Evidence) -> Verdict:
        used = [size / MB for at_ms, size in evidence.bytes_in.get(self.folder, ()) if self.holds(evidence, at_ms)]
        return self.verdict(
            f"at most {self.at_most_mb:g} MB in {self.folder}{self.when()}",
            f"{max(used):.2f} MB at most" if used else "it was not measured",
            passed=bool(used) and max(used) <= self.at_most_mb,
        )


def _looked_at(told: Timed, evidence: Evidence) -> list[Usage]:
    return [one for one in evidence.usage if told.holds(evidence, one.at_ms)]


def _grown(
    told: Timed, what: str, unit: str, used: Sequence[float], high: float | None, growth: float | None
) -> Verdict:
    limits = [f"at most {high:g}{unit}"] if high is not None else []
    limits += [f"growing by at most {growth:g}{unit}"] if growth is not None else []
    expected = f"{what}{told.when()} {' and '.join(limits)}"
    if not used or (growth is not None and len(used) < 3):
        return told.verdict(expected, "it was not measured often enough", passed=False)
    third = max(1, len(used) // 3)
    grown = _median(used[-third:]) - _median(used[:third])
    seen = f"at most {max(used):.1f}{unit}, grown by {grown:.1f}{unit}"
    good = within(max(used), None, high) and (growth is None or grown <= growth)
    return told.verdict(expected, seen, passed=good)


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
