"""What gateways publish, as a subscriber beside the test hears it: for gateways that speak no contract v1."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import msgspec

from simulators.mqtt.address import BrokerAddress, Protocol
from simulators.mqtt.client import BrokerDown, Hello, connect
from simulators.testing.stage import Stage, wait_until

WAIT_S: Final = 20.0
_KEEPALIVE_S: Final = 15
_RECONNECT_S: Final = 0.1
_READY_S: Final = 10.0
_count = itertools.count()


class Message(NamedTuple):
    """One message, as it arrived."""

    topic: str
    payload: bytes
    retained: bool

    def json(self) -> Any:
        """Its payload; raises `msgspec.DecodeError` where that is no JSON."""
        return msgspec.json.decode(self.payload)


class Subscriber:
    """Everything on some topics, in order. After an outage of the broker it is there again."""

    def __init__(self, stage: Stage, broker: BrokerAddress, protocol: Protocol, topics: Sequence[str]) -> None:
        self._broker = broker
        self._topics = topics
        self._hello = Hello(f"oc-sim-test-{os.getpid()}-{next(_count)}", protocol, None, _KEEPALIVE_S)
        self._heard: list[Message] = []
        stage.enter(self._listening())

    @property
    def messages(self) -> Sequence[Message]:
        """What has arrived until now."""
        return list(self._heard)

    def wait_for(self, count: int = 1, timeout_s: float = WAIT_S) -> Sequence[Message]:
        """Until so many have arrived, and those; raises `AssertionError`."""
        return wait_until(
            lambda: found if len(found := self.messages) >= count else (),
            timeout_s,
            f"{count} messages on {', '.join(self._topics)}",
        )

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        """Raises `TimeoutError` where there is no broker."""
        subscribed = asyncio.Event()
        listening = asyncio.create_task(self._listen(subscribed), name="subscriber")
        try:
            async with asyncio.timeout(_READY_S):
                await subscribed.wait()
            yield
        finally:
            listening.cancel()
            await asyncio.wait((listening,))

    async def _listen(self, subscribed: asyncio.Event) -> None:
        while True:
            try:
                async with connect(self._broker, self._hello, self._take) as client:
                    client.subscribe(*self._topics)
                    subscribed.set()
                    await client.closed
            except BrokerDown:
                pass
            await asyncio.sleep(_RECONNECT_S)

    def _take(self, topic: str, payload: bytes, retained: bool) -> bool:  # noqa: FBT001 - the shape of `OnMessage`
        self._heard.append(Message(topic, payload, retained))
        return True
