"""A gateway without devices: the agent's own store and uplink, in this process, and readings that a test makes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

from agent.clock import SystemClock
from agent.model import Scan
from agent.running import store_config
from agent.settings import (
    ClockSettings,
    GatewaySettings,
    LogSettings,
    OutboxSettings,
    Settings,
    SiteSettings,
    UplinkSettings,
)
from agent.store import Store, open_store
from agent.store.pictures import PictureShelf
from agent.supervise import Backoff
from agent.uplink.publisher import Publisher
from drivers.api import Reading

DEVICE = "counter"


class GatewaySite:
    """One gateway that runs. `scans` is how often it has read."""

    def __init__(self, settings: Settings, store: Store, publisher: Publisher, shelf: PictureShelf) -> None:
        self.id = settings.gateway.id
        self.store = store
        self.publisher = publisher
        self.shelf = shelf
        self.scans = 0
        self._clock = SystemClock()

    def read(self, points: int) -> None:
        """Read once: point `p07` of the third scan is 307, so each value says what it is."""
        self.scans += 1
        now_ns = self._clock.mono_ns()
        readings = [Reading(f"p{point:02}", self.scans * 100 + point, now_ns) for point in range(points)]
        self.store.append(Scan(DEVICE, now_ns, readings))

    @property
    def ready(self) -> bool:
        state = self.publisher.state()
        return state.connected and state.ioc_online is True

    def account(self) -> dict[str, Any]:
        account = self.store.account()
        said = {"gateway": self.id, "epoch": self.store.epoch, "high": self.store.high, "scans": self.scans}
        figures = {"accepted": account.accepted, "delivered": account.delivered, "stored": account.stored}
        return said | figures | {"lost": sum(account.lost.values())}


def settings(gateway: str, folder: Path, runtime: Path, **uplink: Any) -> Settings:
    """What stands in `agent.toml` of such a gateway."""
    return Settings(
        gateway=GatewaySettings(id=gateway, data_dir=str(folder / gateway), runtime_dir=str(runtime / gateway)),
        site=SiteSettings(oc="oc-haichau"),
        uplink=UplinkSettings(**uplink),
        outbox=OutboxSettings(),
        clock=ClockSettings(hold_unsynced_s=0),
        log=LogSettings(),
        links=(),
        devices=(),
        file=folder / "agent.toml",
    )


@asynccontextmanager
async def gateway_site(settings: Settings) -> AsyncIterator[GatewaySite]:
    """Run a gateway while the context is open; at the end it says that it goes."""
    clock, random = SystemClock(), Random()
    async with open_store(store_config(settings), clock) as store:
        shelf = PictureShelf(Path(settings.gateway.data_dir) / "pictures", 10_000_000, clock, random)
        shelf.open()
        publisher = Publisher(settings, store, clock, Backoff(0.1, 1.0, random).delays, shelf=shelf)
        store.on_sealed, store.on_salvaged = publisher.on_sealed, publisher.on_salvaged
        publisher.notices.event, publisher.notices.result = store.append_event, store.append_result
        tasks = [asyncio.create_task(store.run()), asyncio.create_task(publisher.run())]
        try:
            yield GatewaySite(settings, store, publisher, shelf)
            await publisher.drain()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
