"""The topics of one gateway, contract version 1. Pure.

The gateway id stands alone in its level, so that a broker can bind it to the identity of the connection (`%u`).
"""

from dataclasses import dataclass
from typing import Final

IOC_STATE: Final = "ocg/v1/ioc/state"


@dataclass(frozen=True, slots=True)
class Topics:
    """Where gateway `gateway` writes, and where it listens."""

    gateway: str

    def up(self, name: str) -> str:
        """What this gateway publishes, for example `up("data")`."""
        return f"ocg/v1/{self.gateway}/up/{name}"

    def blob(self, picture: str, part: int) -> str:
        """Where the part of a picture is published, counted from 1."""
        return self.up(f"blob/{picture}/{part}")

    def device_birth(self, device: str) -> str:
        return self.up(f"birth/{device}")

    @property
    def birth(self) -> str:
        return self.up("birth")

    @property
    def status(self) -> str:
        return self.up("status")

    @property
    def health(self) -> str:
        return self.up("health")

    @property
    def ack(self) -> str:
        return self._down("ack")

    @property
    def replay(self) -> str:
        return self._down("replay")

    @property
    def command(self) -> str:
        return self._down("cmd")

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """Everything that the gateway listens to. The state of the IOC comes first: it decides what is sent."""
        return (IOC_STATE, self.ack, self.replay, self.command, self.status)

    @property
    def frequent(self) -> tuple[str, ...]:
        """What is published often, the most frequent first; a broker may allow short names for a few topics only."""
        return (self.up("data"), self.up("backfill"), self.up("event"), self.health)

    def _down(self, name: str) -> str:
        return f"ocg/v1/{self.gateway}/down/{name}"
