"""How one link did in the last minute: how busy its line was, and how many requests were answered. Pure.

The counters of a link only go up: one state of them is kept each five seconds, and what is asked for is the difference.
It costs a comparison a read.
"""

from collections import deque
from typing import Final

import msgspec

from agent.clock import NS_PER_S
from drivers.api import LinkStats

WINDOW_S: Final = 60
STEP_S: Final = 5


class Rates(msgspec.Struct, frozen=True):
    """In percent: the share of the time in which the line was busy, and of the requests that were answered.

    `answered_pct` is None where nothing was asked. An instrument that sends by itself keeps no line busy.
    """

    busy_pct: float
    answered_pct: float | None


class Recent:
    """The counters of one link, now and then."""

    def __init__(self, now_ns: int) -> None:
        self._kept: deque[tuple[int, LinkStats]] = deque([(now_ns, LinkStats())], maxlen=WINDOW_S // STEP_S + 2)
        self._next_ns = now_ns + STEP_S * NS_PER_S

    def is_due(self, now_ns: int) -> bool:
        """Whether the counters are worth noting again."""
        return now_ns >= self._next_ns

    def note(self, stats: LinkStats, now_ns: int) -> None:
        """The counters after a read; they are not changed any more."""
        if self.is_due(now_ns):
            self._kept.append((now_ns, stats))
            self._next_ns = now_ns + STEP_S * NS_PER_S

    def rates(self, stats: LinkStats, now_ns: int) -> Rates:
        """In the last minute or a little more, with the counters of now; since the start where that was later."""
        begin_ns = now_ns - WINDOW_S * NS_PER_S
        since_ns, before = next((kept for kept in reversed(self._kept) if kept[0] <= begin_ns), self._kept[0])
        seconds = (now_ns - since_ns) / NS_PER_S
        requests = stats.requests - before.requests
        failed = stats.no_reply + stats.bad_reply - before.no_reply - before.bad_reply
        return Rates(
            busy_pct=round(min(100.0, 100 * (stats.busy_s - before.busy_s) / seconds), 1) if seconds > 0 else 0.0,
            answered_pct=round(max(0.0, 100 * (1 - failed / requests)), 1) if requests > 0 else None,
        )
