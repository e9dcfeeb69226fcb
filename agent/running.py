"""What runs of one configuration: links, uplink, and the look at its certificate. A reload exchanges parts of it.

The store is not among them: it stays open, so epoch and numbers go on whatever is exchanged. Whoever looks at these
parts (`Reporter`, `Watchdog`) asks for them each time.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from agent.change import Change, settings_hash
from agent.clock import Clock
from agent.commands import Commands
from agent.links import Links
from agent.logs import set_level
from agent.pictures import Pictures
from agent.polling.lending import Lender
from agent.polling.poller import LinkPoller
from agent.settings import DeviceSettings, LinkSettings, Settings, UplinkSettings
from agent.store import Store, StoreConfig
from agent.store.pictures import PictureShelf
from agent.supervise import Backoff
from agent.uplink.expiry import ExpiryWatch
from agent.uplink.formats.ocg1 import Ocg1, config_hash
from agent.uplink.publisher import Publisher

log = logging.getLogger(__name__)

UPLINK_RETRY_FIRST_S, UPLINK_RETRY_MAX_S = 0.1, 1.0
LEAVING_S: Final = 5.0
"""What a connection that is given up may take to deliver what waits; the rest goes over the next one."""


class Loaded(msgspec.Struct, frozen=True):
    """The configuration that runs: its name, when it was taken, and, where a newer one was rolled back, why."""

    file: str
    hash: str
    time_ms: int
    rolled_back: str = ""


class Running:
    """The parts, at work once `start` was called. `settings`, `publisher`, `expiry` and `loaded` are those of now."""

    def __init__(self, settings: Settings, clock: Clock, store: Store, shelf: PictureShelf, random: Random) -> None:
        self.settings = settings
        self.loaded = Loaded(str(settings.file.absolute()), settings_hash(settings), clock.wall_ms())
        self.pictures = Pictures(shelf, store)
        self._clock = clock
        self._store = store
        self._shelf = shelf
        self._random = random
        self._commands = Commands({}, store, clock)
        self._offer_commands()
        self.lender = Lender(clock)
        self.lender.endpoints = lambda: {poller.link.options.endpoint: poller.link.name for poller in self.pollers}
        self.links = Links(settings, self._poller, clock, random)
        self.pictures.pollers = self.links.pollers
        self._make_uplink()

    @property
    def pollers(self) -> Sequence[LinkPoller]:
        """Those of now; one list for ever."""
        return self.links.pollers

    def start(self, core: asyncio.TaskGroup) -> None:
        """Poll and connect, in tasks of `core`."""
        self._core = core
        self._start_uplink()
        self.links.start(core)

    async def stop(self) -> None:
        """Poll no more, seal what was read, deliver what waits for at most `drain_s`."""
        await self.links.stop()
        await self._store.flush()
        await self._stop_uplink()

    def is_alive(self) -> bool:
        """Whether the uplink makes progress."""
        return self.publisher.is_alive()

    async def publish_health(self, figures: dict[str, Any]) -> None:
        """Say how the gateway is."""
        await self.publisher.publish_health(figures)

    async def change_uplink(self, uplink: UplinkSettings) -> None:
        """Leave the broker in order and go to `uplink`; everything else stays as it is, also what births say."""
        self._store.on_sealed = None  # what is sealed now goes over the next one
        await self._stop_uplink(LEAVING_S)
        self.settings = msgspec.structs.replace(self.settings, uplink=uplink)
        self._make_uplink()
        await self.expiry.read()
        self._start_uplink()

    async def change_rest(self, change: Change, settings: Settings) -> None:
        """Take over all of `settings`, whose uplink is the one that runs.

        Births go first, so that no batch needs one that the IOC does not have; only links that change are held for it.
        """
        self.settings = settings
        await open_shelf(self._shelf, settings)
        self._offer_commands()
        connected = self.publisher.is_introduced
        self.publisher.describe(settings, self._commands.names)
        if connected:
            with suppress(TimeoutError):  # the next connection begins with them
                async with asyncio.timeout(settings.uplink.connect_timeout_s):
                    await self.publisher.introduced()
        async with self.links.held(change):
            await self._store.change(store_config(settings))
            await self.links.change(change, settings)
        set_level(settings.log.level)
        self.loaded = Loaded(str(settings.file.absolute()), settings_hash(settings), self._clock.wall_ms())

    def _make_uplink(self) -> None:
        """A publisher for the settings of now, known to all who have something for it."""
        settings, store, clock = self.settings, self._store, self._clock
        delays = Backoff(UPLINK_RETRY_FIRST_S, UPLINK_RETRY_MAX_S, self._random).delays
        ocg1 = Ocg1(settings, self._commands.names)
        self.publisher = publisher = Publisher(settings, store, clock, delays, format_=ocg1, shelf=self._shelf)
        store.on_sealed = publisher.on_sealed
        store.on_salvaged = publisher.on_salvaged
        publisher.notices.event = store.append_event
        publisher.notices.result = store.append_result
        publisher.notices.command = self._commands.heard
        publisher.notices.bad_command = self._commands.bad
        if publisher.pictures:
            self.pictures.on_kept = publisher.pictures.poke
        self.expiry = ExpiryWatch(settings, clock, store.append_event)

    def _start_uplink(self) -> None:
        self._uplink_tasks = [
            self._core.create_task(self.publisher.run(), name="uplink"),
            self._core.create_task(self.expiry.run(), name="certificate"),
        ]

    async def _stop_uplink(self, most_s: float = inf) -> None:
        await self.publisher.drain(most_s)
        for task in self._uplink_tasks:
            task.cancel()
        await asyncio.wait(self._uplink_tasks)

    def _offer_commands(self) -> None:
        takes_pictures = any(device.picture for device in self.settings.devices)
        self._commands.offer({"snapshot": self.pictures.snapshot} if takes_pictures else {})

    def _poller(self, link: LinkSettings, devices: Sequence[DeviceSettings]) -> LinkPoller:
        store, clock, keep = self._store, self._clock, self.pictures.keep
        random, on_scan, on_event, line = self._random, store.append, store.append_event, self.lender.line(link.name)
        return LinkPoller(link, devices, clock, random, on_scan, on_event, lambda: store.full, keep, line)


def store_config(settings: Settings) -> StoreConfig:
    """What the store is told."""
    return StoreConfig(
        gateway=settings.gateway.id,
        data_dir=Path(settings.gateway.data_dir),
        runtime_dir=Path(settings.gateway.runtime_dir),
        outbox=settings.outbox,
        hold_unsynced_s=settings.clock.hold_unsynced_s,
        config_hash=config_hash(settings),
    )


async def open_shelf(shelf: PictureShelf, settings: Settings) -> None:
    """Make room for pictures, where there are cameras that give some, or were."""
    shelf.max_bytes = settings.outbox.picture_max_bytes
    if shelf.is_open or not (any(device.picture for device in settings.devices) or shelf.exists):
        return
    try:
        await asyncio.to_thread(shelf.open)
    except OSError as err:
        log.warning("there will be no pictures: %s", err)
