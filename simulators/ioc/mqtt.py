"""The IOC's side of the broker: the one place in the simulators that knows paho.

A fresh client for each connection, on the event loop, without threads. A message is acknowledged to the broker
after it was handled, so at most `RECEIVE_MAXIMUM` are on their way at any time.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

CONNECT_TIMEOUT_S = 5.0
CONFIRM_TIMEOUT_S = 2.0
KEEPALIVE_S = 15
MISC_S = 1.0
RECEIVE_MAXIMUM = 100
_PROTOCOLS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}


class BrokerDown(Exception):
    """No broker, refused, or cut; try again after a while."""


@dataclass(frozen=True)
class BrokerAddress:
    """`mqtt://[user@]host[:port]`, or `mqtts://` with the CA of the machine or of a file, and our own certificate."""

    host: str
    port: int
    tls: bool = False
    username: str | None = None
    ca_file: str | None = None
    password: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def __str__(self) -> str:
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


def parse_broker(url: str) -> BrokerAddress:
    """Read a broker URL; raises `ValueError` that says how to write it."""
    parts = urlsplit(url)
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        raise ValueError(f"{url} is no broker: write mqtt://HOST:PORT or mqtts://HOST:PORT")
    if parts.password:
        raise ValueError("a password may not stand in the URL: use --password-file")
    tls = parts.scheme == "mqtts"
    return BrokerAddress(parts.hostname, parts.port or (8883 if tls else 1883), tls, parts.username)


@dataclass(frozen=True)
class Will:
    """What the broker says, retained, when this client vanishes."""

    topic: str
    payload: bytes


OnMessage = Callable[[str, bytes], bool]
"""Handle one message; False where it could not be, and the broker shall keep it."""


class Session:
    """One connection. `closed` is done when it ends, with the reason in words."""

    def __init__(self, client: paho.Client, closed: "asyncio.Future[str]") -> None:
        self._client = client
        self.closed = closed
        self._unconfirmed: set[int] = set()
        self._all_confirmed = asyncio.Event()
        client.on_publish = self._confirmed

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send with QoS 1; raises `BrokerDown`. Nothing is kept for a later connection."""
        if self.closed.done():
            raise BrokerDown(self.closed.result())
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise BrokerDown(paho.error_string(info.rc))
        self._unconfirmed.add(info.mid)
        self._all_confirmed.clear()

    async def flush(self) -> None:
        """Wait until the broker has everything that was published; raises `BrokerDown` where it does not say so."""
        if self._unconfirmed:
            try:
                async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                    await self._all_confirmed.wait()
            except TimeoutError as err:
                raise BrokerDown("the broker did not confirm what was published") from err

    def _confirmed(self, _client: Any, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        self._unconfirmed.discard(mid)
        if not self._unconfirmed:
            self._all_confirmed.set()

    def subscribe(self, topic: str) -> None:
        """Ask for `topic` with QoS 1."""
        self._client.subscribe(topic, qos=1)


@asynccontextmanager
async def connect(
    broker: BrokerAddress, protocol: Literal["5", "3.1.1"], client_id: str, will: Will | None, on_message: OnMessage
) -> AsyncIterator[Session]:
    """Connect, and disconnect at the end; raises `BrokerDown`."""
    loop = asyncio.get_running_loop()
    client = _client(broker, protocol, client_id, will)
    connected: asyncio.Future[None] = loop.create_future()
    closed: asyncio.Future[str] = loop.create_future()

    def on_connect(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if not connected.done():
            if reason.is_failure:
                connected.set_exception(BrokerDown(f"{broker} refused the connection: {reason}"))
            else:
                connected.set_result(None)

    def on_disconnect(_client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if not connected.done():
            connected.set_exception(BrokerDown(f"{broker} cut the connection: {reason}"))
        if not closed.done():
            closed.set_result(f"{broker} cut the connection: {reason}")

    def on_paho_message(_client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        if on_message(message.topic, bytes(message.payload)):
            client.ack(message.mid, message.qos)

    client.on_connect = on_connect
    client.on_disconnect = on_disconnect
    client.on_message = on_paho_message
    tasks: set[asyncio.Task[None]] = set()
    try:
        await _open(client, broker)
        _attach(client, loop)
        tasks.add(loop.create_task(_misc(client), name="mqtt keepalive"))
        await _answer(connected, broker)
        yield Session(client, closed)
    finally:
        for task in tasks:
            task.cancel()
        client.disconnect()
        client.loop_write()  # at once: the event loop will not come back to this socket
        _detach(client, loop)


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho forgets it there."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 # the signature is the library's
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def _client(broker: BrokerAddress, protocol: str, client_id: str, will: Will | None) -> paho.Client:
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        protocol=_PROTOCOLS[protocol],
        manual_ack=True,
        reconnect_on_failure=False,
    )
    client.connect_timeout = CONNECT_TIMEOUT_S
    if will is not None:
        client.will_set(will.topic, will.payload, qos=1, retain=True)
    if broker.username:
        client.username_pw_set(broker.username, broker.password)
    if broker.tls:
        context = ssl.create_default_context(cafile=broker.ca_file)
        context.sslsocket_class = _TlsSocket
        if broker.cert_file:
            context.load_cert_chain(broker.cert_file, broker.key_file)
        client.tls_set_context(context)
    return client


async def _open(client: paho.Client, broker: BrokerAddress) -> None:
    properties = None
    if client.protocol == MQTTProtocolVersion.MQTTv5:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # paho has no types here
        properties.ReceiveMaximum = RECEIVE_MAXIMUM
    try:
        await asyncio.to_thread(client.connect, broker.host, broker.port, KEEPALIVE_S, properties=properties)
    except (OSError, ssl.SSLError) as err:
        raise BrokerDown(f"{broker}: {err}") from err


async def _answer(connected: "asyncio.Future[None]", broker: BrokerAddress) -> None:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            await connected
    except TimeoutError as err:
        raise BrokerDown(f"{broker} did not answer within {CONNECT_TIMEOUT_S:g} s") from err


def _attach(client: paho.Client, loop: asyncio.AbstractEventLoop) -> None:
    """Let the event loop read and write for paho."""

    def stop_reading(_client: Any, _data: Any, sock: Any) -> None:
        loop.remove_reader(sock)
        loop.remove_writer(sock)

    def start_writing(_client: Any, _data: Any, sock: Any) -> None:
        loop.add_writer(sock, client.loop_write)

    def stop_writing(_client: Any, _data: Any, sock: Any) -> None:
        loop.remove_writer(sock)

    client.on_socket_close = stop_reading
    client.on_socket_register_write = start_writing
    client.on_socket_unregister_write = stop_writing
    sock = client.socket()
    if sock is not None:
        loop.add_reader(sock, _read, client)
        if client.want_write():
            loop.add_writer(sock, client.loop_write)


def _read(client: paho.Client) -> None:
    """One packet, and those that TLS has unpacked already: the socket will not wake us for them."""
    client.loop_read()
    while isinstance(sock := client.socket(), ssl.SSLSocket) and sock.pending():
        client.loop_read()


def _detach(client: paho.Client, loop: asyncio.AbstractEventLoop) -> None:
    sock = client.socket()
    if sock is not None:
        loop.remove_reader(sock)
        loop.remove_writer(sock)
        sock.close()


async def _misc(client: paho.Client) -> None:
    """Let paho look at its timers; it cuts the connection itself where the broker is silent."""
    while True:
        client.loop_misc()
        await asyncio.sleep(MISC_S)
