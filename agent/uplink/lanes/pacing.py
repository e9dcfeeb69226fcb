"""How fast a lane may go, and how long it stands still after a refusal. Pure; time is passed in."""

from typing import Final

from agent.clock import NS_PER_S
from agent.supervise import Backoff

BURST_S: Final = 0.25


class TokenBucket:
    """A pace in readings a second. A batch goes when there is anything in the bucket, and may leave a debt."""

    def __init__(self, rate_per_s: float, now_ns: int) -> None:
        self._rate_per_s = rate_per_s
        self._most = rate_per_s * BURST_S
        self._tokens = self._most
        self._at_ns = now_ns

    def set_rate(self, rate_per_s: float, now_ns: int) -> None:
        """Another pace from now on."""
        self._fill(now_ns)
        self._rate_per_s, self._most = rate_per_s, rate_per_s * BURST_S

    def wait_s(self, now_ns: int) -> float:
        """How long until something may go, in seconds; 0 for now."""
        self._fill(now_ns)
        return 0.0 if self._tokens > 0 else (1.0 - self._tokens) / self._rate_per_s

    def take(self, readings: int, now_ns: int) -> None:
        self._fill(now_ns)
        self._tokens -= max(1, readings)

    def _fill(self, now_ns: int) -> None:
        elapsed_s = (now_ns - self._at_ns) / NS_PER_S
        self._tokens = min(self._most, self._tokens + elapsed_s * self._rate_per_s)
        self._at_ns = now_ns


class Pause:
    """A lane that stands still after a refusal, longer with each one in a row."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._until_ns = 0
        self._count = 0

    def __bool__(self) -> bool:
        return self._count > 0

    def wait_s(self, now_ns: int) -> float:
        """How long the lane stands still, in seconds; 0 where it runs."""
        return max(0.0, (self._until_ns - now_ns) / NS_PER_S)

    def begin(self, now_ns: int, max_s: float) -> None:
        """Stand still, at most `max_s`; refusals of one window are one refusal."""
        if now_ns >= self._until_ns:
            self._count += 1
            self._until_ns = now_ns + round(min(max_s, self._backoff.delay_s(self._count)) * NS_PER_S)

    def end(self) -> None:
        self._until_ns = self._count = 0
