"""What a bench has seen: every value that left a device, and every request."""

import threading
from collections.abc import Iterable, Sequence

from simulators.world import Exchange, Served


class Records:
    """Written on the stage, read by the test."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._served: list[Served] = []
        self._exchanges: list[Exchange] = []

    def serve(self, served: Iterable[Served]) -> None:
        with self._lock:
            self._served.extend(served)

    def watch(self, exchange: Exchange) -> None:
        with self._lock:
            self._exchanges.append(exchange)

    def served(self, device: str = "") -> Sequence[Served]:
        """All values, or those of one device, in order."""
        with self._lock:
            return [one for one in self._served if device in ("", one.device)]

    def exchanges(self, *, device: str = "", link: str = "") -> Sequence[Exchange]:
        """All requests, or those to one device, or on one link, in order."""
        with self._lock:
            return [one for one in self._exchanges if device in ("", one.device) and link in ("", one.link)]
