"""An MQTT client in the hands of a test: it hears, says, and keeps every message as the broker passes it on."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Self, TypeVar

from simulators.mqtt.address import BrokerAddress, Protocol
from simulators.mqtt.client import BrokerDown, Client, Hello, Message, Will, connect
from simulators.testing.stage import Stage, wait_until

T = TypeVar("T")
WAIT_S: Final = 10.0
AGAIN_S: Final = 0.05
KEEPALIVE_S: Final = 60


class BenchClient:
    """A client beside the others. When the broker was away it comes back and subscribes anew by itself.

    `messages` are all that it heard, in order, each with its topic, payload, QoS and retain flag. On MQTT 3.1.1 the
    retain flag of what is published is not passed on, and the embedded broker delivers with the QoS of the
    subscription, which is 2.
    """

    def __init__(
        self, stage: Stage, port: int, topics: Sequence[str], client_id: str, protocol: Protocol, will: Will | None
    ) -> None:
        self.messages: list[Message] = []
        self._stage = stage
        self._address = BrokerAddress("127.0.0.1", port)
        self._hello = Hello(client_id, protocol, will, KEEPALIVE_S)
        self._topics = topics
        self._client: Client | None = None
        self._pubacks: dict[int, asyncio.Future[int]] = {}

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False, timeout_s: float = WAIT_S
    ) -> int:
        """Publish, wait until the broker has it, and give its reason code; raises `BrokerDown`, `TimeoutError`."""
        return self._stage.run(self._publish(topic, payload, qos, retain=retain), timeout_s)

    def wait_for(self, count: int = 1, timeout_s: float = WAIT_S) -> Sequence[Message]:
        """Until so many have arrived, and those; raises `AssertionError`."""
        what = f"{count} messages on {', '.join(self._topics)}"
        return wait_until(lambda: self.messages[:] if len(self.messages) >= count else [], timeout_s, what)

    def wait_until(self, condition: Callable[[Self], T], timeout_s: float = WAIT_S, what: str = "") -> T:
        """Until it gives something true, and that; raises `AssertionError`."""
        return wait_until(lambda: condition(self), timeout_s, what or "what the test waits for at its client")

    def vanish(self) -> None:
        """Leave without a word, as when the network is gone: the broker will publish the Will."""
        self._stage.run(self._leave(drop=True))

    def stop(self) -> list[Message]:
        """Leave in order; gives all that it heard."""
        self._stage.run(self._leave())
        return self.messages

    async def _publish(self, topic: str, payload: bytes, qos: int, *, retain: bool) -> int:
        if self._client is None:
            raise BrokerDown("the client of the test is not connected")
        number = self._client.publish(topic, payload, qos=qos, retain=retain)
        if not qos:
            return 0
        self._pubacks[number] = asyncio.get_running_loop().create_future()
        return await self._pubacks[number]

    async def _run(self) -> None:
        while True:
            with suppress(BrokerDown):
                async with connect(self._address, self._hello, self._hear) as client:
                    client.on_granted, client.on_puback = self._ready.set, self._landed
                    self._client = client
                    client.overhear(*self._topics) if self._topics else self._ready.set()
                    await asyncio.wait((client.closed,))
            self._ended()
            await asyncio.sleep(AGAIN_S)

    def _hear(self, message: Message) -> bool:
        self.messages.append(message)
        return True

    def _landed(self, number: int, code: int) -> None:
        waiting = self._pubacks.pop(number, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(code)

    def _ended(self) -> None:
        self._client = None
        for waiting in self._pubacks.values():
            if not waiting.done():
                waiting.set_exception(BrokerDown("the connection of the test's client was cut"))
        self._pubacks.clear()

    async def _leave(self, *, drop: bool = False) -> None:
        if drop and self._client is not None:
            self._client.drop()
        self._task.cancel()
        await asyncio.wait((self._task,))
        if not self._task.cancelled():
            self._task.result()

    async def __aenter__(self) -> Self:
        self._ready = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="client of the test")
        try:
            async with asyncio.timeout(WAIT_S):
                await self._ready.wait()
        except TimeoutError as err:
            await self._leave()
            raise BrokerDown(f"{self._address} does not answer") from err
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave()
