"""Pictures beside the polls of a link: at their interval, when somebody asks, and when the camera fails."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from picture_samples import taken

from agent.clock import SystemClock
from agent.model import Scan
from agent.polling.lending import Borrower
from agent.polling.pictures import PictureFailed
from agent.polling.poller import LinkPoller
from agent.settings import DeviceSettings, LinkSettings, PictureKeys, PolledPoint
from drivers.api import Identity, LinkStats, Picture, Reading
from drivers.errors import NoReply
from drivers.profile import Point, Profile

PROFILE = Profile(vendor="v", model="m", kind="fake", source="-", point=(Point(name="x"),))


class Camera:
    def __init__(self) -> None:
        self.stats = LinkStats()
        self.fails = False
        self.pictures = 0

    async def identify(self, _unit: Any, _profile: Any) -> Identity:
        return Identity()

    async def read(self, _unit: Any, _plan: Any) -> list[Reading]:
        await asyncio.sleep(0)
        return [Reading("x", 1.0, SystemClock().mono_ns())]

    async def picture(self, _unit: Any, _profile: Any) -> Picture:
        await asyncio.sleep(0.005)
        if self.fails:
            raise NoReply("the lens is dark")
        self.pictures += 1
        return taken(b"%d" % self.pictures)


class Bench:
    def __init__(self, interval_s: float | None, poll_s: float = 0.05) -> None:
        self.camera = Camera()
        self.kept: list[tuple[str, bytes, str]] = []
        self.scans: list[Scan] = []

        @asynccontextmanager
        async def open_link(_options: Any) -> AsyncIterator[Camera]:
            yield self.camera

        async def keep(device: DeviceSettings, picture: Picture, why: str) -> str:
            self.kept.append((device.name, picture.data, why))
            return f"id-{len(self.kept)}"

        keys = None
        if interval_s is not None:
            keys = PictureKeys(purpose="flood-verification", class_="possible", keep_days=7, interval_s=interval_s)
        spec = SimpleNamespace(
            open_link=open_link, compile_plan=lambda _profile, points: SimpleNamespace(points=points)
        )
        device = DeviceSettings(
            name="cam", link="l", profile_name="p", profile=PROFILE, unit=None, label={}, station="", location=None,
            points=(PolledPoint(PROFILE.point[0], poll_s),), picture=keys,
        )  # fmt: skip
        self.poller = LinkPoller(
            LinkSettings("l", spec, SimpleNamespace(timeout_s=0.1)),  # type: ignore[arg-type]
            [device], SystemClock(), Random(1), self.scans.append, lambda _event: None, on_picture=keep,
        )  # fmt: skip


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[None]:
    task = asyncio.create_task(bench.poller.run())
    try:
        async with asyncio.timeout(10):
            while not bench.scans:
                await asyncio.sleep(0.001)
            yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_pictures_are_taken_at_their_interval_beside_the_polls() -> None:
    bench = Bench(0.1)
    async with running(bench):
        while len(bench.kept) < 4 or len(bench.scans) < 6:
            await asyncio.sleep(0.001)
    assert bench.kept[:2] == [("cam", b"1", "schedule"), ("cam", b"2", "schedule")]


async def test_without_a_purpose_there_is_no_picture_whoever_asks() -> None:
    bench = Bench(None)
    async with running(bench):
        assert bench.poller.ask_picture("cam", "command c-1") is None
        await asyncio.sleep(0.1)
    assert bench.camera.pictures == 0


async def test_one_that_is_asked_for_is_taken_at_once_and_its_id_is_told() -> None:
    bench = Bench(0)
    async with running(bench):
        await asyncio.sleep(0.1)
        assert bench.kept == []
        asked = bench.poller.ask_picture("cam", "command c-1")
        again = bench.poller.ask_picture("cam", "command c-2")
        assert asked is not None
        assert again is not None
        assert [await asked, await again] == ["id-1", "id-1"]
        assert bench.kept == [("cam", b"1", "command c-1")]
        assert bench.poller.ask_picture("nobody", "command c-3") is None


async def test_one_that_is_asked_for_does_not_wait_for_the_next_poll() -> None:
    bench = Bench(0, poll_s=3_600.0)
    async with running(bench):
        asked = bench.poller.ask_picture("cam", "command c-1")
        assert asked is not None
        async with asyncio.timeout(2):
            assert await asked == "id-1"


async def test_a_camera_that_gives_no_picture_is_said_and_its_polls_go_on() -> None:
    bench = Bench(0)
    bench.camera.fails = True
    async with running(bench):
        asked = bench.poller.ask_picture("cam", "command c-1")
        assert asked is not None
        with pytest.raises(PictureFailed, match="dark"):
            await asked
        scans = len(bench.scans)
        while len(bench.scans) < scans + 3:
            await asyncio.sleep(0.001)
        assert bench.poller.devices[0].state.pictures_failed == 1
        bench.camera.fails = False
        asked = bench.poller.ask_picture("cam", "command c-2")
        assert asked is not None
        assert await asked == "id-1"


async def test_who_waits_for_a_camera_that_is_taken_out_is_told_at_once() -> None:
    bench = Bench(0)
    async with running(bench):
        async with bench.poller.between_reads():
            asked = bench.poller.ask_picture("cam", "command c-1")
            assert asked
            other = msgspec.structs.replace(bench.poller.devices[0].settings, name="other", picture=None)
            bench.poller.change([other])
        with pytest.raises(PictureFailed, match="configuration"):
            await asked
        count = len(bench.scans)
        while len(bench.scans) < count + 3:
            await asyncio.sleep(0.001)
    assert {scan.device for scan in bench.scans[count:]} == {"other"}
    assert bench.camera.pictures == 0


async def test_a_picture_that_is_asked_for_while_the_line_is_lent_is_refused_with_the_reason() -> None:
    bench = Bench(0)
    async with running(bench), bench.poller.line.lent(Borrower(4711, 0, "scan", 0)):
        asked = bench.poller.ask_picture("cam", "command c-1")
        assert asked
        with pytest.raises(PictureFailed, match="l is lent to pid 4711"):
            await asked
