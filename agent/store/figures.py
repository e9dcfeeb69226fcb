"""Figures of the outbox that only the file and the disk can tell, as of the last commit."""

import asyncio
from typing import Final

from agent.store.outbox import Sizes
from agent.store.parts import Parts

FILLING_SHARE: Final = 0.6
"""From here on it is worth a look how much of the file is undelivered."""


class Figures:
    """`oldest`: number and time of sealing (ms) of the oldest undelivered batch on the card.

    `undelivered_bytes`: about how much of the file is undelivered; 0 while the file has plenty of room.
    `coming_bytes`: what another commit like the last one wants to have free.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.sizes = Sizes(0, 0)
        self.oldest: tuple[int, int] | None = None
        self.undelivered_bytes = 0.0
        self.coming_bytes = 0

    def forget(self) -> None:
        """The file is another one now."""
        self.oldest = None

    async def look(self, incoming_bytes: int) -> None:
        """Look again, after a commit that wanted to have so much free."""
        outbox, ledger, limit = self._parts.outbox, self._parts.ledger, self._parts.config.outbox.max_bytes
        self.sizes = await outbox.sizes()
        await asyncio.to_thread(self._look_at_disk)
        low = ledger.undelivered.first
        if low is None or low > ledger.stored_high:
            self.oldest = None
        elif self.oldest is None or self.oldest[0] != low:
            sealed_ms = await outbox.sealed_ms(low)
            self.oldest = None if sealed_ms is None else (low, sealed_ms)
        self.undelivered_bytes, self.coming_bytes = 0.0, incoming_bytes
        if self.sizes.used_bytes + incoming_bytes > FILLING_SHARE * limit:
            ranges = ledger.undelivered.overlap(1, ledger.stored_high)
            self.undelivered_bytes = ledger.undelivered.count * await outbox.average_bytes(ranges)

    def _look_at_disk(self) -> None:
        self._parts.disk.look()
        self._parts.disk.keep_reserve()
