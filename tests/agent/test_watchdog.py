"""When the watchdog of systemd is patted, and when not: the socket that systemd names, and real loops that are stuck."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from fake_clock import FakeClock

from agent.polling.poller import LinkPoller
from agent.sdnotify import Notifier
from agent.settings import DeviceSettings, LinkSettings, PolledPoint
from agent.watchdog import Watchdog
from drivers.api import Identity, LinkStats, Reading
from drivers.errors import LinkDown
from drivers.profile import Point, Profile

PROFILE = Profile(vendor="v", model="m", kind="fake", source="-", point=(Point(name="x"),))
LONG_S = 3_600.0


class Part:
    """The store or the uplink, alive as the test says."""

    def __init__(self) -> None:
        self.alive = True

    def is_alive(self) -> bool:
        return self.alive


class FakeLink:
    """A link that answers at once, or whatever `read` does."""

    def __init__(self, clock: FakeClock) -> None:
        self.stats = LinkStats()
        self.clock = clock

    async def identify(self, unit: int | None, profile: Any) -> Identity:
        return Identity()

    async def read(self, unit: int, plan: Any) -> list[Reading]:
        await asyncio.sleep(0)
        return [Reading("x", 1.0, self.clock.mono_ns())]


async def _hang() -> None:
    await asyncio.Event().wait()


def _poller(clock: FakeClock, name: str, entering: Callable[[], Any], leaving: Callable[[], Any]) -> LinkPoller:
    @asynccontextmanager
    async def open_link(options: Any) -> AsyncIterator[FakeLink]:
        await entering()
        try:
            yield FakeLink(clock)
        finally:
            await leaving()

    plan = lambda profile, points: SimpleNamespace(points=points)  # noqa: E731
    spec = SimpleNamespace(kind="fake", open_link=open_link, compile_plan=plan)
    device = DeviceSettings(
        name="d", link=name, profile_name="p", profile=PROFILE, unit=1, label={}, station="", location=None,
        points=(PolledPoint(PROFILE.point[0], 0.05),),
    )  # fmt: skip
    options = SimpleNamespace(timeout_s=0.1, endpoint="fake")
    return LinkPoller(
        LinkSettings(name, spec, options),  # type: ignore[arg-type]
        [device], clock, Random(1), lambda scan: None, lambda event: None,
    )  # fmt: skip


async def _nothing() -> None:
    return


async def _refused() -> None:
    raise LinkDown("nothing is plugged in")


@asynccontextmanager
async def _running(*pollers: LinkPoller) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(poller.run()) for poller in pollers]
    await asyncio.sleep(0.01)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


class Systemd:
    """The socket of NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def pats(self) -> int:
        """How often it was patted since the last question."""
        count = 0
        with suppress(BlockingIOError):
            while self._socket.recv(4096):
                count += 1
        return count

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    seen = Systemd(tmp_path / "n")
    yield seen
    seen.close()


@pytest.mark.parametrize("name", ["store", "uplink"])
async def test_a_stuck_store_or_uplink_is_not_patted_for_and_named_once(
    systemd: Systemd, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    parts = {"store": Part(), "uplink": Part()}
    task = asyncio.create_task(Watchdog(parts, [], FakeClock()).run(Notifier()))
    await _until(lambda: systemd.pats())
    with caplog.at_level(logging.INFO):
        parts[name].alive = False
        await _until(lambda: caplog.messages)
        systemd.pats()
        await asyncio.sleep(0.1)
        assert not systemd.pats()
        parts[name].alive = True
        await _until(lambda: systemd.pats())
    task.cancel()
    await asyncio.wait([task])
    assert [message.split(":")[0] for message in caplog.messages] == [name, name]
    assert "stuck" in caplog.messages[0]
    assert "works again" in caplog.messages[1]


async def test_polling_that_hangs_in_the_opening_of_a_port_is_stuck() -> None:
    clock = FakeClock()
    poller = _poller(clock, "bus-1", _hang, _nothing)
    dog = Watchdog({}, [poller], clock)
    async with _running(poller):
        assert dog.look()
        clock.advance(LONG_S)
        assert not dog.look()


async def test_polling_that_hangs_in_the_closing_of_a_port_is_stuck() -> None:
    clock, closing = FakeClock(), asyncio.Event()

    async def close() -> None:
        closing.set()
        await _hang()

    poller = _poller(clock, "bus-1", _nothing, close)
    dog = Watchdog({}, [poller], clock)

    async def unplugged(unit: int, plan: Any) -> list[Reading]:
        raise LinkDown("unplugged")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeLink, "read", lambda self, unit, plan: unplugged(unit, plan))
        async with _running(poller):
            await asyncio.wait_for(closing.wait(), 10)
            assert dog.look()
            clock.advance(LONG_S)
            assert not dog.look()


async def test_a_stuck_link_is_named_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    stuck, good = _poller(clock, "bus-1", _hang, _nothing), _poller(clock, "bus-2", _nothing, _nothing)
    dog = Watchdog({}, [stuck, good], clock)
    async with _running(stuck, good):
        clock.advance(LONG_S)
        await _until(good.is_alive)
        assert dog.look()
        assert not stuck.is_alive()
    assert [m for m in caplog.messages if m.startswith("link bus-1: stuck")]


async def test_a_link_that_comes_with_a_reload_is_watched_and_one_that_goes_is_not() -> None:
    clock = FakeClock()
    stuck, good = _poller(clock, "bus-1", _hang, _nothing), _poller(clock, "bus-2", _nothing, _nothing)
    pollers = [good]
    dog = Watchdog({}, pollers, clock)
    async with _running(stuck, good):
        clock.advance(LONG_S)
        await _until(good.is_alive)
        assert dog.look()
        pollers[:] = [stuck]
        assert not dog.look()


async def test_a_link_that_cannot_be_opened_is_not_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    poller = _poller(clock, "bus-1", _refused, _nothing)
    monkeypatch.setattr(poller._backoff, "delay_s", lambda attempt: 0.001)
    async with _running(poller):
        for _ in range(20):
            clock.advance(100.0)
            await _until(poller.is_alive)
            await asyncio.sleep(0.005)
        assert Watchdog({}, [poller], clock).look()


def test_an_agent_without_links_is_alive() -> None:
    assert Watchdog({}, [], FakeClock()).look()


async def _until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)
