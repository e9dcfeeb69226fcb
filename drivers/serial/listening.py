"""An instrument that sends by itself: it is listened to all the time.

Promises: a reading carries the time when its frame was complete; a port that failed raises at the next read; frames
that were broken are counted. Must not know: how frames and fields are written.
"""

import asyncio
import time

from drivers.api import LinkStats, Reading
from drivers.byte_port import BytePort, read_within
from drivers.errors import NoReply
from drivers.serial.instrument import Instrument, Silence
from drivers.serial.newest import SerialPlan
from drivers.serial.options import SerialOptions
from drivers.serial.profile import SerialProfile

MAX_OLD_READS = 16


class Listening:
    """The one instrument of a link. `listen` must run as a task for as long as it is read."""

    def __init__(self, port: BytePort, options: SerialOptions, profile: SerialProfile, stats: LinkStats) -> None:
        self._port = port
        self._options = options
        self._instrument = Instrument(profile, options, time.monotonic_ns())
        self._stats = stats
        self._news = asyncio.Event()
        self._listener: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to listen; what ends it is raised by the next read."""
        self._listener = asyncio.create_task(self._listen(), name=f"listen to {self._options.endpoint}")
        self._listener.add_done_callback(lambda _task: self._news.set())

    async def stop(self) -> None:
        """End listening."""
        if self._listener is not None:
            self._listener.cancel()
            await asyncio.wait([self._listener])
            if not self._listener.cancelled():
                self._listener.exception()

    async def _listen(self) -> None:
        """Take in what comes until `LinkDown`; a pause is told to the instrument when it is as long as it asks for."""
        await self._forget()
        pause_s = self._instrument.profile.frame.max_pause_s or 0.0
        while True:
            if self._instrument.waits_for_a_pause:
                data = await read_within(self._port, pause_s)
            else:
                data = await self._port.read()
            self._instrument.hear(data, time.monotonic_ns())
            self._stats.bad_reply = self._instrument.bad_frames
            self._news.set()

    async def _forget(self) -> None:
        """Throw away what was said before anybody listened."""
        for _ in range(MAX_OLD_READS):
            if not await read_within(self._port, 0.0):
                return

    async def read(self, plan: SerialPlan) -> list[Reading]:
        """What came since the last read of `plan`, else what the next frame brings; see `drivers.api.Link.read`.

        The first read listens to one whole cycle of the instrument. A point that stays away too long is `com`.
        Raises `LinkDown`, `NoReply` (silence, or frames without a point of the plan) or `BadReply` (broken frames).
        """
        self._stats.requests += 1
        newest = self._instrument.newest
        silence = Silence(self._instrument)
        first = newest.is_new(plan)
        try:
            async with asyncio.timeout(self._options.timeout_s):
                while True:
                    self._check_listener()
                    self._news.clear()
                    complete = not first or newest.has_heard_a_cycle(plan)
                    if complete and (readings := newest.news(plan, time.monotonic_ns())):
                        return readings
                    await self._news.wait()
        except TimeoutError:
            if readings := newest.news(plan, time.monotonic_ns()):
                return readings
        error = silence.error(self._options)
        self._stats.no_reply += isinstance(error, NoReply)
        raise error

    def _check_listener(self) -> None:
        if self._listener is not None and self._listener.done():
            self._listener.result()
