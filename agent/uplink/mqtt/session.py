"""One MQTT connection, on the event loop, without threads once it is open.

Promises: a connection has a fresh paho client, so nothing is ever sent that was published before it; everything
that is in flight when it ends fails with `UplinkDown`; nothing is queued secretly, the caller's window is the only one.

paho keeps the state of a session in its client object. Ours is fresh, so on our side each session begins empty, while
MQTT 5 lets the broker keep its side for two minutes: that alone spares the Will when we are back in time, and brings
commands that were sent meanwhile. MQTT 3.1.1 cannot say for how long, so there the session is clean.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Literal

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.uplink.errors import MessageRejected, UplinkDown, UplinkRefused
from agent.uplink.mqtt.answers import in_words, limits_of, take_every_code
from agent.uplink.mqtt.aside import aside
from agent.uplink.mqtt.attachment import Attachment
from agent.uplink.mqtt.credentials import renewed
from agent.uplink.mqtt.dialing import Dialing, new_client
from agent.uplink.mqtt.options import Limits, MqttOptions
from agent.uplink.mqtt.tls.naming import connack_fault
from agent.uplink.mqtt.wire import Wire
from agent.uplink.reasons import TOO_LARGE, UNSUPPORTED_PROTOCOL, end_name, end_text, is_slow

log = logging.getLogger(__name__)

GOODBYE_S: Final = 1.0

OnMessage = Callable[[str, bytes], None]


class MqttSession:
    """An open connection. `closed` is done when it has ended, with the reason; it never raises."""

    def __init__(self, client: paho.Client, options: MqttOptions) -> None:
        loop = asyncio.get_running_loop()
        self.limits = Limits()
        self.closed: asyncio.Future[UplinkDown] = loop.create_future()
        self._loop = loop
        self._client = client
        self._options = options
        self._dialing = Dialing(client, options)
        self._attachment = Attachment(client)
        self._connected: asyncio.Future[Limits] = loop.create_future()
        self._acks: dict[int, asyncio.Future[int]] = {}
        self._subscribed: dict[int, asyncio.Future[list[int]]] = {}
        self._room = asyncio.Event()
        self._leaving: UplinkDown | None = None
        self._wire = Wire(options.protocol, 0, ())

    @property
    def in_flight(self) -> int:
        """How many QoS 1 messages wait for their PUBACK; the broker allows `limits.receive_maximum`."""
        return len(self._acks)

    def send(
        self, topic: str, payload: bytes, *, qos: Literal[0, 1] = 1, retain: bool = False, expiry_s: int | None = None
    ) -> asyncio.Future[int]:
        """Send one message now; the future gives the PUBACK's reason code, or raises `UplinkDown` when it cannot come.

        Raises `UplinkDown`, and `MessageRejected` where it is larger than the broker takes. With QoS 0 the future
        is done at once: nobody will ever say what became of the message.
        """
        if self.closed.done():
            raise self.closed.result()
        form = self._wire.form(topic, payload, qos, retain=retain, expiry_s=expiry_s)
        largest = self.limits.maximum_packet_size
        if largest is not None and form.bytes > largest:
            raise MessageRejected(TOO_LARGE, f"{form.bytes} bytes on {topic}: {self._options.broker} takes {largest}")
        info = self._client.publish(form.name, payload, qos, retain, form.properties)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise UplinkDown(f"{self._options.broker}: {paho.error_string(info.rc)}")
        future: asyncio.Future[int] = self._loop.create_future()
        if form.name:
            future.add_done_callback(lambda done: self._named(topic, done))
        if qos:
            self._acks[info.mid] = future
        else:
            future.set_result(0)
        return future

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False, timeout_s: float) -> int:
        """Send with QoS 1 when the broker has room, and wait for the PUBACK; returns its reason code.

        Raises `UplinkDown`, also after `timeout_s` seconds without an answer, and `MessageRejected`.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while self.in_flight >= self.limits.receive_maximum and not self.closed.done():
                    self._room.clear()
                    await self._room.wait()
                return await self.send(topic, payload, retain=retain)
        except TimeoutError as err:
            raise UplinkDown(f"{self._options.broker}: no PUBACK for {topic} within {timeout_s:g} s") from err

    async def subscribe(self, filters: tuple[str, ...], *, timeout_s: float) -> list[int]:
        """Ask for `filters` with QoS 1; returns the reason code of each, from 0x80 on a refusal. Raises `UplinkDown`.

        A grant proves nothing: brokers filter at delivery.
        """
        if self.closed.done():
            raise self.closed.result()
        code, mid = self._client.subscribe([(topic, 1) for topic in filters])
        if code != paho.MQTT_ERR_SUCCESS or mid is None:
            raise UplinkDown(f"{self._options.broker}: {paho.error_string(code)}")
        future: asyncio.Future[list[int]] = self._loop.create_future()
        self._subscribed[mid] = future
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError as err:
            raise UplinkDown(f"{self._options.broker}: no answer to SUBSCRIBE within {timeout_s:g} s") from err

    async def renewed(self, every_s: float) -> None:
        """Wait until certificates, key or password on disk are new and good; look each `every_s` seconds."""
        used = self._dialing.credentials
        if used and used.stamps:
            await renewed(self._options, used, every_s)
        else:
            raise await asyncio.shield(self.closed)

    @asynccontextmanager
    async def paused(self, patience_s: float) -> AsyncIterator[None]:
        """Let nothing new be sent; the context opens when all is answered, at the latest after `patience_s`."""
        limits, self.limits = self.limits, msgspec.structs.replace(self.limits, receive_maximum=0)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    while self._acks:
                        self._room.clear()
                        await self._room.wait()
            yield
        finally:
            self.limits = limits
            self._room.set()

    async def disconnect(self, *, with_will: bool, why: UplinkDown | None = None) -> None:
        """Say goodbye and close, within `GOODBYE_S`; `with_will` lets the broker tell everyone that we have gone.

        `why` is what `closed` will say, where the end is not for good.
        """
        if self.closed.done():
            return
        self._leaving = why
        if self._options.protocol == "5":
            name = "Disconnect with will message" if with_will else "Normal disconnection"
            self._client.disconnect(ReasonCode(PacketTypes.DISCONNECT, name))
        elif not with_will:
            self._client.disconnect()
        else:
            self._end(UplinkDown("closed by this gateway"))  # 3.1.1 publishes the Will only when nobody says goodbye
        with suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await asyncio.shield(self.closed)

    def close(self) -> None:
        """Drop the connection without a word; the broker publishes the Will after its delay."""
        self._end(UplinkDown("closed by this gateway"))

    async def open(self) -> None:
        """Connect, and wait for the broker's word; raises `UplinkDown`. Only `connect` calls this, once."""
        try:
            async with asyncio.timeout(self._options.connect_timeout_s):
                await self._dial()
                self._attach()
                self.limits = await self._connected
                self._wire = Wire(self._options.protocol, self.limits.topic_alias_maximum, self._options.frequent)
        except TimeoutError as err:
            raise self._dialing.late() from err

    async def _dial(self) -> None:
        """Connect in a thread, for DNS, TCP and TLS all block; one that hangs is left alone and tidies up itself."""
        failure = await aside(self._dialing.run, "mqtt connect", abandoned=self._attachment.close)
        if failure:
            raise failure

    def _attach(self) -> None:
        client = self._client
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        if not self._attachment.open():
            raise self._dialing.cut(answered=False)

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, code: ReasonCode, said: Properties | None) -> None:
        if self._connected.done():
            return
        if code.is_failure:
            self._connected.set_exception(self._refused(code.value, said))
        else:
            self._connected.set_result(limits_of(said))
            self._attachment.look()  # the server may have an interval of its own

    def _on_disconnect(self, _client: Any, _data: Any, flags: Any, code: ReasonCode, said: Properties | None) -> None:
        broker, protocol, answered = self._options.broker, self._options.protocol, self._connected.done()
        if self._leaving:
            self._end(self._leaving)
        elif flags.is_disconnect_packet_from_server:
            kind = UplinkRefused if is_slow(code.value) else UplinkDown
            self._end(kind(f"{broker} ended the connection: {self._why(code.value, said)}", code.value))
        elif str(code) == "Keep alive timeout":
            self._end(UplinkDown(f"{broker} is silent: no answer to a ping"))
        elif str(code) != "Protocol error":
            self._end(self._dialing.cut(answered=answered))
        elif not answered and protocol == "3.1.1":
            self._end(self._refused(UNSUPPORTED_PROTOCOL, said))  # paho says no more of return code 1
        else:
            self._end(UplinkRefused(f"{broker}: what it answers is no MQTT {protocol}"))

    def _refused(self, code: int, said: Properties | None) -> UplinkRefused:
        fault = connack_fault(code, f"{end_name(code)}{in_words(said)}", self._options)
        return UplinkRefused(f"{self._options.broker} refuses us: {self._why(code, said)}", code, fault)

    def _why(self, code: int, said: Properties | None) -> str:
        return f"{end_text(code, self._options.protocol)}{in_words(said)}"

    def _named(self, topic: str, done: asyncio.Future[int]) -> None:
        """What became of a message that went out by the name of its topic."""
        if not done.cancelled() and done.exception() is None and done.result() < 0x80:
            self._wire.taken(topic)

    def _on_publish(self, _client: Any, _data: Any, mid: int, code: ReasonCode, _properties: Any) -> None:
        future = self._acks.pop(mid, None)
        self._room.set()
        if future and not future.done():
            future.set_result(code.value)

    def _on_subscribe(self, _client: Any, _data: Any, mid: int, codes: list[ReasonCode], _properties: Any) -> None:
        future = self._subscribed.pop(mid, None)
        if future and not future.done():
            future.set_result([code.value for code in codes])

    def _end(self, down: UplinkDown) -> None:
        """Close, and fail everything that waits. The first reason is the one that counts."""
        if not self.closed.done():
            down.in_flight = self.in_flight
            self.closed.set_result(down)
        waiting: list[asyncio.Future[Any]] = [self._connected, *self._acks.values(), *self._subscribed.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(down)
                future.exception()  # who still waits gets it; nobody need
        self._acks.clear()
        self._subscribed.clear()
        self._room.set()
        self._attachment.close()


@asynccontextmanager
async def connect(options: MqttOptions, on_message: OnMessage) -> AsyncIterator[MqttSession]:
    """Connect to the broker; raises `UplinkDown`, or `UplinkRefused` where the broker says no.

    `on_message(topic, payload)` is called on the loop for all that arrives; it must not raise. Leaving the context
    without `disconnect` lets the Will speak, so that the retained status never says online for one who has left.
    """
    take_every_code()
    client = new_client(options)
    client.on_message = lambda _client, _data, message: on_message(message.topic, bytes(message.payload))
    session = MqttSession(client, options)
    try:
        await session.open()
        yield session
        await session.disconnect(with_will=True)
    finally:
        session.close()
