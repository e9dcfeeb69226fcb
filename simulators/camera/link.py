"""A camera link of a site: the cameras of one line, on a pty or as a serial server."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

from drivers.api import DriverSpec
from drivers.camera.options import CameraProfile
from drivers.errors import DriverError
from drivers.registry import driver_specs
from simulators.camera.models import Camera, PelcoCameras, Vc0706Camera, ViscaChain
from simulators.serial.line import Line, open_line
from simulators.site import SiteDevice, SiteLink
from simulators.values import Waveform, waveform
from simulators.world import Served, World


@asynccontextmanager
async def serve_camera(link: SiteLink, world: World) -> AsyncIterator[str]:
    """Serve the cameras of `link` at the address that its options name; raises `CannotServe`."""
    camera = _cameras(link.devices, world)
    lines: list[Line] = []

    def hear(data: bytes) -> None:
        for request, answer in camera.hear(data, world.elapsed_s()):
            _record(world, link.devices, driver_specs()[link.kind], request, answer)
            lines[0].send(answer)
        if isinstance(camera, Vc0706Camera):
            _record_pictures(world, link.devices[0].name, camera)

    async with open_line(link.options, hear, world.faults, Random(f"{world.seed}/{link.name}")) as line:
        lines.append(line)
        yield line.address


def _cameras(devices: Sequence[SiteDevice], world: World) -> Camera:
    profile = _profile(devices[0])
    if profile.protocol == "vc0706":
        return Vc0706Camera(world.seed, devices[0].name, devices[0].unit or 0)
    tells = {device.unit or 0: _waves(device, world) for device in devices}
    return ViscaChain(tells) if profile.protocol == "visca" else PelcoCameras(tells)


def _waves(device: SiteDevice, world: World) -> dict[str, Waveform]:
    points = [point for point in _profile(device).point if point.wire_type != "string"]
    return {point.source: waveform(world.seed, device.name, point) for point in points}


def _profile(device: SiteDevice) -> CameraProfile:
    assert isinstance(device.profile, CameraProfile)
    return device.profile


def _record(world: World, devices: Sequence[SiteDevice], spec: DriverSpec, request: bytes, answer: bytes) -> None:
    """What the answer means to any reader."""
    for device in devices:
        if len(devices) > 1 and device.unit not in (request[0] & 0x0F, request[1]):
            continue
        try:
            readings = list(spec.decode(device.profile, request, answer))
        except DriverError:
            continue
        time_ms = world.wall_ms()
        world.record(Served(device.name, r.point, r.value, time_ms) for r in readings if r.value is not None)


def _record_pictures(world: World, device: str, camera: Vc0706Camera) -> None:
    """A picture is recorded by its SHA-256."""
    time_ms = world.wall_ms()
    world.record(Served(device, "picture", hashlib.sha256(one).hexdigest(), time_ms) for one in camera.taken)
    camera.taken.clear()
