"""One simulated device in the hands of a test."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drivers.api import Value
from drivers.tomltext import toml_text
from simulators.faults.fault import EVERYTHING
from simulators.modbus.image import RegisterImage
from simulators.testing.asked import Asked
from simulators.testing.lines import SimulatedLine
from simulators.world import Exchange, Served


@dataclass(frozen=True, kw_only=True)
class SimulatedDevice(Asked):
    """A device that is there. `line` is where it is, with all others that are on it.

    `image` holds its registers where it was made of registers; else its values come from its profile.
    """

    unit: int | None
    profile: str
    line: SimulatedLine
    image: RegisterImage | None = None

    @property
    def exchanges(self) -> Sequence[Exchange]:
        """Every request that it has answered, or would have, in order."""
        return self._hands.records.exchanges(device=self.name)

    @property
    def served(self) -> Sequence[Served]:
        """Every value that has left it, in order; `fault` says what has spoilt an answer."""
        return self._hands.records.served(self.name)

    def set(self, point: str, value: Value) -> Value:
        """Let a point of its profile give this from now on; returns what a reader gets. Raises `BadValue`."""
        return self._hands.stage.call(self._hands.world.values.set, self.name, point, value)

    def release(self, point: str = EVERYTHING) -> int:
        """Let its points move again; gives how many stood still. Raises `BadValue`."""
        return self._hands.stage.call(self._hands.world.values.release, self.name, point)

    def toml(self, **device: Any) -> str:
        """The `[[link]]` and `[[device]]` of an agent.toml, with more keys for the device; raises `ValueError`."""
        return toml_text({"link": [self.link], "device": [self.keys(**device)]})

    def keys(self, **more: Any) -> dict[str, Any]:
        """The keys of its `[[device]]`."""
        if not (self.profile or "profile" in more):
            raise ValueError(f"{self.name} has no profile: write toml(profile=...)")
        keys: dict[str, Any] = {"name": self.name, "link": self.link["name"], "profile": self.profile}
        return keys | ({} if self.unit is None else {"unit": self.unit}) | more
