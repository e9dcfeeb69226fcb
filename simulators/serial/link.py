"""A serial link of a site: an instrument that sends its frames each second, or instruments that answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random

from drivers.api import Reading
from drivers.registry import driver_specs
from drivers.serial.options import SerialOptions
from drivers.serial.profile import SerialProfile
from simulators.captures import capture_file
from simulators.serial.answering import Answering
from simulators.serial.line import Line, OnData, open_line
from simulators.serial.stream import Stream
from simulators.site import SiteDevice, SiteLink
from simulators.world import Served, World

PERIOD_S = 1.0


@asynccontextmanager
async def serve_serial(link: SiteLink, world: World) -> AsyncIterator[str]:
    """Serve the devices of `link` at the address that its options name; raises `CannotServe`."""
    profile = link.devices[0].profile
    assert isinstance(profile, SerialProfile)
    serve = _serve_answering if profile.is_asked else _serve_stream
    async with serve(link, world) as address:
        yield address


@asynccontextmanager
async def _serve_stream(link: SiteLink, world: World) -> AsyncIterator[str]:
    device = link.devices[0]
    assert isinstance(device.profile, SerialProfile)
    spec = driver_specs()[link.kind]
    stream = Stream(device.name, device.profile, spec, capture_file(device.profile_file), world.seed)
    async with _opened(link, world, lambda _data: None) as line, asyncio.TaskGroup() as tasks:
        task = tasks.create_task(_send_for_ever(device.name, stream, world, line), name=f"simulated {device.name}")
        try:
            yield line.address
        finally:
            task.cancel()


async def _send_for_ever(device: str, stream: Stream, world: World, line: Line) -> None:
    """One burst of frames each second, on the second of the simulation."""
    while True:
        data = b""
        for frame, readings in stream.frames(world.elapsed_s()):
            data += frame
            _record(world, device, readings)
        line.send(data)
        await asyncio.sleep(PERIOD_S - world.elapsed_s() % PERIOD_S)


@asynccontextmanager
async def _serve_answering(link: SiteLink, world: World) -> AsyncIterator[str]:
    instruments = [(device.name, _answering(device, link.kind, world)) for device in link.devices]
    lines: list[Line] = []

    def hear(data: bytes) -> None:
        for device, instrument in instruments:
            for answer, readings in instrument.hear(data, world.elapsed_s()):
                _record(world, device, readings)
                lines[0].send(answer)

    async with _opened(link, world, hear) as line:
        lines.append(line)
        yield line.address


def _answering(device: SiteDevice, kind: str, world: World) -> Answering:
    assert isinstance(device.profile, SerialProfile)
    capture = capture_file(device.profile_file)
    return Answering(device.name, device.unit, device.profile, driver_specs()[kind], capture, world.seed)


def _opened(link: SiteLink, world: World, on_data: OnData) -> AbstractAsyncContextManager[Line]:
    options: SerialOptions = link.options
    return open_line(options, on_data, world.faults, Random(f"{world.seed}/{link.name}"))


def _record(world: World, device: str, readings: list[Reading]) -> None:
    time_ms = world.wall_ms()
    world.record(Served(device, r.point, r.value, time_ms) for r in readings if r.value is not None)
