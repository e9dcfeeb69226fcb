"""A serial link of a site: an instrument that sends its frames each second, or instruments that answer."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

from drivers.api import Reading
from drivers.registry import driver_specs
from drivers.serial.options import SerialOptions
from drivers.serial.profile import SerialProfile
from simulators.captures.reading import capture_file
from simulators.lines.line import Line, Members
from simulators.lines.opening import open_line
from simulators.lines.speaking import Answer, Deaf
from simulators.serial.answering import Answering
from simulators.serial.stream import Stream
from simulators.site.reading import SiteDevice, SiteLink
from simulators.world import Served, World

PERIOD_S = 1.0


@asynccontextmanager
async def serve_serial(link: SiteLink, world: World) -> AsyncIterator[Line]:
    """Serve the devices of `link` at the address that its options name; raises `CannotServe`."""
    profile = link.devices[0].profile
    assert isinstance(profile, SerialProfile)
    serve = _serve_answering if profile.is_asked else _serve_stream
    async with serve(link, world) as line:
        yield line


@asynccontextmanager
async def _serve_stream(link: SiteLink, world: World) -> AsyncIterator[Line]:
    device = link.devices[0]
    assert isinstance(device.profile, SerialProfile)
    options: SerialOptions = link.options
    stream = Stream(device.name, device.profile, driver_specs()[link.kind], capture_file(device.profile_file), world)
    members = Members(link.name, (device.name,), Deaf, world)
    async with open_line(options, members) as line, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(_send_for_ever(device.name, stream, members, line), name=f"simulated {device.name}")
        try:
            yield line
        finally:
            task.cancel()


async def _send_for_ever(device: str, stream: Stream, members: Members, line: Line) -> None:
    """One burst of frames each second, on the second of the simulation."""
    world = members.world
    while True:
        data, readings = b"", list[Reading]()
        for frame, said in stream.frames(world.device_s(*members.names)):
            data += frame
            readings += said
        line.say(Answer(device, data, served=served(device, readings, world)))
        await asyncio.sleep(PERIOD_S - world.elapsed_s() % PERIOD_S)


@asynccontextmanager
async def _serve_answering(link: SiteLink, world: World) -> AsyncIterator[Line]:
    options: SerialOptions = link.options
    names = [device.name for device in link.devices]
    instruments = _Instruments(link, world)
    members = Members(link.name, names, lambda: instruments, world)
    async with open_line(options, members) as line:
        yield line


class _Instruments:
    """All that answer on one line, as one ear that all connections share."""

    silence_s = 0.0

    def __init__(self, link: SiteLink, world: World) -> None:
        self._link = link.name
        self._world = world
        self._instruments = [(device.name, _answering(device, link.kind, world)) for device in link.devices]

    def feed(self, data: bytes) -> Iterator[Answer]:
        for device, instrument in self._instruments:
            for request, answer, readings in instrument.hear(data, self._world.device_s(device, self._link)):
                yield Answer(device, answer, request, served(device, readings, self._world))

    def silence(self) -> Sequence[Answer]:
        return ()


def _answering(device: SiteDevice, kind: str, world: World) -> Answering:
    assert isinstance(device.profile, SerialProfile)
    capture = capture_file(device.profile_file)
    return Answering(device.name, device.unit, device.profile, driver_specs()[kind], capture, world)


def served(device: str, readings: Sequence[Reading], world: World) -> list[Served]:
    """What these readings are in the truth."""
    time_ms = world.wall_ms()
    return [Served(device, r.point, r.value, time_ms) for r in readings if r.value is not None]
