"""What arrives from the broker, until it is read: bounded, and what is not used is counted by reason.

Promises: nobody outside can fill the memory or the log; the first of each kind is a warning, the others are DEBUG.
"""

import asyncio
import logging
from typing import Final

from agent.uplink.downlink.messages import Bad

log = logging.getLogger(__name__)

MAX_MESSAGES: Final = 1_000


class Inbox:
    """Messages in the order of arrival. `ignored` counts, by reason, what was thrown away."""

    def __init__(self) -> None:
        self.ignored: dict[str, int] = {}
        self._queue: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(MAX_MESSAGES)

    def receive(self, topic: str, payload: bytes) -> None:
        """Take one message; when the inbox is full it is dropped and counted: acks come again."""
        try:
            self._queue.put_nowait((topic, payload))
        except asyncio.QueueFull:
            self.ignore("inbox_full")

    async def get(self) -> tuple[str, bytes]:
        """The next message, topic and payload."""
        return await self._queue.get()

    def clear(self) -> None:
        """Forget what has not been read."""
        self._queue = asyncio.Queue(MAX_MESSAGES)

    def bad(self, bad: Bad) -> None:
        """Count a message that breaks the contract."""
        self.refuse(f"bad_{bad.reason}", f"a message from the IOC breaks the contract and is ignored: {bad.detail}")

    def refuse(self, reason: str, text: str) -> None:
        """Count a message that is not used, and say why."""
        log.log(logging.DEBUG if reason in self.ignored else logging.WARNING, "%s", text)
        self.ignore(reason)

    def ignore(self, reason: str) -> None:
        """Count something that was thrown away."""
        self.ignored[reason] = self.ignored.get(reason, 0) + 1
