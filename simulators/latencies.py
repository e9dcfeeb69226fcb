"""Latencies, counted by steps of equal length: a percentile costs no memory that grows. Pure."""

from array import array

STEPS = 60_000
"""What takes longer than all of them counts as the last."""


class Latencies:
    """Counts of whole steps; by the millisecond they reach up to a minute."""

    def __init__(self) -> None:
        self._counts = array("Q", bytes(8 * (STEPS + 1)))
        self.total = 0

    def add(self, steps: int, times: int = 1) -> None:
        self._counts[min(max(steps, 0), STEPS)] += times
        self.total += times

    def percentile(self, percent: float) -> int | None:
        """The smallest latency, in steps, that `percent` of all do not exceed; None without any."""
        left = self.total * percent / 100
        for steps, times in enumerate(self._counts):
            left -= times
            if left <= 0 and self.total:
                return steps
        return None
