"""The IOC's ingest as a service: connected for ever, acknowledging once a second.

`state` is retained, with a Will; while the broker is away everything waits at the gateways, which is what they are for.
The Will of an IOC that died without a word comes late, when another may long be there: then `state` is said again.
"""

import asyncio
import os
import socket
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from simulators.ioc.ingest import Ingest
from simulators.ioc.mqtt import Session, connect
from simulators.mqtt.address import BrokerAddress, Protocol
from simulators.mqtt.client import BrokerDown, Will

STATE_TOPIC = "ocg/v1/ioc/state"
UPLINK_TOPICS = "ocg/v1/+/up/#"
ACK_EVERY_S = 1.0
RECONNECT_S = 0.5
MAX_BYTES = 65_536


class _Said(msgspec.Struct):
    """What a retained state says."""

    online: bool


class IocService:
    """One run of the IOC. `connections` counts how often it has been ready.

    `rows`: whether it says that it reads them; it does so also where it does not say it.
    """

    def __init__(
        self,
        ingest: Ingest,
        broker: BrokerAddress,
        *,
        protocol: Protocol = "5",
        ack: bool = True,
        ack_every_s: float = ACK_EVERY_S,
        rows: bool = True,
    ) -> None:
        self.ingest = ingest
        self.broker = broker
        self.connections = 0
        self.error = ""
        self._protocol = protocol
        self._ack = ack
        self._ack_every_s = ack_every_s
        self._encodings = ["json", "deflate", *(["rows"] if rows else [])]
        self._gainsaid = False
        self._failure: sqlite3.Error | OSError | None = None
        self._client_id = f"ioc-ingest-{os.getpid()}-{time.monotonic_ns():x}"

    async def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Connect, serve, connect again; raises `sqlite3.Error`, `OSError`. Cancelled, it says it is offline."""
        while True:
            try:
                await self._serve(on_ready)
            except BrokerDown as err:
                self.error = str(err)
            self.ingest.tidy()
            await asyncio.sleep(RECONNECT_S)

    async def _serve(self, on_ready: Callable[[], None]) -> None:
        will = Will(STATE_TOPIC, self._state(online=False))
        async with connect(self.broker, self._protocol, self._client_id, will, self._take) as session:
            session.subscribe(UPLINK_TOPICS)
            self._gainsaid = True
            self._say_state(session)
            session.subscribe(STATE_TOPIC)
            self.connections += 1
            self.error = ""
            on_ready()
            try:
                await self._answer_for_ever(session)
            finally:
                with suppress(BrokerDown):
                    self._answer(session)
                    session.publish(STATE_TOPIC, self._state(online=False), retain=True)
                    await session.flush()

    async def _answer_for_ever(self, session: Session) -> None:
        while not session.closed.done():
            if self._failure is not None:
                raise self._failure
            self._say_state(session)
            self._answer(session)
            self.ingest.tidy()
            await asyncio.wait([session.closed], timeout=self._ack_every_s)
        raise session.closed.result()

    def _take(self, topic: str, payload: bytes) -> bool:
        """Store one message; where the disk fails the run ends, and the broker keeps the message."""
        if topic == STATE_TOPIC:
            self._gainsaid = not _says_online(payload)
            return True
        try:
            self.ingest.take(topic, payload)
        except (sqlite3.Error, OSError) as err:
            self._failure = err
        return self._failure is None

    def _say_state(self, session: Session) -> None:
        """Say that we are online, where nobody has said so yet or somebody says that we are not."""
        if self._gainsaid:
            self._gainsaid = False
            session.publish(STATE_TOPIC, self._state(online=True), retain=True)

    def _answer(self, session: Session) -> None:
        if not self._ack:
            return
        for topic, payload in self.ingest.acks():
            session.publish(topic, payload, retain=True)
        for topic, payload in self.ingest.replays():
            session.publish(topic, payload)

    def _state(self, *, online: bool) -> bytes:
        state = {
            "v": 1,
            "online": online,
            "time_ms": time.time_ns() // 1_000_000,
            "ack": self._ack,
            "max_bytes": MAX_BYTES,
            "encodings": self._encodings,
            "host": socket.gethostname(),
        }
        return msgspec.json.encode(state)


def _says_online(state: bytes) -> bool:
    try:
        return msgspec.json.decode(state, type=_Said).online
    except msgspec.DecodeError:
        return False
