"""Reloading: read the configuration again and go over to it, or stay with the one that runs.

Promises: a configuration with a problem changes nothing, nor does one that needs a restart; all of it is applied, or
nothing. The uplink goes first, with links as they were: where it had a connection and does not get one again, it goes
back, and no link was ever touched. The store stays open: nothing is lost, and no number is used twice.

A crash in here ends the process, as that of every core part does; systemd starts it again. The file is left alone
whatever happens: it is the technician's.
"""

import asyncio
import logging
from typing import Final, Literal

import msgspec

from agent.change import Change, change_between
from agent.clock import Clock
from agent.configuration import ConfigError, load_configuration
from agent.control import Arguments, OrderRefused
from agent.model import Event
from agent.running import Running
from agent.sdnotify import Notifier, reloading
from agent.settings import Settings
from agent.store import Store
from drivers.tomlfile import Problem

log = logging.getLogger(__name__)

COMES_BACK_S: Final = 30.0
"""A new uplink has so long for a connection and the broker's word for our births: three attempts of
`connect_timeout_s` as it is by default. What is read waits in the outbox meanwhile."""
MAX_WHY: Final = 200

Result = Literal["applied", "unchanged", "invalid", "refused", "rolled_back"]


class ReloadOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`file`: what the one who asks takes for the configuration of this agent, as a path without links."""

    file: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a reload. `refused`: keys that need a restart; `why`: why there is no way to the new broker.

    `uplink`: `untried` where there was no connection before, so that nothing tells whether the new one is right.
    """

    result: Result
    change: Change | None = None
    uplink: Literal["kept", "replaced", "untried"] = "kept"
    refused: tuple[str, ...] = ()
    why: str = ""
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


class Reload:
    """Reloads when it is asked to: one at a time."""

    def __init__(self, running: Running, store: Store, clock: Clock, notifier: Notifier) -> None:
        self._running = running
        self._store = store
        self._clock = clock
        self._notifier = notifier
        self._file = str(running.settings.file.resolve())
        self._asked = asyncio.Event()
        self._busy = False
        self._waiting: asyncio.Future[Outcome] | None = None

    def ask(self) -> None:
        """Reload, after the one that is under way; what becomes of it is in the log."""
        self._asked.set()

    async def order(self, arguments: Arguments) -> Outcome:
        """The order `reload` on the control socket; raises `OrderRefused`."""
        asked = msgspec.convert(arguments, ReloadOrder).file
        if asked != self._file:
            raise OrderRefused(f"it runs by {self._file}, not by {asked}: see --config")
        if self._busy or self._waiting:
            raise OrderRefused("a reload is under way: try again when it is over")
        waiting: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting = waiting
        self.ask()
        return await waiting

    async def run(self) -> None:
        """Do what is asked, for ever."""
        try:
            while True:
                await self._asked.wait()
                self._asked.clear()
                self._busy = True
                outcome = await self._reload()
                self._busy = False
                waiting, self._waiting = self._waiting, None
                if waiting and not waiting.done():
                    waiting.set_result(outcome)
        finally:
            if self._waiting and not self._waiting.done():
                self._waiting.set_exception(OrderRefused("the agent stops; its next start reads the file anew"))

    async def _reload(self) -> Outcome:
        log.info("reloading %s", self._running.settings.file)
        self._notifier.send(*reloading())
        try:
            outcome = await self._attempt()
        finally:
            self._notifier.send("READY=1", f"STATUS={extent(self._running.settings)}")
        _tell(outcome)
        return outcome

    async def _attempt(self) -> Outcome:
        running = self._running
        try:
            found = await asyncio.to_thread(load_configuration, running.settings.file, for_use=True)
        except ConfigError as err:
            return Outcome(result="invalid", problems=err.problems)
        settings, change = found.settings, change_between(running.settings, found.settings)
        if change.refused:
            return Outcome(result="refused", change=change, refused=change.refused)
        if change.is_none:
            running.loaded = msgspec.structs.replace(running.loaded, rolled_back="")
            return Outcome(result="unchanged", change=change, warnings=found.warnings)
        uplink: Literal["kept", "replaced", "untried"] = "kept"
        if change.uplink:
            before, uplink = running.settings.uplink, "replaced" if running.publisher.is_introduced else "untried"
            await running.change_uplink(settings.uplink)
            if uplink == "replaced" and (why := await self._why_not_back()):
                await running.change_uplink(before)
                return self._rolled_back(change, why)
        await running.change_rest(change, settings)
        return Outcome(result="applied", change=change, uplink=uplink, warnings=found.warnings)

    async def _why_not_back(self) -> str:
        """Why there is no good connection to the new broker; "" where there is one."""
        publisher = self._running.publisher
        try:
            async with asyncio.timeout(COMES_BACK_S):
                return await publisher.introduced()
        except TimeoutError:
            return publisher.state().error or f"no connection within {COMES_BACK_S:g} s"

    def _rolled_back(self, change: Change, why: str) -> Outcome:
        self._running.loaded = msgspec.structs.replace(self._running.loaded, rolled_back=why)
        said = why[:MAX_WHY]
        message = {
            "vi": f"Cấu hình mới bị hủy, vẫn chạy cấu hình cũ: không kết nối được đường truyền ({said})",
            "en": f"A new configuration was rolled back, its uplink does not come back ({said})",
        }
        now_ns = self._clock.mono_ns()
        event = Event(type="config.changed", severity="major", mono_ns=now_ns, message=message, reason="rolled_back")
        self._store.append_event(event)
        return Outcome(result="rolled_back", change=change, why=why)


def extent(settings: Settings) -> str:
    """How much runs, for systemd."""
    return f"{len(settings.devices)} devices on {len(settings.links)} links"


def _tell(outcome: Outcome) -> None:
    for problem in (*outcome.problems, *outcome.warnings):
        level = logging.ERROR if problem in outcome.problems else logging.WARNING
        log.log(level, "%s:%d: %s: %s -> %s", *msgspec.structs.astuple(problem))
    match outcome.result:
        case "applied":
            log.info("reloaded: %s; uplink %s", _in_words(outcome.change), outcome.uplink)
        case "unchanged":
            log.info("reloaded: nothing has changed")
        case "invalid":
            log.error("not reloaded: mend these %d problem(s); nothing was changed", len(outcome.problems))
        case "refused":
            keys = ", ".join(outcome.refused)
            log.error("not reloaded: %s cannot change while it runs: restart the service; nothing was changed", keys)
        case "rolled_back":
            advice = "the former configuration runs on; mend the file, for a restart would take it as it is"
            log.error("reload rolled back: the new uplink does not come back: %s; %s", outcome.why, advice)


def _in_words(change: Change | None) -> str:
    if change is None:
        return ""
    parts = [
        f"{kind} {how}: {', '.join(names)}"
        for kind, part in (("links", change.links), ("devices", change.devices))
        for how, names in msgspec.structs.asdict(part).items()
        if names and how != "kept"
    ]
    return "; ".join([*parts, *([f"keys: {', '.join(change.keys)}"] if change.keys else [])])
