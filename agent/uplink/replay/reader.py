"""Reads from the archive what replays ask for, a few batches ahead of what is sent.

Promise: a card that cannot be read now is asked again; a replay never ends because of it.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from agent.model import BatchSource, SeqRange
from agent.ranges import RangeSet
from agent.uplink.downlink.messages import Replay
from agent.uplink.replay.replays import Replays

READ_BATCHES: Final = 20
READ_BYTES: Final = 256 * 1024
NOT_NOW_S: Final = 1.0


class ReplayReader:
    """The reading side of one connection's replays. `on_read` is called when there is something to send."""

    def __init__(self, source: BatchSource, replays: Replays, may_read: Callable[[], bool]) -> None:
        self.wake = asyncio.Event()
        self._source = source
        self._replays = replays
        self._may_read = may_read

    async def run(self, on_read: Callable[[], None]) -> None:
        """Read for as long as the connection holds; raises what the store raises."""
        while True:
            self.wake.clear()
            if not (self._may_read() and self._replays.wants_reading):
                await self.wake.wait()
            elif await self._step():
                self._replays.settle()
                on_read()
            else:
                await asyncio.sleep(NOT_NOW_S)

    async def _step(self) -> bool:
        """The next look into the archive; False where it cannot be read now."""
        if request := self._replays.waiting:
            ranges = await self._numbers(request)
            if ranges is not None and self._replays.waiting is request:
                self._replays.begin(ranges)
            return ranges is not None
        job = self._replays.job
        if job is None:
            return True  # it was cancelled meanwhile
        batches = await self._source.sealed(job.left.ranges(), READ_BATCHES, READ_BYTES)
        if batches is None:
            return False
        job.take(batches, await asyncio.to_thread(job.meant, batches))
        return True

    async def _numbers(self, request: Replay) -> Sequence[SeqRange] | None:
        """Which batches a request may mean; None where that cannot be told now."""
        if request.from_ms is None or request.to_ms is None:
            return RangeSet(request.ranges).overlap(1, self._source.high)
        return await self._source.window(request.from_ms, request.to_ms)
