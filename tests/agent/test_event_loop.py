"""Which loop the agent runs on, and that it runs where the one that is wanted is not there."""

import asyncio
import errno
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from running_agent import running_agent

from agent import __version__
from agent.event_loop import VARIABLE, _never_early, loop_factory, loop_name
from agent.waking import Alarm
from simulators.testing import SimulatedDevice


@pytest.fixture(autouse=True)
def _none_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.mark.parametrize("wanted", [None, "", "asyncio"])
def test_it_is_pythons_own(wanted: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if wanted is not None:
        monkeypatch.setenv(VARIABLE, wanted)
    assert loop_factory() is None


def test_one_that_nobody_knows_is_told_and_does_not_keep_the_agent_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(VARIABLE, "trio")
    assert loop_factory() is None
    assert [(record.levelno, record.args) for record in caplog.records] == [(logging.WARNING, (VARIABLE, "trio"))]


def test_one_that_is_not_installed_is_told_and_does_not_keep_the_agent_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(VARIABLE, "uvloop")
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory() is None
    assert "pip install uvloop" in caplog.text


def test_uvloop_is_taken_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("uvloop", reason="uvloop is not installed")
    monkeypatch.setenv(VARIABLE, "uvloop")
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        assert runner.run(_name()) == "uvloop"
    assert asyncio.run(_name()) == "asyncio"


def test_no_wait_is_shorter_than_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("uvloop", reason="uvloop is not installed")
    monkeypatch.setenv(VARIABLE, "uvloop")
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_wait_for_short_times())


async def _wait_for_short_times() -> None:
    """By each way of waiting: each begins at another point of a millisecond of the loop, some after much work."""
    for number in range(150):
        wait_s = 0.0002 + number % 50 / 10_000
        for way in (asyncio.sleep, Alarm().wait, _timed_out):
            time.sleep(number % 3 * 0.004)
            before = time.monotonic()
            await way(wait_s)
            assert time.monotonic() - before >= wait_s


async def _timed_out(within_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await asyncio.Event().wait()


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 1e-9, 0.0004])
def test_each_timer_says_when(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python's do; uvloop has none for what is due at once."""
    pytest.importorskip("uvloop", reason="uvloop is not installed")
    monkeypatch.setenv(VARIABLE, "uvloop")
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        assert runner.run(_when(seconds))


async def _when(seconds: float) -> bool:
    over, loop = asyncio.Event(), asyncio.get_running_loop()
    timers = [loop.call_later(seconds, over.set), loop.call_at(loop.time() + seconds, over.set)]
    await over.wait()
    return all(timer.when() - loop.time() < 1 for timer in timers)


async def _name() -> str:
    return loop_name()


@pytest.mark.parametrize("wanted", ["asyncio", "uvloop"])
def test_the_journal_and_status_say_which(
    wanted: str, modbus_device: Callable[..., SimulatedDevice], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if wanted == "uvloop":
        pytest.importorskip("uvloop", reason="uvloop is not installed")
    monkeypatch.setenv(VARIABLE, wanted)
    with running_agent(tmp_path, modbus_device("eastron/sdm120", name="m1"), interval_s=1) as agent:
        assert agent.ask()["loop"] == wanted
        assert f"oc-agent {__version__} on {wanted}: gateway dng-hc-01, 1 devices\n" in agent.log
        agent.stop()


def test_a_loop_that_finds_something_open_at_its_end_takes_nobodys_result() -> None:
    class Busy:
        """What uvloop does where something of it is still open."""

        def close(self) -> None:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    _never_early(Busy)().close()
