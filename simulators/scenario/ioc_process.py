"""The reference IOC of a scenario: a process of its own: it can be killed, and comes back with what it has stored."""

import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from simulators.brokers.broker import Broker
from simulators.processes import Child, child
from simulators.scenario.scenario import IocKeys


class IocProcess:
    """`database` and `pictures` are where it keeps what has arrived."""

    def __init__(self, folder: Path, broker: Broker, keys: IocKeys) -> None:
        self.database = folder / "ioc.db"
        self.pictures = folder / "pictures"
        self._folder = folder
        self._broker = broker
        self._keys = keys
        self._life = AsyncExitStack()
        self._child: Child | None = None

    async def start(self) -> None:
        """Start it, and wait until it is subscribed; raises `ChildFailed`."""
        argv = [sys.executable, "-m", "simulators", "ioc", "--broker", self._broker.url, "--json", "--every", "60"]
        argv += ["--db", str(self.database), "--pictures", str(self.pictures), "--protocol", self._broker.protocol]
        argv += ["--ack-every", str(self._keys.ack_every_s), *([] if self._keys.ack else ["--no-ack"])]
        self._child = await self._life.enter_async_context(child("ioc", argv, self._folder / "ioc.log"))
        await self._child.ready()

    async def kill(self) -> None:
        """End it as a power cut would."""
        if self._child is not None:
            await self._child.stop(signal.SIGKILL)
        await self.stop()

    async def stop(self) -> None:
        """End it in order."""
        await self._life.aclose()
        self._child = None
