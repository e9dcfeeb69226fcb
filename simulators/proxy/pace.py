"""How fast bytes go on through the proxy now, on all its connections: for faults that are there for a time.

What happens after a number of bytes is in `faults.py`.
"""

import asyncio
import math
from dataclasses import dataclass
from typing import Final, NamedTuple

_CHUNK_S: Final = 0.05
"""A slow line passes on what it can in such a time."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """`stands`: nothing goes on. `bytes_per_s`: not more than so many. `gap_s`: byte by byte, so many seconds apart."""

    stands: bool = False
    bytes_per_s: float = math.inf
    gap_s: float | None = None

    def step(self, size: int) -> "PaceStep":
        """How many of `size` bytes go on next, and after how long."""
        if self.stands:
            return PaceStep(math.inf, 0)
        if self.gap_s is not None:
            return PaceStep(max(self.gap_s, 1 / self.bytes_per_s), 1)
        if self.bytes_per_s == math.inf:
            return PaceStep(0.0, size)
        size = min(size, max(1, int(self.bytes_per_s * _CHUNK_S)))
        return PaceStep(size / self.bytes_per_s, size)


class PaceStep(NamedTuple):
    """Wait so long, then let `size` bytes go on."""

    wait_s: float
    size: int


class Pacer:
    """What all connections ask before they pass something on."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._changed = asyncio.Event()

    def set(self, pace: Pace) -> None:
        """From now on, also for what is waiting."""
        self._pace = pace
        self._changed.set()
        self._changed = asyncio.Event()

    async def room(self, size: int) -> int:
        """Wait until something may go on, and say how many of `size` bytes."""
        while True:
            changed, step = self._changed, self._pace.step(size)
            if not step.wait_s:
                return step.size
            try:
                async with asyncio.timeout(None if step.wait_s == math.inf else step.wait_s):
                    await changed.wait()
            except TimeoutError:
                return step.size
