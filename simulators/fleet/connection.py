"""One gateway on one MQTT connection: what it wants to send goes to the wire, what comes goes to it."""

import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from simulators.fleet.figures import Figures
from simulators.fleet.gateway import Gateway
from simulators.fleet.lanes import Sending
from simulators.mqtt.address import BrokerAddress, Protocol
from simulators.mqtt.client import BrokerDown, Client, Hello, Message, Will, connect

KEEPALIVE_S = 60
SESSION_S = 120
WILL_DELAY_S = 30
EXPIRY_S = 7 * 86_400
TOO_LARGE = 0x95
HEADER_BYTES = 40
"""More than a PUBLISH has besides its topic and its payload."""
_ALIASES = {topic: number for number, topic in enumerate(("data", "backfill", "event", "health"), 1)}


class Connection:
    """One connection after another of one gateway; between them nothing is sent."""

    def __init__(self, gateway: Gateway, protocol: Protocol, figures: Figures) -> None:
        self.gateway = gateway
        self._protocol = protocol
        self._figures = figures
        self._base = f"ocg/v1/{gateway.name}/"
        self._client: Client | None = None
        self._sent: dict[int, tuple[Sending, float]] = {}
        self._named: set[str] = set()
        """Topics whose alias the broker knows: it took a message that named both."""

    @asynccontextmanager
    async def open(self, broker: BrokerAddress, tls: ssl.SSLContext | None) -> AsyncIterator[Client]:
        """Connect, say who is there, disconnect at the end; raises `BrokerDown`."""
        will = Will(f"{self._base}up/status", self.gateway.will(), WILL_DELAY_S)
        hello = Hello(self.gateway.name, self._protocol, will, KEEPALIVE_S, session_s=SESSION_S)
        async with connect(broker, hello, self._hear, tls) as client:
            self._client = client
            self._sent.clear()
            self._named.clear()
            client.on_puback = self._landed
            client.subscribe(f"{self._base}down/#", f"{self._base}up/status", "ocg/v1/ioc/state")
            self.gateway.connected(client.limits.receive_maximum)
            self._figures.connections += 1
            self.pump()
            try:
                yield client
            finally:
                self.gateway.disconnected()
                self._client = None

    def pump(self) -> None:
        """Send what the gateway wants to send now."""
        client = self._client
        if client is None or client.closed.done():
            return
        while (sending := self.gateway.take()) is not None:
            if len(sending.payload) + len(self._base) + HEADER_BYTES > client.limits.max_packet_bytes:
                self.gateway.landed(sending, TOO_LARGE)
            elif not self._publish(client, sending):
                return

    def say_health(self) -> None:
        """The gateway's own figures, if there is a connection: nobody waits for them."""
        if self._client is not None and self.gateway.online:
            self._publish(self._client, Sending("health", self.gateway.health()), qos=0)

    def _publish(self, client: Client, sending: Sending, qos: int = 1) -> bool:
        """False where the connection has ended: then everything is sent again on the next one."""
        topic, alias = f"{self._base}up/{sending.topic}", 0
        if not sending.retain and _ALIASES.get(sending.topic, 0) <= client.limits.topic_aliases:
            alias = _ALIASES.get(sending.topic, 0)
            topic = "" if sending.topic in self._named else topic
        expiry_s = 0 if sending.retain or qos == 0 else EXPIRY_S
        try:
            number = client.publish(
                topic, sending.payload, qos=qos, retain=sending.retain, alias=alias, expiry_s=expiry_s
            )
        except BrokerDown:
            return False
        if qos:
            self._sent[number] = (sending, time.monotonic())
        return True

    def _landed(self, number: int, code: int) -> None:
        found = self._sent.pop(number, None)
        if found is None:
            return
        sending, since_s = found
        self._figures.puback(time.monotonic() - since_s)
        if code == 0 and sending.topic in _ALIASES:
            self._named.add(sending.topic)
        self.gateway.landed(sending, code)
        self.pump()

    def _hear(self, message: Message) -> bool:
        topic = message.topic
        name = topic.removeprefix(self._base) if topic.startswith(self._base) else topic.rpartition("/")[2]
        self.gateway.hear(name, message.payload, retained=message.retained)
        self.pump()
        return True
