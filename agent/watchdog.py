"""The watchdog of systemd: patted only while polling, storing and publishing make progress.

Promises: what is stuck is named in the log before systemd acts, once an episode; a link that is stuck while another
one polls is named too, and is no reason to restart: one bad link never stops the others. A broker that is away, links
that are down and devices that are silent are not stuck.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from agent.clock import Clock
from agent.polling.poller import LinkPoller
from agent.sdnotify import Notifier, watchdog_interval_s
from agent.supervise import Episode

MAX_S = 10.0


class Part(Protocol):
    """What the watchdog asks of a loop."""

    def is_alive(self) -> bool:
        """False where it is stuck."""


class Watchdog:
    """Pats for the `core` parts, by name, and for `pollers`, of which one that makes progress is enough.

    `pollers` may change while it looks.
    """

    def __init__(self, core: Mapping[str, Part], pollers: Sequence[LinkPoller], clock: Clock) -> None:
        self._core = core
        self._pollers = pollers
        self._clock = clock
        self._episodes: dict[str, Episode] = {}

    async def run(self, notifier: Notifier) -> None:
        """Pat twice as often as systemd wants to hear it, or more; look also where it does not watch us."""
        interval_s = min(watchdog_interval_s() or MAX_S, MAX_S)
        while True:
            if self.look():
                notifier.send("WATCHDOG=1")
            await asyncio.sleep(interval_s)

    def look(self) -> bool:
        """Look at all parts and say what is stuck; True where they make progress."""
        stuck = [name for name, part in self._core.items() if not self._told(name, part)]
        polling = [self._told(f"link {poller.link.name}", poller) for poller in self._pollers]
        return not stuck and (any(polling) or not polling)

    def _told(self, name: str, part: Part) -> bool:
        episode = self._episodes.setdefault(name, Episode(name, self._clock))
        alive = part.is_alive()
        if alive:
            episode.recovered()
        else:
            episode.failed("stuck: it makes no progress any more; a restart of the service ends that")
        return alive
