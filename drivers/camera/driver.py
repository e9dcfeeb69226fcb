"""The camera driver: a `Link` that asks what cameras are doing and takes pictures, and its `DriverSpec`.

Read-only: it knows no message that moves a camera. Must not know: pyserial, how messages are written.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from drivers.api import DriverSpec, Identity, LinkStats, Picture, Reading
from drivers.byte_port import BytePort, open_port
from drivers.camera.asking_pelco import Pelco
from drivers.camera.asking_vc0706 import Vc0706
from drivers.camera.asking_visca import Visca
from drivers.camera.decode import decode
from drivers.camera.options import (
    CameraOptions,
    CameraPoint,
    CameraProfile,
    check_device,
    check_profile,
    parse_link,
)
from drivers.camera.visca import inquiry_for
from drivers.camera.wire import Wire


@dataclass(frozen=True, eq=False)
class CameraPlan:
    """What one read asks of a camera."""

    profile: CameraProfile
    points: Sequence[CameraPoint]


class CameraLink:
    """A `drivers.api.PictureLink`: cameras of one line, all of one protocol or of several."""

    def __init__(self, port: BytePort, options: CameraOptions) -> None:
        self._wire = Wire(port, options)
        self._vc0706 = Vc0706(self._wire)
        self._talks: dict[str, Visca | Pelco | Vc0706] = {
            "visca": Visca(self._wire),
            "pelco-d": Pelco(self._wire),
            "vc0706": self._vc0706,
        }

    @property
    def stats(self) -> LinkStats:
        """Counters of this link."""
        return self._wire.stats

    async def read(self, unit: int | None, plan: CameraPlan) -> list[Reading]:
        """Ask the camera `unit` everything in `plan` once; see `drivers.api.Link.read`."""
        return await self._talks[plan.profile.protocol].read(unit or 0, plan.profile, plan.points)

    async def identify(self, unit: int | None, profile: CameraProfile) -> Identity:
        """A camera that answers in its protocol is taken for one of its profile."""
        del unit, profile
        return Identity()

    async def picture(self, unit: int | None, profile: CameraProfile) -> Picture:
        """One still picture; raises `LinkDown`, `NoReply` or `BadReply`."""
        return await self._vc0706.picture(unit or 0, profile)


@asynccontextmanager
async def open_link(options: CameraOptions) -> AsyncIterator[CameraLink]:
    """Open the port until the context ends; raises `LinkDown`."""
    async with open_port(options) as port:
        yield CameraLink(port, options)


def compile_plan(profile: CameraProfile, points: Sequence[CameraPoint]) -> CameraPlan:
    """What to ask."""
    return CameraPlan(profile, tuple(points))


def probe_plan(profile: CameraProfile) -> CameraPlan:
    """Everything that the profile knows: it is little."""
    return CameraPlan(profile, profile.point)


def bus_time_s(options: CameraOptions, plan: CameraPlan) -> float:
    """How long a reading keeps the line busy: about 20 bytes and 50 ms for each question. Pictures are not counted."""
    questions = len({inquiry_for(point.source) for point in plan.points})
    return questions * (options.wire_s(20) + 0.05)


SPEC = DriverSpec(
    kind="camera",
    profile_type=CameraProfile,
    point_type=CameraPoint,
    check_profile=check_profile,
    parse_link=parse_link,
    check_device=check_device,
    compile_plan=compile_plan,
    probe_plan=probe_plan,
    bus_time_s=bus_time_s,
    decode=decode,
    open_link=open_link,
    gives_pictures=lambda profile: profile.pictures,
)
