"""A way to a broker, on which things go wrong."""

from collections import Counter
from collections.abc import Sequence

from simulators.proxy.faults import ENDS, NAMES, Fault, FaultName, drawn
from simulators.proxy.meddling import Meddling
from simulators.proxy.proxy import Proxy
from simulators.testing.stage import Stage


class Way:
    """A proxy before the broker. `done` counts by name what was done to whom."""

    def __init__(self, stage: Stage, way: Proxy, seed: int) -> None:
        self._stage = stage
        self._way = way
        self._seed = seed
        self.host = "127.0.0.1"
        self.port = way.port
        self.url = f"mqtt://127.0.0.1:{way.port}"

    @property
    def done(self) -> Counter[str]:
        return Counter(self._way.done)

    @property
    def connections(self) -> int:
        """How many there have been."""
        return self._way.connections

    @property
    def cuts(self) -> int:
        """How many connections were ended."""
        return sum(count for name, count in self.done.items() if name in ENDS)

    def draw(self, *faults: FaultName, longest_s: float = 1.0) -> None:
        """From now on each connection meets one of these that ends it, and sometimes one that disturbs it."""
        self._way.faults = drawn(self._seed, faults or NAMES, max_s=longest_s)

    def meet(self, *connections: Sequence[Fault]) -> None:
        """The next connections meet exactly these, one after another; those after them meet none."""
        self._way.faults = iter(connections)

    def meddle(self, meddling: Meddling | None) -> None:
        """From now on this happens to messages; see `Meddling`. None: nothing more."""
        self._way.meddling = meddling

    def cut(self, *, reset: bool = False) -> int:
        """End every connection now; gives how many there were."""
        return self._stage.call(lambda: self._way.cut(reset=reset))

    def refuse(self, seconds: float) -> None:
        """Close the port for so long; who is connected stays."""
        self._stage.call(self._way.refuse, seconds)

    def inject(self, topic: str, payload: bytes) -> bool:
        """Say what no broker has said, to every client; False where none is connected."""
        return self._stage.call(self._way.inject, topic, payload)

    def heal(self) -> None:
        """Nothing goes wrong any more."""
        self._stage.call(self._way.heal)


def fault_names() -> Sequence[FaultName]:
    """What `Way.draw` knows."""
    return NAMES
