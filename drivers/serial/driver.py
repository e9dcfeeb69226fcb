"""The serial driver: a `Link` that listens to an instrument or asks it, and the `DriverSpec` that names its parts.

Must not know: pyserial, how frames and fields are written.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from drivers.api import DriverSpec, Identity, LinkStats, Reading
from drivers.byte_port import BytePort, open_port
from drivers.serial.asking import Asking
from drivers.serial.check import check_profile
from drivers.serial.decode import decode
from drivers.serial.listening import Listening
from drivers.serial.newest import SerialPlan
from drivers.serial.options import SerialOptions, check_device, parse_link
from drivers.serial.profile import SerialPoint, SerialProfile
from drivers.serial.requests import request_bytes, requests_of, step_bytes


class SerialLink:
    """A `drivers.api.Link`. Whether it listens or asks is told by the first plan that it reads."""

    def __init__(self, port: BytePort, options: SerialOptions) -> None:
        self.stats = LinkStats()
        self._port = port
        self._options = options
        self._asking = Asking(port, options, self.stats)
        self._listening: Listening | None = None

    async def read(self, unit: int | None, plan: SerialPlan) -> list[Reading]:
        """One reading of the points of `plan`; see `Listening.read` and `Asking.read`."""
        if plan.profile.is_asked:
            return await self._asking.read(unit, plan)
        if self._listening is None:
            self._listening = Listening(self._port, self._options, plan.profile, self.stats)
            self._listening.start()
        return await self._listening.read(plan)

    async def identify(self, unit: int | None, profile: SerialProfile) -> Identity:
        """Instruments that are described by data tell nothing of what they are."""
        del unit, profile
        return Identity()

    async def stop(self) -> None:
        """End what runs beside the reads."""
        if self._listening is not None:
            await self._listening.stop()


@asynccontextmanager
async def open_link(options: SerialOptions) -> AsyncIterator[SerialLink]:
    """Open the port until the context ends; raises `LinkDown`."""
    async with open_port(options) as port:
        link = SerialLink(port, options)
        try:
            yield link
        finally:
            await link.stop()


def compile_plan(profile: SerialProfile, points: Sequence[SerialPoint]) -> SerialPlan:
    """What to listen for, or to ask for."""
    return SerialPlan(profile, tuple(points))


def probe_plan(profile: SerialProfile) -> SerialPlan:
    """A frame with the right form and checksum is from such an instrument."""
    return SerialPlan(profile, profile.point)


REPLY_BYTES = 60
"""A guess for the forecast: most answers are shorter."""


def bus_time_s(options: SerialOptions, plan: SerialPlan) -> float:
    """How long a reading keeps the line busy: nothing where the instrument sends by itself."""
    profile = plan.profile
    if not profile.is_asked:
        return 0.0
    total = 0.0
    for request, _ in requests_of(profile, plan.points):
        asked = len(request_bytes(request, 0)) + sum(len(step_bytes(step, 0)) for step in request.before)
        total += options.wire_s(asked + REPLY_BYTES) * (2 if request.confirm else 1)
        total += sum(step.pause_s for step in request.before)
    return total + (profile.frame.warm_up_s if profile.duty else 0.0)


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
