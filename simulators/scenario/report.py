"""What came of scenarios: as text for people, and as data. Pure; JUnit XML is in `junit.py`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from simulators.scenario.expectations import Verdict

Outcome = Literal["passed", "failed", "skipped", "broken"]
"""`broken`: the scenario itself could not be run, so that nothing is known of the gateway."""


class ScenarioReport(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario. `why`: of one that was skipped or is broken. `done`: which fault was there how often."""

    name: str
    file: str
    outcome: Outcome
    seed: int = 0
    seconds: float = 0.0
    about: str = ""
    field: str = ""
    why: str = ""
    verdicts: Sequence[Verdict] = ()
    counts: Mapping[str, int] = {}
    done: Mapping[str, int] = {}
    folder: str = ""
    output_tail: Sequence[str] = ()


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """All scenarios of one `oc-sim check`."""

    command: Sequence[str]
    scenarios: Sequence[ScenarioReport]

    def count(self, *outcomes: Outcome) -> int:
        return sum(one.outcome in outcomes for one in self.scenarios)

    def good(self, *, strict: bool = False) -> bool:
        """Nothing failed and nothing is broken; `strict`: nor skipped."""
        return not self.count("failed", "broken", *(("skipped",) if strict else ()))


def outcome_of(verdicts: Sequence[Verdict]) -> Outcome:
    """Of a scenario that was run."""
    return "passed" if all(one.passed for one in verdicts) else "failed"


def as_json(report: CheckReport) -> bytes:
    """One JSON document, with the counts of each outcome."""
    counts = {outcome: report.count(outcome) for outcome in ("passed", "failed", "skipped", "broken")}
    return msgspec.json.encode({"ok": report.good(), **counts, **msgspec.structs.asdict(report)})


def as_text(report: CheckReport) -> str:
    """For a person: each expectation on a line, what was seen under what failed, and one line at the end."""
    lines = [line for one in report.scenarios for line in (*_scenario(one), "")]
    passed, of = report.count("passed"), len(report.scenarios)
    rest = [f"{count} {name}" for name in ("failed", "broken", "skipped") if (count := report.count(name))]
    return "\n".join([*lines, f"{passed} of {of} scenarios passed" + (f", {', '.join(rest)}" if rest else "")])


def _scenario(one: ScenarioReport) -> Iterator[str]:
    yield f"{one.outcome.upper()}  {one.name}   ({one.file}, seed {one.seed}, {one.seconds:.0f} s)"
    if one.field:
        yield f"  as in {one.field}"
    if one.why:
        yield from (f"  {line}" for line in one.why.splitlines())
    if one.counts:
        yield "  " + ", ".join(f"{count} {name}" for name, count in one.counts.items())
    if one.done:
        yield "  faults: " + ", ".join(f"{name} {count}" for name, count in sorted(one.done.items()))
    for verdict in one.verdicts:
        yield from _verdict(verdict)
    if one.outcome in ("failed", "broken") and one.output_tail:
        yield "  the last lines of the gateway:"
        yield from (f"    | {line}" for line in one.output_tail)
    if one.folder:
        yield f"  kept: {one.folder}"


def _verdict(one: Verdict) -> Iterator[str]:
    yield f"  {'ok  ' if one.passed else 'FAIL'} {one.that}: {one.expected}"
    yield f"         seen: {one.seen}"
    if not one.passed:
        yield from (f"         {example}" for example in one.examples)
    yield from (f"         left out: {count} {rule}" for rule, count in one.excused.items())
