"""The IOC's side of the broker: connect, subscribe, publish, and wait until the broker has it.

A message is acknowledged to the broker after it was handled, so at most `RECEIVE_MAXIMUM` are on their way at any time.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from simulators.mqtt import client as mqtt
from simulators.mqtt.address import BrokerAddress, Protocol
from simulators.mqtt.client import BrokerDown, Hello, Will

CONFIRM_TIMEOUT_S = 2.0
KEEPALIVE_S = 15
RECEIVE_MAXIMUM = 100

OnMessage = Callable[[str, bytes], bool]
"""Handle one message; False where it could not be, and the broker shall keep it."""


class Session:
    """One connection. `closed` is done when it ends, with the reason."""

    def __init__(self, client: mqtt.Client) -> None:
        self.closed = client.closed
        self._client = client
        self._unconfirmed: set[int] = set()
        self._all_confirmed = asyncio.Event()
        client.on_puback = self._confirmed

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send with QoS 1; raises `BrokerDown`. Nothing is kept for a later connection."""
        self._unconfirmed.add(self._client.publish(topic, payload, retain=retain))
        self._all_confirmed.clear()

    async def flush(self) -> None:
        """Wait until the broker has everything that was published; raises `BrokerDown` where it does not say so."""
        if self._unconfirmed:
            try:
                async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                    await self._all_confirmed.wait()
            except TimeoutError as err:
                raise BrokerDown("the broker did not confirm what was published") from err

    def subscribe(self, topic: str) -> None:
        """Ask for `topic` with QoS 1."""
        self._client.subscribe(topic)

    def _confirmed(self, mid: int, _code: int) -> None:
        self._unconfirmed.discard(mid)
        if not self._unconfirmed:
            self._all_confirmed.set()


@asynccontextmanager
async def connect(
    broker: BrokerAddress, protocol: Protocol, client_id: str, will: Will, on_message: OnMessage
) -> AsyncIterator[Session]:
    """Connect, and disconnect at the end; raises `BrokerDown`."""
    hello = Hello(client_id, protocol, will, KEEPALIVE_S, RECEIVE_MAXIMUM)
    async with mqtt.connect(broker, hello, lambda message: on_message(message.topic, message.payload)) as client:
        yield Session(client)
