"""What the broker says of us: our own retained status, which it passes on to us. Pure.

Promises: the first word of this connection that comes back is the barrier before which everything retained has come;
a late Will that says offline is answered; a status that we never said means that somebody else has our id. Not every
broker tells of a takeover with 0x8E (Mosquitto 2.0.11 does not), and then this is how it is noticed.
"""

import asyncio
from enum import Enum

from agent.uplink.downlink.messages import OwnStatus
from agent.uplink.formats import Moment


class Heard(Enum):
    """What a status means."""

    OURS = "it is what we say"
    LATE = "it says that we are offline, and we are not"
    FOREIGN = "somebody else says it"


class Presence:
    """Watches our own status. `echo` is set when what we said on this connection has come back."""

    def __init__(self) -> None:
        self.echo = asyncio.Event()
        self._was_online = False

    def connected(self) -> None:
        """A connection was opened."""
        self.echo.clear()

    def heard(self, said: OwnStatus, now: Moment) -> Heard:
        """Take in a status; `now` names us on this connection."""
        if not said.online:
            return Heard.LATE if self.echo.is_set() else Heard.OURS
        if (said.epoch, said.boot, said.connection) == now[:3]:
            self.echo.set()
            self._was_online = True
            return Heard.OURS
        ours = (said.epoch, said.boot) == (now.epoch, now.boot) and said.connection <= now.connection
        return Heard.FOREIGN if self._was_online and not ours else Heard.OURS
