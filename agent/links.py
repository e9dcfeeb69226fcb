"""The links: one poller each, in a task of its own that starts again where it crashes.

Promises: what one link does, and what is changed about it, stops no other; a link that a change does not touch keeps
its poller, and a device its own; where a link stops, what it read was handed on, for a read that is under way is
waited for.
Must not know: the uplink, where scans go.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random
from typing import Final

from agent.change import Change
from agent.clock import Clock
from agent.polling.poller import LinkPoller
from agent.settings import DeviceSettings, LinkSettings, Settings
from agent.supervise import Backoff, keep_running

RESTART_FIRST_S, RESTART_MAX_S = 1.0, 60.0
PATIENCE_S: Final = 5.0
"""How long a change waits for reads that are under way, and then for a port to be closed; a picture is broken off."""

MakePoller = Callable[[LinkSettings, Sequence[DeviceSettings]], LinkPoller]


class Links:
    """All links that have devices. `pollers` is one list for ever: who looks at it sees each change."""

    def __init__(self, settings: Settings, make: MakePoller, clock: Clock, random: Random) -> None:
        self._make = make
        self._clock = clock
        self._random = random
        self._tasks: dict[LinkPoller, asyncio.Task[None]] = {}
        self._held: set[LinkPoller] = set()
        self.pollers = [self._made(link, settings) for link in settings.links if settings.on_link(link.name)]

    def start(self, core: asyncio.TaskGroup) -> None:
        """Poll, in tasks of `core`."""
        self._core = core
        for poller in self.pollers:
            self._run(poller)

    async def stop(self) -> None:
        """Poll no more; what is being read is broken off."""
        await self._end(*self._tasks)

    @asynccontextmanager
    async def held(self, change: Change) -> AsyncIterator[None]:
        """While this is open nothing is read on the links that `change` touches, so that it may be carried out."""
        touched = {*change.links.removed, *change.links.changed}
        async with AsyncExitStack() as stack:
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE_S):
                    for poller in self.pollers:
                        if poller.link.name in touched:
                            await stack.enter_async_context(poller.between_reads())
                            self._held.add(poller)
            stack.callback(self._held.clear)
            yield

    async def change(self, change: Change, settings: Settings) -> None:
        """Poll what `settings` say; `change` is what that is of what is polled now, and its links are held."""
        up = {device.settings.name: device.state.up for poller in self.pollers for device in poller.devices}
        changed = [poller for poller in self.pollers if poller.link.name in change.links.changed]
        stays_open = [p for p in changed if p in self._held and p.link.name not in change.reopened]
        for poller in stays_open:
            poller.change(settings.on_link(poller.link.name))
        removed = [poller for poller in self.pollers if poller.link.name in change.links.removed]
        ending = [*removed, *(poller for poller in changed if poller not in stays_open)]
        await self._end(*ending)  # first all of these: a port may go from one link to another
        for poller in ending:
            poller.change(())
        self.pollers[:] = [poller for poller in self.pollers if poller not in ending]
        for link in settings.links:
            if settings.on_link(link.name) and link.name not in {poller.link.name for poller in self.pollers}:
                self.pollers.append(self._made(link, settings))
                self._run(self.pollers[-1])
        for device in (device for poller in self.pollers for device in poller.devices):
            if device.state.up is None:
                device.state.up = up.get(device.settings.name)  # what was told of it is still so

    def _made(self, link: LinkSettings, settings: Settings) -> LinkPoller:
        return self._make(link, settings.on_link(link.name))

    def _run(self, poller: LinkPoller) -> None:
        name = f"link {poller.link.name}"
        backoff = Backoff(RESTART_FIRST_S, RESTART_MAX_S, self._random)
        self._tasks[poller] = self._core.create_task(keep_running(name, poller.run, backoff, self._clock), name=name)

    async def _end(self, *pollers: LinkPoller) -> None:
        """A port that hangs while it is closed is left to itself."""
        tasks = [self._tasks.pop(poller) for poller in pollers]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=PATIENCE_S)
