"""Whether something grows, told from figures that come and go. Pure.

An agent whose uplink flaps holds more or less from one look to the next; what leaks grows all the time. So the slope is
the median of the slopes between any two looks (Theil and Sen), which one peak does not move, and how far it may be off
by chance comes from what is left when it is taken out. Looks that are close together say the same twice: they count as
one for each `EPISODE_S`.
"""

from collections.abc import Sequence
from math import sqrt
from statistics import median
from typing import NamedTuple

EPISODE_S = 60.0
"""An outage and the time after it; figures so far apart have nothing to do with each other."""
NORMAL = 1.4826
"""Median of the absolute deviations to standard deviation."""
SURE = 3.0
"""Chance alone gives more than so many standard errors once in 370 times."""


class Growth(NamedTuple):
    """How much something grew from the first look to the last, in its own unit, and how far chance may take that."""

    grown: float
    by_chance: float

    def __str__(self) -> str:
        return f"{self.grown:+.3g} (by chance up to {self.by_chance:.3g})"


def growth(seconds: Sequence[float], figures: Sequence[float]) -> Growth:
    """Of at least three looks, at different times."""
    looks = list(zip(seconds, figures, strict=True))
    slope = median((b - a) / (t - s) for n, (s, a) in enumerate(looks) for t, b in looks[n + 1 :])
    span_s = seconds[-1] - seconds[0]
    left = [figure - slope * (at_s - seconds[0]) for at_s, figure in looks]
    middle = median(left)
    spread = NORMAL * median(abs(one - middle) for one in left)
    # of a straight line through n points evenly spread, sd * sqrt(12 / n) is the error over its whole length
    independent = max(1.0, min(len(looks), span_s / EPISODE_S))
    return Growth(slope * span_s, SURE * spread * sqrt(12 / independent))
