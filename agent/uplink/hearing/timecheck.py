"""Whether our clock and the IOC's agree, to the minute. Pure. It raises an alarm and never sets a clock.

A retained state is as old as it is: it can only show that we are behind. One that comes while we are connected shows
both.
"""

from typing import Final, Literal

TOLERANCE_MS: Final = 60_000


class TimeCheck:
    """Compares what the IOC says with our clock, and remembers whether that was an alarm."""

    def __init__(self) -> None:
        self._alarm = False

    def heard(self, ioc_ms: int, our_ms: int, *, fresh: bool) -> Literal["raise", "clear"] | None:
        """What is to be said after a message of the IOC; None for nothing new. `fresh`: it was sent just now."""
        if ioc_ms <= 0:
            return None
        behind_ms = ioc_ms - our_ms
        wrong = behind_ms > TOLERANCE_MS or (fresh and behind_ms < -TOLERANCE_MS)
        if wrong == self._alarm or not (wrong or fresh):
            return None
        self._alarm = wrong
        return "raise" if wrong else "clear"
