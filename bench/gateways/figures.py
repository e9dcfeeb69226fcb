"""Arithmetic on measured figures: medians, spread, percentiles. Pure."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Figure(NamedTuple):
    """One measure over several runs: the median, and the lowest and highest seen."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, runs: Sequence[float]) -> "Figure":
        """ValueError where there is no run."""
        if not runs:
            raise ValueError("a figure needs one run at least")
        return cls(statistics.median(runs), min(runs), max(runs))

    @property
    def spread(self) -> float:
        """Highest over lowest; 1.0 where all runs agree. Two figures closer than this say nothing of each other."""
        return self.high / self.low if self.low > 0 else 1.0 if self.high == self.low else float("inf")


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of them do not exceed, by nearest rank; nan of none."""
    if not values:
        return float("nan")
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, -int(-share * len(ranked) // 1) - 1))]


def shown(value: float) -> str:
    """Three digits that count, without exponents."""
    if value != value:  # nan
        return "-"
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    digits = max(0, 2 - _magnitude(value))
    return f"{value:.{digits}f}"


def _magnitude(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])
