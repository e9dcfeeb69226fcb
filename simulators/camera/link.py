"""A camera link of a site: the cameras of one line, on a pty or as a serial server."""

import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from drivers.api import DriverSpec
from drivers.camera.options import CameraProfile
from drivers.errors import DriverError
from drivers.registry import driver_specs
from simulators.camera.measuring import told_by
from simulators.camera.models import Camera, PelcoCameras, Vc0706Camera, ViscaChain
from simulators.lines.line import Line, Members
from simulators.lines.opening import open_line
from simulators.lines.speaking import Answer
from simulators.site.reading import SiteDevice, SiteLink
from simulators.world import Served, World


@asynccontextmanager
async def serve_camera(link: SiteLink, world: World) -> AsyncIterator[Line]:
    """Serve the cameras of `link` at the address that its options name; raises `CannotServe`."""
    cameras = _Cameras(link, _cameras(link, world), world)
    names = [device.name for device in link.devices]
    members = Members(link.name, names, lambda: cameras, world)
    async with open_line(link.options, members) as line:
        yield line


class _Cameras:
    """All cameras of one line, as one ear that all connections share."""

    silence_s = 0.0

    def __init__(self, link: SiteLink, camera: Camera, world: World) -> None:
        self._link = link
        self._camera = camera
        self._world = world
        self._spec = driver_specs()[link.kind]

    def feed(self, data: bytes) -> Iterator[Answer]:
        names = [device.name for device in self._link.devices]
        for request, answer in self._camera.hear(data, self._world.device_s(self._link.name, *names)):
            device, served = _understood(self._world, self._link.devices, self._spec, request, answer)
            if isinstance(self._camera, Vc0706Camera):
                served += _pictures(self._world, device, self._camera)
            yield Answer(device, answer, request, served)

    def silence(self) -> Sequence[Answer]:
        return ()


def _cameras(link: SiteLink, world: World) -> Camera:
    device, profile = link.devices[0], _profile(link.devices[0])
    if profile.protocol == "vc0706":
        is_stuck = partial(world.has, "stuck_picture", device.name, link.name)
        return Vc0706Camera(world.seed, device.name, device.unit or 0, is_stuck)
    tells = {device.unit or 0: told_by(device.name, _profile(device), world) for device in link.devices}
    return ViscaChain(tells) if profile.protocol == "visca" else PelcoCameras(tells)


def _profile(device: SiteDevice) -> CameraProfile:
    assert isinstance(device.profile, CameraProfile)
    return device.profile


def _understood(
    world: World, devices: Sequence[SiteDevice], spec: DriverSpec, request: bytes, answer: bytes
) -> tuple[str, list[Served]]:
    """Who was asked, and what the answer means to any reader."""
    asked = [one for one in devices if len(devices) == 1 or one.unit in (request[0] & 0x0F, request[1])]
    served: list[Served] = []
    for device in asked:
        try:
            readings = list(spec.decode(device.profile, request, answer))
        except DriverError:
            continue
        time_ms = world.wall_ms()
        served += [Served(device.name, r.point, r.value, time_ms) for r in readings if r.value is not None]
    return (asked[0].name if asked else ""), served


def _pictures(world: World, device: str, camera: Vc0706Camera) -> list[Served]:
    """A picture is recorded by its SHA-256."""
    time_ms = world.wall_ms()
    taken = [Served(device, "picture", hashlib.sha256(one).hexdigest(), time_ms) for one in camera.taken]
    camera.taken.clear()
    return taken
