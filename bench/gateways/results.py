"""Everything that was measured in one go, and what is said of it."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite, isnan
from typing import Any

from gateways.figures import Figure
from gateways.goals import Verdict, judged

MUST_BE_ZERO = ("lost_old", "lost", "backlog_lost", "ramp_lost", "ramp_wrong", "wrong", "without_value")
"""Figures of ours that must be zero: they are no matter of speed."""


@dataclass
class Results:
    """Runs of each figure of each gateway."""

    runs: dict[str, dict[str, list[float]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))
    facts: dict[str, str] = field(default_factory=dict)
    """Of the machine: what the figures must be read with."""
    versions: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(float)))
    """How long each scene took with each gateway."""
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What makes the bench fail: our agent lost something, told something wrong, or did not run."""

    def add(self, subject: str, figures: Mapping[str, float]) -> None:
        """Of one run; what is not a number was not seen in it."""
        for name, value in figures.items():
            if not isnan(value):
                self.runs[subject][name].append(value)

    def figures(self) -> dict[str, dict[str, Figure]]:
        return {
            subject: {name: Figure.of(values) for name, values in rows.items()} for subject, rows in self.runs.items()
        }

    def verdicts(self) -> list[Verdict]:
        figures = self.figures()

        def measured(subject: str, figure: str) -> float | None:
            found = figures.get(subject, {}).get(figure)
            return None if found is None else found.median

        return judged(measured)

    def took(self) -> str:
        """How long it all took: a line a scene."""
        lines = [f"{sum(sum(each.values()) for each in self.seconds.values()) / 60:.1f} minutes:"]
        for scene, each in self.seconds.items():
            gateways = ", ".join(f"{name} {took_s:.0f}" for name, took_s in each.items())
            lines.append(f"  {scene} {sum(each.values()):.0f} s: {gateways}")
        return "\n".join(lines)

    def as_json(self, effort: Mapping[str, Any]) -> str:
        """Everything; what never came to an end is null."""
        runs = {
            subject: {name: [value if isfinite(value) else None for value in values] for name, values in rows.items()}
            for subject, rows in self.runs.items()
        }
        return json.dumps(
            {
                "machine": self.facts,
                "effort": dict(effort),
                "versions": self.versions,
                "runs": runs,
                "seconds": {scene: dict(each) for scene, each in self.seconds.items()},
                "goals": [{"name": v.name, "result": v.word, "measured": v.measured} for v in self.verdicts()],
                "notes": self.notes,
                "problems": self.problems,
            },
            indent=1,
        )


def faults(subject: str, scene: str, figures: Mapping[str, float]) -> list[str]:
    """What our agent must never do, found in these figures."""
    return [f"{subject}, {scene}: {name} {figures[name]:g}" for name in MUST_BE_ZERO if figures.get(name, 0)]
