"""What passes the broker, as a subscriber hears it: the status of gateways, or all values where there is no IOC."""

import asyncio
import os
import time
from collections import Counter
from typing import Final

from simulators.ioc.messages import Malformed, parse_retained, parse_topic
from simulators.mqtt.address import BrokerAddress, Protocol
from simulators.mqtt.client import BrokerDown, Hello, Message, connect
from simulators.scenario.arriving import Arrives, arrivals
from simulators.scenario.evidence import Arrival

STATUS_TOPIC: Final = "ocg/v1/+/up/status"
KEEPALIVE_S: Final = 15
RECONNECT_S: Final = 0.1


class Recorder:
    """One subscriber, connected for ever. `ready` is set while it is subscribed."""

    def __init__(self, broker: BrokerAddress, protocol: Protocol, arrives: Arrives | None) -> None:
        self.statuses: list[tuple[int, bool]] = []
        self.arrivals: list[Arrival] = []
        self.malformed: Counter[str] = Counter()
        self.messages = 0
        self.ready = asyncio.Event()
        self._broker = broker
        self._arrives = arrives
        self._hello = Hello(f"oc-sim-check-{os.getpid()}-{time.monotonic_ns():x}", protocol, None, KEEPALIVE_S)

    async def run(self) -> None:
        """Connect, listen, connect again, until cancelled."""
        topic = self._arrives.filter if self._arrives else STATUS_TOPIC
        while True:
            try:
                async with connect(self._broker, self._hello, self._take) as client:
                    client.subscribe(topic)
                    self.ready.set()
                    await client.closed
            except BrokerDown:
                pass
            self.ready.clear()
            await asyncio.sleep(RECONNECT_S)

    def _take(self, message: Message) -> bool:
        topic, payload = message.topic, message.payload
        self.messages += 1
        received_ms = time.time_ns() // 1_000_000
        try:
            if self._arrives:
                self.arrivals.extend(arrivals(self._arrives, topic, payload, received_ms))
            elif payload and (online := parse_retained(parse_topic(topic)[0], payload).online) is not None:
                self.statuses.append((received_ms, online))
        except (ValueError, Malformed) as err:
            self.malformed[str(err)[:200]] += 1
        return True
