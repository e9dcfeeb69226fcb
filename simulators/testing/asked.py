"""What is asked, and answers, in the hands of a test: a device, or a line with all that are on it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from simulators.faults.fault import EVERYTHING, Fault
from simulators.faults.scripts import NotAfter, Say, Script, at_any_time
from simulators.testing.faults import FaultBoard
from simulators.testing.records import Records
from simulators.testing.stage import Stage, wait_until
from simulators.world import Exchange, World

WAIT_S: Final = 10.0


class Hands(NamedTuple):
    """What a part of a bench needs of the bench."""

    stage: Stage
    world: World
    records: Records
    faults: FaultBoard


@dataclass(frozen=True, kw_only=True)
class Asked(ABC):
    """It is there. `link` are the keys of the `[[link]]` at which a gateway finds it."""

    name: str
    link: Mapping[str, Any]
    _hands: Hands = field(repr=False)

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
    @abstractmethod
    def exchanges(self) -> Sequence[Exchange]:
        """Every request that it has answered, or would have, in order."""

    @property
    def requests(self) -> Sequence[bytes]:
        """The bytes of every request to it, in order."""
        return [one.request for one in self.exchanges]

    def wait_for_requests(self, count: int, timeout_s: float = WAIT_S) -> Sequence[bytes]:
        """Until it has been asked so often since its start; raises `AssertionError`."""
        return wait_until(
            lambda: self.requests if len(self.requests) >= count else (), timeout_s, f"{count} requests to {self.name}"
        )

    def script(self, say: Say, *, in_order: bool = True, not_after: NotAfter = at_any_time) -> None:
        """Answer with what `say(number, request, answer)` gives: (seconds after the request, bytes) pairs.

        `not_after(number)` is the moment, as of `time.monotonic`, after which nothing more is sent to this request: so
        no machine that is busy makes a device slower than the test says. Both are called beside the test, in the
        thread of the simulators. What was meant is recorded as spoilt by `script`.
        """
        self._hands.world.scripts[self.name] = Script(say, in_order, not_after)

    def end_script(self) -> None:
        """Answer as before."""
        self._hands.world.scripts.pop(self.name, None)

    def fault(self, fault: str | Fault) -> Fault:
        """Let something go wrong with it, or with its line: `"no_reply for=5"`; raises `BadFault`."""
        return self._hands.faults.add(fault, on=self.name)

    def heal(self, name: str = EVERYTHING) -> int:
        """End its faults of this name; gives how many."""
        return self._hands.faults.heal(name, on=self.name)
