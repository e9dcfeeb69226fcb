"""A broker in the hands of a test."""

from pathlib import Path
from typing import Literal

from simulators.brokers.broker import Broker
from simulators.brokers.mosquitto import BrokerOptions
from simulators.mqtt.client import Will
from simulators.proxy.meddling import Watch
from simulators.proxy.proxy import nobody, proxy
from simulators.testing.clients import BenchClient
from simulators.testing.stage import Stage
from simulators.testing.ways import Way


class BenchBroker:
    """A real broker on a free port of loopback; the port stays the same over `kill` and `start`.

    `plain_port` is the same, or where the broker speaks TLS one that does not.
    """

    def __init__(self, stage: Stage, broker: Broker) -> None:
        self._stage = stage
        self._broker = broker
        self.host = broker.host
        self.port = broker.port
        self.plain_port = broker.plain_port
        self.url = broker.url
        self.name = broker.name
        self.protocol: Literal["5", "3.1.1"] = broker.protocol

    @property
    def options(self) -> BrokerOptions:
        """How it is set up; `change(replace(broker.options, …))`."""
        return self._broker.options

    @property
    def log(self) -> Path:
        """What it says on stderr."""
        return self._broker.log

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

    def change(self, options: BrokerOptions) -> None:
        """Passwords and access rules are read again at once (SIGHUP), everything else at the next start."""
        self._stage.call(self._broker.change, options)

    def reload(self) -> None:
        """Read the files again that its configuration names (SIGHUP), as far as mosquitto does that."""
        self._broker.reload()

    def way(self, *, seed: int = 0, watch: Watch = nobody) -> Way:
        """A port that leads to it, on which things can go wrong.

        `watch` sees every message that goes on; it is called in another thread.
        """
        return Way(self._stage, self._stage.enter(proxy(self.port, seed=seed, watch=watch)), seed)

    def client(
        self,
        *topics: str,
        client_id: str = "",
        will: Will | None = None,
        protocol: Literal["5", "3.1.1"] | None = None,
    ) -> BenchClient:
        """A client that hears `topics`, and may say anything; raises `BrokerDown`."""
        client = BenchClient(self._stage, self.plain_port, topics, client_id, protocol or self.protocol, will)
        return self._stage.enter(client)

    def subscribe(self, *topics: str) -> BenchClient:
        """Hear what is published on these topics from now on; `+` and `#` as in MQTT. Raises `BrokerDown`."""
        return self.client(*topics)

    def record(self) -> BenchClient:
        """A client that keeps every message from now on, as it was published: `record().messages`.

        It is a subscriber: a broker whose PUBACK says "no matching subscribers" will not say so any more.
        """
        return self.client("#", client_id="recorder")
