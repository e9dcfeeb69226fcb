"""The links of an agent while its configuration changes, with a driver in the hands of the test."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from agent import links as links_module
from agent.change import Change, change_between
from agent.clock import SystemClock
from agent.links import Links
from agent.model import Event, Scan
from agent.polling.poller import LinkPoller
from agent.settings import (
    ClockSettings,
    DeviceSettings,
    GatewaySettings,
    LinkSettings,
    LogSettings,
    OutboxSettings,
    PolledPoint,
    Settings,
    SiteSettings,
    UplinkSettings,
)
from drivers.api import Identity, LinkStats, Reading
from drivers.errors import NoReply
from drivers.profile import Point, Profile

PROFILE = Profile(vendor="v", model="m", kind="fake", source="-", point=(Point(name="x"),))
INTERVAL_S = 0.05


class Options(msgspec.Struct, frozen=True):
    endpoint: str
    timeout_s: float = 0.1


class Line:
    """All ports: which are open, what is being read, who is silent."""

    def __init__(self) -> None:
        self.clock = SystemClock()
        self.open: list[str] = []
        self.opened: list[str] = []
        self.silent: set[int] = set()
        self.gate = asyncio.Event()
        self.gate.set()
        self.reading = 0
        self.spec: Any = SimpleNamespace(
            kind="fake", open_link=self._open, compile_plan=lambda profile, points: SimpleNamespace(points=points)
        )

    @asynccontextmanager
    async def _open(self, options: Options) -> AsyncIterator["Port"]:
        assert options.endpoint not in self.open, "two pollers on one port"
        self.open.append(options.endpoint)
        self.opened.append(options.endpoint)
        try:
            yield Port(self)
        finally:
            self.open.remove(options.endpoint)


class Port:
    def __init__(self, line: Line) -> None:
        self.stats = LinkStats()
        self._line = line

    async def identify(self, unit: int | None, profile: Any) -> Identity:
        return Identity()

    async def read(self, unit: int, plan: Any) -> list[Reading]:
        line = self._line
        line.reading += 1
        try:
            await line.gate.wait()
        finally:
            line.reading -= 1
        if unit in line.silent:
            raise NoReply(f"{unit}: no answer")
        return [Reading("x", 1.0, line.clock.mono_ns())]


class Bench:
    """Links by settings, and what came out of them."""

    def __init__(self) -> None:
        self.line = Line()
        self.scans: list[Scan] = []
        self.events: list[Event] = []

    def settings(
        self,
        devices: Iterable[tuple[str, str, int]],
        ports: dict[str, str] | None = None,
        interval_s: float = INTERVAL_S,
    ) -> Settings:
        """Of (device, link, unit); the port of a link is named like it, but for `ports`."""
        known = tuple(self._device(*device, interval_s) for device in devices)
        names = dict.fromkeys(device.link for device in known)
        return Settings(
            gateway=GatewaySettings(id="gw"), site=SiteSettings(oc="oc"), uplink=UplinkSettings(host="h"),
            outbox=OutboxSettings(), clock=ClockSettings(), log=LogSettings(), devices=known, file=Path("agent.toml"),
            links=tuple(LinkSettings(name, self.line.spec, Options((ports or {}).get(name, name))) for name in names),
        )  # fmt: skip

    @asynccontextmanager
    async def polling(self, settings: Settings) -> AsyncIterator[Links]:
        def make(link: LinkSettings, devices: Any) -> LinkPoller:
            return LinkPoller(link, devices, self.line.clock, Random(1), self.scans.append, self.events.append)

        links = Links(settings, make, self.line.clock, Random(1))
        async with asyncio.timeout(20), asyncio.TaskGroup() as core:
            links.start(core)
            yield links
            await links.stop()

    async def until(self, condition: Callable[[], Any]) -> None:
        while not condition():
            await asyncio.sleep(0.002)

    def of(self, device: str) -> int:
        return sum(scan.device == device for scan in self.scans)

    async def more(self, *devices: str) -> None:
        before = {device: self.of(device) for device in devices}
        await self.until(lambda: all(self.of(device) > count + 1 for device, count in before.items()))

    @staticmethod
    def _device(name: str, link: str, unit: int, interval_s: float) -> DeviceSettings:
        return DeviceSettings(
            name=name, link=link, profile_name="p", profile=PROFILE, unit=unit, label={}, station="", location=None,
            points=(PolledPoint(PROFILE.point[0], interval_s),),
        )  # fmt: skip


async def change(links: Links, before: Settings, after: Settings) -> Change:
    found = change_between(before, after)
    async with links.held(found):
        await links.change(found, after)
    return found


async def test_links_that_do_not_change_keep_their_poller_and_devices_theirs() -> None:
    bench = Bench()
    before = bench.settings([("a", "one", 1), ("b", "two", 1), ("c", "two", 2), ("d", "three", 1)])
    after = bench.settings([("a", "one", 1), ("b", "two", 1), ("e", "two", 3), ("f", "four", 1)])
    async with bench.polling(before) as links:
        await bench.more("a", "b", "c", "d")
        seen, pollers = links.pollers, {poller.link.name: poller for poller in links.pollers}
        b = pollers["two"].devices[0]
        await change(links, before, after)
        c, d = bench.of("c"), bench.of("d")
        assert [poller.link.name for poller in seen] == ["one", "two", "four"]
        assert seen[:2] == [pollers["one"], pollers["two"]]
        assert pollers["two"].devices[0] is b
        await bench.more("a", "b", "e", "f")
        assert (bench.of("c"), bench.of("d")) == (c, d)
        assert bench.line.opened == ["one", "two", "three", "four"]
    assert bench.line.open == []


async def test_what_is_being_read_is_handed_on_before_its_device_goes() -> None:
    bench = Bench()
    before = bench.settings([("a", "one", 1), ("b", "two", 1)])
    async with bench.polling(before) as links:
        await bench.more("a", "b")
        bench.line.gate.clear()
        await bench.until(lambda: bench.line.reading == 2)
        count = bench.of("b")
        changing = asyncio.create_task(change(links, before, bench.settings([("a", "one", 1)])))
        await asyncio.sleep(0.05)
        assert not changing.done()
        bench.line.gate.set()
        await changing
        assert bench.of("b") == count + 1


async def test_while_links_are_held_nothing_is_read_on_them_and_the_others_go_on() -> None:
    bench = Bench()
    before = bench.settings([("a", "one", 1), ("b", "two", 1)])
    after = bench.settings([("a", "one", 1), ("c", "two", 2)])
    async with bench.polling(before) as links:
        await bench.more("a", "b")
        found = change_between(before, after)
        async with links.held(found):
            count = bench.of("b")
            await bench.more("a")
            await bench.more("a")  # the next read of `b` is due since long
            assert bench.of("b") == count
            await links.change(found, after)
        await bench.more("a", "c")
        assert bench.of("b") == count
        assert bench.line.opened == ["one", "two"]


async def test_a_new_device_is_read_at_once_also_beside_one_that_is_read_seldom() -> None:
    bench = Bench()
    before = bench.settings([("a", "one", 1)], interval_s=3_600)
    async with bench.polling(before) as links:
        await bench.until(lambda: bench.of("a"))
        await change(links, before, bench.settings([("a", "one", 1), ("b", "one", 2)], interval_s=3_600))
        await bench.until(lambda: bench.of("b"))
        assert bench.of("a") <= 2


async def test_a_read_that_hangs_is_broken_off_and_its_link_polled_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links_module, "PATIENCE_S", 0.05)
    bench = Bench()
    before = bench.settings([("a", "one", 1)])
    async with bench.polling(before) as links:
        await bench.more("a")
        bench.line.gate.clear()
        await bench.until(lambda: bench.line.reading == 1)
        await change(links, before, bench.settings([("a", "one", 1), ("b", "one", 2)]))
        bench.line.gate.set()
        await bench.more("a", "b")
        assert bench.line.opened == ["one", "one"]


async def test_a_port_may_go_from_one_link_to_another() -> None:
    bench = Bench()
    before = bench.settings([("a", "one", 1), ("b", "two", 1)], {"one": "port-1", "two": "port-2"})
    after = bench.settings([("a", "one", 1), ("b", "two", 1)], {"one": "port-2", "two": "port-1"})
    async with bench.polling(before) as links:
        await bench.more("a", "b")
        found = await change(links, before, after)
        assert found.reopened == ("one", "two")
        await bench.more("a", "b")
        assert sorted(bench.line.opened) == ["port-1", "port-1", "port-2", "port-2"]


@pytest.mark.parametrize("link", ["one", "two", "other"])
async def test_a_device_that_was_down_is_told_to_be_up_again_after_its_settings_have_changed(link: str) -> None:
    bench = Bench()
    others = [("y", "two", 8), ("z", "one", 9)]
    before = bench.settings([("a", "one", 1), *others])
    bench.line.silent.add(1)
    async with bench.polling(before) as links:
        await bench.until(lambda: [event.type for event in bench.events] == ["device.down"])
        await change(links, before, bench.settings([("a", link, 2), *others]))
        await bench.until(lambda: [event.type for event in bench.events] == ["device.down", "device.up"])


async def test_a_change_that_is_cancelled_leaves_nothing_held() -> None:
    bench = Bench()
    before = bench.settings([("a", "one", 1), ("b", "two", 1)])
    async with bench.polling(before) as links:
        await bench.more("a", "b")
        bench.line.gate.clear()
        await bench.until(lambda: bench.line.reading == 2)
        changing = asyncio.create_task(change(links, before, bench.settings([("c", "three", 1)])))
        await asyncio.sleep(0.02)
        changing.cancel()
        with suppress(asyncio.CancelledError):
            await changing
        bench.line.gate.set()
        await bench.more("a", "b")
