"""A poller with a driver in the hands of the test."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random
from types import SimpleNamespace
from typing import Any

from agent.clock import SystemClock
from agent.model import Event, Scan
from agent.polling.poller import LinkPoller
from agent.settings import DeviceSettings, LinkSettings, PolledPoint
from drivers.api import Identity, LinkStats, Reading
from drivers.profile import Point, Profile

PROFILE = Profile(
    vendor="v", model="m", kind="fake", source="-", point=(Point(name="x"), Point(name="y", optional=True))
)
Answer = Callable[[], Any]


class FakeLink:
    """Answers as the test says; `asked` are the units, in order."""

    def __init__(self, answers: dict[int, Answer]) -> None:
        self.stats = LinkStats()
        self.answers = answers
        self.identity = Identity()
        self.identified = 0
        self.asked: list[int] = []

    async def identify(self, unit: int | None, profile: Any) -> Identity:
        self.identified += 1
        return self.identity

    async def read(self, unit: int, plan: Any) -> list[Reading]:
        self.stats.requests += 1
        self.asked.append(unit)
        await asyncio.sleep(0)
        return self.answers[unit]()


def good(value: float = 1.0) -> list[Reading]:
    return [Reading("x", value, SystemClock().mono_ns())]


def fails(error: Exception) -> Answer:
    def fail() -> list[Reading]:
        raise error

    return fail


class Bench:
    """A link with devices 1..n, and what came out of its poller."""

    def __init__(self, answers: dict[int, Answer], opens: Callable[[], None] = lambda: None) -> None:
        self.scans: list[Scan] = []
        self.events: list[Event] = []
        self.link = FakeLink(answers)
        self.opened = 0
        self.full = False

        @asynccontextmanager
        async def open_link(options: Any) -> AsyncIterator[FakeLink]:
            opens()
            self.opened += 1
            self.link.stats = LinkStats()
            yield self.link

        spec = SimpleNamespace(
            kind="fake", open_link=open_link, compile_plan=lambda profile, points: SimpleNamespace(points=points)
        )
        devices = [
            DeviceSettings(
                name=f"d{unit}", link="l", profile_name="p", profile=PROFILE, unit=unit, label={}, station="", location=None,
                points=tuple(PolledPoint(p, 0.05 + 0.01 * n) for n, p in enumerate(PROFILE.point)),
            )
            for unit in answers
        ]  # fmt: skip
        options = SimpleNamespace(timeout_s=0.1, endpoint="fake")
        self.poller = LinkPoller(
            LinkSettings("l", spec, options),  # type: ignore[arg-type]
            devices, SystemClock(), Random(1), self.scans.append, self.events.append, lambda: self.full,
        )  # fmt: skip

    async def until(self, condition: Callable[[], bool]) -> None:
        task = asyncio.create_task(self.poller.run())
        try:
            async with asyncio.timeout(10):
                while not condition():
                    assert not task.done(), task.exception()
                    await asyncio.sleep(0.001)
        finally:
            task.cancel()
            await asyncio.wait([task])

    def of(self, device: str) -> list[Reading]:
        return [r for scan in self.scans if scan.device == device for r in scan.readings]
