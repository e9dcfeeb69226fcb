"""A broker in the hands of a test, and ways to it on which things go wrong."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from simulators.broker import Broker
from simulators.mqtt.address import parse_broker
from simulators.proxy.faults import NAMES, FaultName, drawn
from simulators.proxy.meddling import Meddling
from simulators.proxy.proxy import Proxy, proxy
from simulators.testing.stage import Stage
from simulators.testing.subscribers import Subscriber


class BenchBroker:
    """A real broker on a free port of loopback; the port stays the same over `kill` and `start`."""

    def __init__(self, stage: Stage, broker: Broker) -> None:
        self._stage = stage
        self._broker = broker
        self.host = broker.host
        self.port = broker.port
        self.url = broker.url
        self.name = broker.name
        self.protocol: Literal["5", "3.1.1"] = broker.protocol

    def kill(self) -> None:
        """End it as a power cut would."""
        self._stage.run(self._broker.kill())

    def stop(self) -> None:
        """End it in order."""
        self._stage.run(self._broker.stop())

    def start(self) -> None:
        """Start it again, with nothing remembered; raises `ChildFailed`."""
        self._stage.run(self._broker.start())

    def pause(self) -> None:
        """It is there and says nothing, until `resume`."""
        self._broker.pause()

    def resume(self) -> None:
        self._broker.resume()

    def subscribe(self, *topics: str) -> Subscriber:
        """Hear what is published on these topics from now on; `+` and `#` as in MQTT. Raises `TimeoutError`."""
        return Subscriber(self._stage, parse_broker(self.url), self.protocol, topics)

    def way(self, *, seed: int = 0) -> "Way":
        """A port that leads to it, on which things can go wrong."""
        return Way(self._stage, self._stage.enter(proxy(self.port, seed=seed)), seed)


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

    def draw(self, *faults: FaultName, longest_s: float = 1.0) -> None:
        """From now on each connection meets one of these that ends it, and sometimes one that disturbs it."""
        self._way.faults = drawn(self._seed, faults or NAMES, max_s=longest_s)

    def meddle(self, meddling: Meddling) -> None:
        """From now on this happens to messages; see `Meddling`."""
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
