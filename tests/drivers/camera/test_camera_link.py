"""Simulated cameras on real ptys and sockets: what is read is what was served, also on a disturbed line."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.api import Quality
from drivers.camera.driver import SPEC, CameraLink, compile_plan, open_link
from drivers.camera.options import CameraOptions, CameraProfile
from drivers.catalogue import load_profile, shipped_profiles
from drivers.errors import BadReply, DriverError, NoReply
from drivers.tomltext import toml_text
from simulators.endpoints import free_port
from simulators.testing import MakeSerialDevice, RawLine, SimulatedDevice, SimulatedSite


def profile(name: str) -> CameraProfile:
    found = load_profile(shipped_profiles() / f"{name}.toml", {"camera": SPEC})
    assert isinstance(found, CameraProfile)
    return found


@pytest.fixture
def chain(site: Callable[[Path], SimulatedSite], tmp_path: Path) -> Callable[..., list[SimulatedDevice]]:
    """Make cameras of one profile on one line: on a pty, or behind a serial server."""

    def made(name: str, units: tuple[int | None, ...], *, tcp: bool = False) -> list[SimulatedDevice]:
        where = {"host": "127.0.0.1", "tcp_port": free_port()} if tcp else {"port": str(tmp_path / "port")}
        devices = [
            {"name": f"cam-{unit}", "link": "chain", "profile": name} | ({"unit": unit} if unit else {})
            for unit in units
        ]
        config = tmp_path / "agent.toml"
        link = {"name": "chain", "kind": "camera"} | where
        config.write_text(toml_text({"link": [link], "device": devices}), encoding="utf-8")
        return [*site(config).devices.values()]

    return made


def options(device: SimulatedDevice, **more: Any) -> CameraOptions:
    """How a driver finds a camera."""
    return CameraOptions(
        **{key: device.link[key] for key in ("port", "host", "tcp_port") if key in device.link}, **more
    )


def is_served(device: SimulatedDevice, values: dict[str, Any]) -> bool:
    """Whether all of these values have left the camera."""
    return set(values.items()) <= {(s.point, s.value) for s in device.served}


async def shown(link: CameraLink, name: str, unit: int | None) -> dict[str, Any]:
    plan = compile_plan(profile(name), profile(name).point)
    return {r.point: r.value if r.value is not None else str(r.quality) for r in await link.read(unit, plan)}


@pytest.mark.parametrize(
    ("name", "units"), [("sony/visca", (1, 2, 3)), ("pelco/pelco-d", (1, 9)), ("vimicro/vc0706", (None,))]
)
@pytest.mark.parametrize("over", ["pty", "tcp"])
async def test_what_a_camera_is_doing_is_read_as_it_was_served(
    name: str, units: tuple[int | None, ...], over: str, chain: Any
) -> None:
    cameras = chain(name, units, tcp=over == "tcp")
    async with open_link(options(cameras[0])) as link:
        for camera, unit in zip(cameras, units, strict=True):
            got = await shown(link, name, unit)
            assert got.keys() == {p.name for p in profile(name).point}
            assert is_served(camera, got)


async def test_a_camera_beyond_the_end_of_the_chain_is_said(chain: Any) -> None:
    first, _ = chain("sony/visca", (1, 2))
    async with open_link(options(first)) as link:
        with pytest.raises(NoReply, match="there are 2 cameras"):
            await shown(link, "sony/visca", 3)


async def test_a_picture_is_the_one_that_was_taken(camera_device: MakeSerialDevice) -> None:
    camera = camera_device("vimicro/vc0706")
    async with open_link(options(camera)) as link:
        pictures = [await link.picture(None, profile("vimicro/vc0706")) for _ in range(2)]
    assert pictures[0].data != pictures[1].data
    assert (pictures[0].width, pictures[0].height, pictures[0].mime) == (640, 480, "image/jpeg")
    hashes = [s.value for s in camera.served if s.point == "picture"]
    assert [hashlib.sha256(one.data).hexdigest() for one in pictures] == hashes


@pytest.mark.parametrize("fault", ["lost", "doubled", "late"])
async def test_on_a_disturbed_line_a_picture_comes_whole_or_not_at_all(
    fault: str, camera_device: MakeSerialDevice
) -> None:
    camera = camera_device("vimicro/vc0706")
    camera.fault(f"{fault}=0.06")
    whole = 0
    async with open_link(options(camera, baud=115200, timeout_s=0.2)) as link:
        for _ in range(2):
            try:
                picture = await link.picture(None, profile("vimicro/vc0706"))
            except (NoReply, BadReply):
                continue
            whole += 1
            assert hashlib.sha256(picture.data).hexdigest() in {s.value for s in camera.served}
    assert whole >= 1


@pytest.mark.parametrize(("name", "unit"), [("sony/visca", 1), ("pelco/pelco-d", 1)])
@pytest.mark.parametrize("fault", ["lost", "doubled", "late"])
async def test_on_a_disturbed_line_there_is_no_wrong_value(
    name: str, unit: int, fault: str, camera_device: MakeSerialDevice
) -> None:
    camera = camera_device(name, unit=unit)
    camera.fault(f"{fault}=0.04")
    good = 0
    async with open_link(options(camera, timeout_s=0.1)) as link:
        for _ in range(15):
            try:
                got = await shown(link, name, unit)
            except DriverError:
                continue
            good += 1
            assert is_served(camera, got)
    assert good >= 3


async def test_a_late_answer_is_never_taken_for_that_of_another_inquiry(serial_line: Callable[..., RawLine]) -> None:
    """Zoom and focus have answers of the same form: the late zoom must not be read as focus."""
    zoom, focus, version = (bytes.fromhex(h) for h in ("8109 0447 FF", "8109 0448 FF", "8109 0002 FF"))
    answers = {
        zoom: [(0.55, bytes.fromhex("90 50 01 01 01 01 FF"))],
        focus: [(0.2, bytes.fromhex("90 50 02 02 02 02 FF"))],
        version: [(0.25, bytes.fromhex("90 50 00 01 05 1C 01 00 02 FF"))],
        bytes.fromhex("88 30 01 FF"): [(0.0, bytes.fromhex("88 30 02 FF"))],
    }
    camera = serial_line()
    camera.script(lambda _n, asked, _: answers.get(asked, []), in_order=False)
    found = profile("sony/visca")
    plans = [compile_plan(found, [p for p in found.point if p.name == name]) for name in ("zoom", "focus")]
    async with open_link(CameraOptions(port=camera.port, timeout_s=0.3)) as link:
        for _ in range(3):
            with pytest.raises(NoReply):
                await link.read(1, plans[0])
            readings = await link.read(1, plans[1])
            assert readings[0].value == 0x2222


async def test_what_a_camera_in_standby_cannot_tell_is_dsc_and_what_it_does_not_know_is_cfg(
    serial_line: Callable[..., RawLine],
) -> None:
    answers = {
        "81090447FF": "90 61 41 FF",
        "81090448FF": "90 60 02 FF",
        "81090002FF": "90 50 00 01 05 1C 01 00 02 FF",
        "883001FF": "88 30 02 FF",
    }
    camera = serial_line()
    camera.answer({bytes.fromhex(asked): bytes.fromhex(said) for asked, said in answers.items()})
    found = profile("sony/visca")
    plan = compile_plan(found, [p for p in found.point if p.name in ("zoom", "focus")])
    async with open_link(CameraOptions(port=camera.port, timeout_s=0.3)) as link:
        readings = await link.read(1, plan)
    assert [(r.value, r.quality) for r in readings] == [(None, Quality.SWITCHED_OFF), (None, Quality.CONFIGURATION)]


async def test_a_chain_that_changed_is_addressed_again(serial_line: Callable[..., RawLine]) -> None:
    set_addresses, power, version = (bytes.fromhex(h) for h in ("883001FF", "81090400FF", "81090002FF"))
    answers = {
        set_addresses: bytes.fromhex("88 30 02 FF"),
        power: bytes.fromhex("A0 38 FF 90 50 02 FF"),
        version: bytes.fromhex("90 50 00 01 05 1C 01 00 02 FF"),
    }
    camera = serial_line()
    camera.answer(answers)
    found = profile("sony/visca")
    plan = compile_plan(found, [p for p in found.point if p.name == "power"])
    async with open_link(CameraOptions(port=camera.port, timeout_s=0.3)) as link:
        for _ in range(2):
            assert [r.value for r in await link.read(1, plan)] == ["on"]
    assert camera.requests.count(set_addresses) == 2
