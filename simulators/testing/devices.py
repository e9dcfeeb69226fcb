"""One simulated device in the hands of a test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from drivers.api import Value
from simulators.faults.fault import EVERYTHING, Fault
from simulators.modbus.image import RegisterImage
from simulators.scripts import Say, Script
from simulators.testing.faults import FaultBoard
from simulators.testing.records import Records
from simulators.testing.stage import Stage, wait_until
from simulators.toml_text import toml_text
from simulators.world import Exchange, Served, World

WAIT_S = 10.0


class Hands(NamedTuple):
    """What a device of a bench needs of the bench."""

    stage: Stage
    world: World
    records: Records
    faults: FaultBoard


@dataclass(frozen=True)
class SimulatedDevice:
    """A device that is there. `link` are the keys of the `[[link]]` at which a gateway finds it.

    `image` holds its registers where it was made of registers; else its values come from its profile.
    """

    name: str
    unit: int | None
    profile: str
    link: Mapping[str, Any]
    _hands: Hands = field(repr=False)
    image: RegisterImage | None = None

    @property
    def host(self) -> str:
        """Where its TCP port is."""
        return str(self.link["host"])

    @property
    def tcp_port(self) -> int:
        """Its TCP port."""
        return int(self.link["tcp_port"])

    @property
    def port(self) -> str:
        """Its serial port."""
        return str(self.link["port"])

    @property
    def served(self) -> Sequence[Served]:
        """Every value that has left it, in order; `fault` says what has spoilt an answer."""
        return self._hands.records.served(self.name)

    @property
    def exchanges(self) -> Sequence[Exchange]:
        """Every request that it has answered, or would have, in order."""
        return self._hands.records.exchanges(self.name)

    @property
    def requests(self) -> Sequence[bytes]:
        """The bytes of every request to it, in order."""
        return [one.request for one in self.exchanges]

    def set(self, point: str, value: Value) -> Value:
        """Let a point of its profile give this from now on; returns what a reader gets. Raises `BadValue`."""
        return self._hands.stage.call(self._hands.world.values.set, self.name, point, value)

    def release(self, point: str = EVERYTHING) -> int:
        """Let its points move again; gives how many stood still. Raises `BadValue`."""
        return self._hands.stage.call(self._hands.world.values.release, self.name, point)

    def fault(self, fault: str | Fault) -> Fault:
        """Let something go wrong with it, or with its line: `"no_reply for=5"`; raises `BadFault`."""
        return self._hands.faults.add(fault, on=self.name)

    def heal(self, name: str = EVERYTHING) -> int:
        """End its faults of this name; gives how many."""
        return self._hands.faults.heal(name, on=self.name)

    def script(self, say: Say, *, in_order: bool = True) -> None:
        """Answer with what `say(number, request, answer)` gives: (seconds after the request, bytes) pairs.

        `say` is called beside the test, in the thread of the simulators. What was meant is recorded as spoilt by
        `script`.
        """
        self._hands.world.scripts[self.name] = Script(say, in_order)

    def end_script(self) -> None:
        """Answer as before."""
        self._hands.world.scripts.pop(self.name, None)

    def wait_for_requests(self, count: int, timeout_s: float = WAIT_S) -> Sequence[bytes]:
        """Until it has been asked so often since its start; raises `AssertionError`."""
        return wait_until(
            lambda: self.requests if len(self.requests) >= count else (), timeout_s, f"{count} requests to {self.name}"
        )

    def toml(self, **device: Any) -> str:
        """The `[[link]]` and `[[device]]` of an agent.toml, with more keys for the device; raises `ValueError`."""
        return toml_text({"link": [self.link], "device": [self.keys(**device)]})

    def keys(self, **more: Any) -> dict[str, Any]:
        """The keys of its `[[device]]`."""
        if not (self.profile or "profile" in more):
            raise ValueError(f"{self.name} has no profile: write toml(profile=...)")
        keys: dict[str, Any] = {"name": self.name, "link": self.link["name"], "profile": self.profile}
        return keys | ({} if self.unit is None else {"unit": self.unit}) | more
