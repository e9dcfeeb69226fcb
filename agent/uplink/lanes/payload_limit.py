"""How long a batch may be: what the broker and the IOC have said they take, remembered over a restart.

Promise: what is sealed during an outage, also after a restart in it, fits the broker that was there before.
"""

import asyncio
from pathlib import Path
from typing import Final

from agent.model import BatchSource
from agent.uplink.remembered import Remembered

LIMIT_FILE: Final = "limit.json"


class PayloadLimit:
    """Tells the source how long a payload may be. `keep` writes it down, for as long as it runs."""

    def __init__(self, source: BatchSource, data_dir: Path) -> None:
        self._source = source
        cost = "batches may be sealed that the broker does not take"
        self._file: Remembered[int | None] = Remembered(data_dir / LIMIT_FILE, int | None, None, cost)
        self._known: int | None = None
        self._changed = asyncio.Event()

    async def recall(self) -> None:
        """Begin with what was known at the end of the last process."""
        self._known = await asyncio.to_thread(self._file.read)
        self._source.limit_payload(self._known)

    def set(self, *limits: int | None) -> None:
        """What is known now; None is no limit. The shortest counts."""
        known = min((most for most in limits if most is not None), default=None)
        self._source.limit_payload(known)
        if known != self._known:
            self._known = known
            self._changed.set()

    async def keep(self) -> None:
        """Write down each change, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await asyncio.to_thread(self._file.write, self._known)
