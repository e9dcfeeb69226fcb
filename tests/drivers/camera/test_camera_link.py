"""Simulated cameras on real ptys and sockets: what is read is what was served, also on a disturbed line."""

import asyncio
import hashlib
import os
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers.api import Quality
from drivers.camera.driver import SPEC, CameraLink, compile_plan, open_link
from drivers.camera.options import CameraOptions, CameraProfile
from drivers.catalogue import load_profile, shipped_profiles
from drivers.errors import BadReply, DriverError, NoReply
from simulators.camera.link import serve_camera
from simulators.endpoints import free_port
from simulators.faults.fault import parse_fault
from simulators.faults.schedule import Schedule
from simulators.site import SiteDevice, SiteLink
from simulators.world import Served, World


def profile(name: str) -> CameraProfile:
    found = load_profile(shipped_profiles() / f"{name}.toml", {"camera": SPEC})
    assert isinstance(found, CameraProfile)
    return found


@asynccontextmanager
async def simulated(
    name: str, units: tuple[int | None, ...], options: CameraOptions, served: list[Served], faults: str = ""
) -> AsyncIterator[CameraLink]:
    found = profile(name)
    devices = tuple(SiteDevice(f"cam-{u}", u, found, shipped_profiles() / f"{name}.toml") for u in units)
    world = World(seed=3, record=served.extend, faults=Schedule([parse_fault(faults)] if faults else (), 3))
    async with serve_camera(SiteLink("l", "camera", options, devices), world), open_link(options) as link:
        yield link


async def shown(link: CameraLink, name: str, unit: int | None) -> dict[str, Any]:
    plan = compile_plan(profile(name), profile(name).point)
    return {r.point: r.value if r.value is not None else str(r.quality) for r in await link.read(unit, plan)}


@pytest.mark.parametrize(
    ("name", "units"), [("sony/visca", (1, 2, 3)), ("pelco/pelco-d", (1, 9)), ("vimicro/vc0706", (None,))]
)
@pytest.mark.parametrize("over", ["pty", "tcp"])
async def test_what_a_camera_is_doing_is_read_as_it_was_served(
    name: str, units: tuple[int | None, ...], over: str, tmp_path: Path
) -> None:
    served: list[Served] = []
    options = (
        CameraOptions(port=str(tmp_path / "port"))
        if over == "pty"
        else CameraOptions(host="127.0.0.1", tcp_port=free_port())
    )
    async with simulated(name, units, options, served) as link:
        for unit in units:
            got = await shown(link, name, unit)
            assert got.keys() == {p.name for p in profile(name).point}
            assert {(f"cam-{unit}", p, v) for p, v in got.items()} <= {(s.device, s.point, s.value) for s in served}


async def test_a_camera_beyond_the_end_of_the_chain_is_said(tmp_path: Path) -> None:
    async with simulated("sony/visca", (1, 2), CameraOptions(port=str(tmp_path / "port")), []) as link:
        with pytest.raises(NoReply, match="there are 2 cameras"):
            await shown(link, "sony/visca", 3)


async def test_a_picture_is_the_one_that_was_taken(tmp_path: Path) -> None:
    served: list[Served] = []
    async with simulated("vimicro/vc0706", (None,), CameraOptions(port=str(tmp_path / "port")), served) as link:
        pictures = [await link.picture(None, profile("vimicro/vc0706")) for _ in range(2)]
    assert pictures[0].data != pictures[1].data
    assert (pictures[0].width, pictures[0].height, pictures[0].mime) == (640, 480, "image/jpeg")
    hashes = [s.value for s in served if s.point == "picture"]
    assert [hashlib.sha256(one.data).hexdigest() for one in pictures] == hashes


@pytest.mark.parametrize("fault", ["lost", "doubled", "late"])
async def test_on_a_disturbed_line_a_picture_comes_whole_or_not_at_all(fault: str, tmp_path: Path) -> None:
    served: list[Served] = []
    options = CameraOptions(port=str(tmp_path / "port"), baud=115200, timeout_s=0.2)
    whole = 0
    async with simulated("vimicro/vc0706", (None,), options, served, f"{fault}=0.06") as link:
        for _ in range(2):
            try:
                picture = await link.picture(None, profile("vimicro/vc0706"))
            except (NoReply, BadReply):
                continue
            whole += 1
            assert hashlib.sha256(picture.data).hexdigest() in {s.value for s in served}
    assert whole >= 1


@pytest.mark.parametrize(("name", "unit"), [("sony/visca", 1), ("pelco/pelco-d", 1)])
@pytest.mark.parametrize("fault", ["lost", "doubled", "late"])
async def test_on_a_disturbed_line_there_is_no_wrong_value(name: str, unit: int, fault: str, tmp_path: Path) -> None:
    served: list[Served] = []
    good = 0
    options = CameraOptions(port=str(tmp_path / "port"), timeout_s=0.1)
    async with simulated(name, (unit,), options, served, f"{fault}=0.04") as link:
        for _ in range(15):
            try:
                got = await shown(link, name, unit)
            except DriverError:
                continue
            good += 1
            assert {(p, v) for p, v in got.items()} <= {(s.point, s.value) for s in served}
    assert good >= 3


class Camera:
    """A camera at the other end of a pty that answers what a test says."""

    def __init__(self, port: Path, answer: Callable[[bytes], list[tuple[float, bytes]]]) -> None:
        self.heard: list[bytes] = []
        self._answer = answer
        self._fd, self._device_fd = os.openpty()
        tty.setraw(self._device_fd)
        port.symlink_to(os.ttyname(self._device_fd))
        asyncio.get_running_loop().add_reader(self._fd, self._hear)

    def _hear(self) -> None:
        data = os.read(self._fd, 4096)
        self.heard.append(data)
        for wait_s, part in self._answer(data):
            asyncio.get_running_loop().call_later(wait_s, os.write, self._fd, part)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._fd)
        os.close(self._fd)
        os.close(self._device_fd)


async def test_a_late_answer_is_never_taken_for_that_of_another_inquiry(tmp_path: Path) -> None:
    """Zoom and focus have answers of the same form: the late zoom must not be read as focus."""
    zoom, focus, version = (bytes.fromhex(h) for h in ("8109 0447 FF", "8109 0448 FF", "8109 0002 FF"))
    answers = {
        zoom: [(0.55, bytes.fromhex("90 50 01 01 01 01 FF"))],
        focus: [(0.2, bytes.fromhex("90 50 02 02 02 02 FF"))],
        version: [(0.25, bytes.fromhex("90 50 00 01 05 1C 01 00 02 FF"))],
        bytes.fromhex("88 30 01 FF"): [(0.0, bytes.fromhex("88 30 02 FF"))],
    }
    camera = Camera(tmp_path / "port", lambda asked: answers.get(asked, []))
    found = profile("sony/visca")
    plans = [compile_plan(found, [p for p in found.point if p.name == name]) for name in ("zoom", "focus")]
    async with open_link(CameraOptions(port=str(tmp_path / "port"), timeout_s=0.3)) as link:
        for _ in range(3):
            with pytest.raises(NoReply):
                await link.read(1, plans[0])
            readings = await link.read(1, plans[1])
            assert readings[0].value == 0x2222
    camera.close()


async def test_what_a_camera_in_standby_cannot_tell_is_dsc_and_what_it_does_not_know_is_cfg(tmp_path: Path) -> None:
    answers = {
        "8109044 7FF": "90 61 41 FF",
        "81090448FF": "90 60 02 FF",
        "81090002FF": "90 50 00 01 05 1C 01 00 02 FF",
        "883001FF": "88 30 02 FF",
    }
    known = {bytes.fromhex(k.replace(" ", "")): bytes.fromhex(v) for k, v in answers.items()}
    camera = Camera(tmp_path / "port", lambda asked: [(0.0, known.get(asked, b""))])
    found = profile("sony/visca")
    plan = compile_plan(found, [p for p in found.point if p.name in ("zoom", "focus")])
    async with open_link(CameraOptions(port=str(tmp_path / "port"), timeout_s=0.3)) as link:
        readings = await link.read(1, plan)
    assert [(r.value, r.quality) for r in readings] == [(None, Quality.SWITCHED_OFF), (None, Quality.CONFIGURATION)]
    camera.close()


async def test_a_chain_that_changed_is_addressed_again(tmp_path: Path) -> None:
    set_addresses, power, version = (bytes.fromhex(h) for h in ("883001FF", "81090400FF", "81090002FF"))
    answers = {
        set_addresses: bytes.fromhex("88 30 02 FF"),
        power: bytes.fromhex("A0 38 FF 90 50 02 FF"),
        version: bytes.fromhex("90 50 00 01 05 1C 01 00 02 FF"),
    }
    camera = Camera(tmp_path / "port", lambda asked: [(0.0, answers.get(asked, b""))])
    found = profile("sony/visca")
    plan = compile_plan(found, [p for p in found.point if p.name == "power"])
    async with open_link(CameraOptions(port=str(tmp_path / "port"), timeout_s=0.3)) as link:
        for _ in range(2):
            assert [r.value for r in await link.read(1, plan)] == ["on"]
    assert camera.heard.count(set_addresses) == 2
    camera.close()
