"""The serial driver: a `Link` that listens all the time, and the `DriverSpec` that names its parts.

Promises: a reading carries the time when its frame was complete; a port that failed raises at the next read; frames
that were broken are counted. Must not know: pyserial, how frames and fields are written.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from drivers.api import DriverSpec, Identity, LinkStats, Reading
from drivers.errors import NoReply
from drivers.serial.check import check_profile
from drivers.serial.decode import decode
from drivers.serial.instrument import Instrument, Silence
from drivers.serial.newest import SerialPlan
from drivers.serial.options import SerialOptions, SerialPoint, SerialProfile, check_device, parse_link
from drivers.serial.port import ByteSource, open_port


class SerialLink:
    """A `drivers.api.Link` to one stream instrument. It must be listened to by a task that runs `listen`."""

    def __init__(self, options: SerialOptions) -> None:
        self.stats = LinkStats()
        self._options = options
        self._instrument: Instrument | None = None
        self._news = asyncio.Event()
        self._listener: asyncio.Task[None] | None = None

    def listen_with(self, listener: asyncio.Task[None]) -> None:
        """Tell the link which task listens; when it ends, the next read says why."""
        self._listener = listener
        listener.add_done_callback(lambda _task: self._news.set())

    async def listen(self, port: ByteSource) -> None:
        """Take in what comes until `LinkDown`. Until the first read tells the frame, what comes is thrown away."""
        while True:
            data = await port.read()
            if self._instrument is None:
                continue
            self._instrument.hear(data, time.monotonic_ns())
            self.stats.bad_reply = self._instrument.framer.bad_frames
            self._news.set()

    async def read(self, unit: int | None, plan: SerialPlan) -> list[Reading]:
        """What came since the last read of `plan`, else what the next frame brings; see `drivers.api.Link.read`.

        The first read listens to one whole cycle of the instrument. A point that stays away too long is `com`.
        Raises `LinkDown`, `NoReply` (silence, or frames without a point of the plan) or `BadReply` (broken frames).
        """
        del unit
        self.stats.requests += 1
        instrument = self._instrument
        if instrument is None:
            instrument = self._instrument = Instrument(plan.profile, self._options.timeout_s, time.monotonic_ns())
        silence = Silence(instrument)
        first = instrument.newest.is_new(plan)
        try:
            async with asyncio.timeout(self._options.timeout_s):
                while True:
                    self._check_listener()
                    self._news.clear()
                    complete = not first or instrument.newest.has_heard_a_cycle(plan)
                    if complete and (readings := instrument.newest.news(plan, time.monotonic_ns())):
                        return readings
                    await self._news.wait()
        except TimeoutError:
            if readings := instrument.newest.news(plan, time.monotonic_ns()):
                return readings
        error = silence.error(self._options)
        self.stats.no_reply += isinstance(error, NoReply)
        raise error

    async def identify(self, unit: int | None, profile: SerialProfile) -> Identity:
        """A stream tells nothing of who sends it."""
        del unit, profile
        return Identity()

    def _check_listener(self) -> None:
        if self._listener is not None and self._listener.done():
            self._listener.result()


@asynccontextmanager
async def open_link(options: SerialOptions) -> AsyncIterator[SerialLink]:
    """Open the port and listen to it until the context ends; raises `LinkDown`."""
    async with open_port(options) as port:
        link = SerialLink(options)
        listener = asyncio.create_task(link.listen(port), name=f"listen to {options.endpoint}")
        link.listen_with(listener)
        try:
            yield link
        finally:
            listener.cancel()
            await asyncio.wait([listener])
            if not listener.cancelled():
                listener.exception()


def compile_plan(profile: SerialProfile, points: Sequence[SerialPoint]) -> SerialPlan:
    """What to listen for."""
    return SerialPlan(profile, tuple(points))


def probe_plan(profile: SerialProfile) -> SerialPlan:
    """Listening is the probe: a frame with the right checksum is from such an instrument."""
    return SerialPlan(profile, profile.point)


def bus_time_s(_options: SerialOptions, _plan: SerialPlan) -> float:
    """Nothing is asked, so the wire is kept busy by nobody."""
    return 0.0


SPEC = DriverSpec(
    kind="serial",
    profile_type=SerialProfile,
    point_type=SerialPoint,
    check_profile=check_profile,
    parse_link=parse_link,
    check_device=check_device,
    compile_plan=compile_plan,
    probe_plan=probe_plan,
    bus_time_s=bus_time_s,
    decode=decode,
    open_link=open_link,
)
