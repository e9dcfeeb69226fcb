"""What passed a port while its devices were read: each request, and what came after it, with times.

Takes its time from a clock that it is given. Must not know: what the bytes mean.
"""

import asyncio
from collections.abc import Callable

import msgspec

from drivers.tap import Way

MOST_BYTES = 2_048
"""A line that babbles for ever is known by less."""


class Exchange(msgspec.Struct):
    """One request and what was heard until the next: pieces, each with its time after the request in seconds."""

    asked: bytes
    asked_s: float
    pieces: list[tuple[float, bytes]] = []

    @property
    def heard(self) -> bytes:
        return b"".join(data for _, data in self.pieces)

    @property
    def began_s(self) -> float:
        """When the first byte came, in seconds after the request; 0 where none came."""
        return self.pieces[0][0] if self.pieces else 0.0

    @property
    def lasted_s(self) -> float:
        """From the first byte to the last."""
        return self.pieces[-1][0] - self.pieces[0][0] if self.pieces else 0.0


class Listener:
    """A tap (`drivers.tap`): what it hears goes to the last request; before the first one nobody has asked.

    `heard` is set by every byte.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._bytes = 0
        self.unasked = 0
        self.heard = asyncio.Event()
        self.exchanges: list[Exchange] = []

    def __call__(self, way: Way, data: bytes) -> None:
        if way == "sent":
            self.exchanges.append(Exchange(data, self._now_s(), []))
            self._bytes = 0
            return
        self.heard.set()
        if not self.exchanges:
            self.unasked += len(data)
        elif self._bytes < MOST_BYTES:
            last = self.exchanges[-1]
            last.pieces.append((self._now_s() - last.asked_s, data))
            self._bytes += len(data)
