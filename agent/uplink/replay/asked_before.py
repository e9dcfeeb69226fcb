"""The IOC's requests that have no result yet, kept over a restart."""

import asyncio
from pathlib import Path
from typing import Final

from agent.uplink.downlink.messages import Replay
from agent.uplink.remembered import Remembered
from agent.uplink.replay.replays import Replays

REPLAYS_FILE: Final = "replays.json"


class AskedBefore:
    """Remembers, in `folder`, what `replays` has to do."""

    def __init__(self, replays: Replays, folder: Path) -> None:
        self._replays = replays
        self._changed = asyncio.Event()
        cost = "a replay may not survive a restart"
        self._file: Remembered[list[Replay]] = Remembered(folder / REPLAYS_FILE, list[Replay], [], cost)

    async def recall(self, epoch: str) -> None:
        """Ask again for what was asked before the start."""
        for request in await asyncio.to_thread(self._file.read):
            self._replays.ask(request, epoch)

    def changed(self) -> None:
        """There is another request, or one less."""
        self._changed.set()

    async def keep(self) -> None:
        """Write down each change, for ever."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await asyncio.to_thread(self._file.write, self._replays.requests)
