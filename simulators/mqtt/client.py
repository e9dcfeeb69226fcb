"""One MQTT connection on the event loop, without threads: the one place in the simulators that knows paho.

A fresh paho client for each connection. A message is acknowledged to the broker after it was handled. Nothing is kept
for a later connection: who publishes keeps what must arrive.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import msgspec
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from simulators.mqtt.address import BrokerAddress, Protocol

CONNECT_TIMEOUT_S = 5.0
MISC_S = 1.0
MAX_PACKET_BYTES = 268_435_460
MAX_RECEIVE = 65_535
"""What MQTT 5 allows where a broker names no limit of its own."""
_PROTOCOLS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}


class BrokerDown(Exception):
    """No broker, refused, or cut; try again after a while. `code`: the reason code of the broker, where it gave one."""

    def __init__(self, text: str, code: int | None = None) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class Will:
    """What the broker says, retained, when this client vanishes, and is not back within `delay_s` (MQTT 5)."""

    topic: str
    payload: bytes
    delay_s: int = 0


@dataclass(frozen=True)
class Hello:
    """How a client introduces itself. With MQTT 5 its session stays `session_s` after the connection; 0: none."""

    client_id: str
    protocol: Protocol
    will: Will | None
    keepalive_s: int
    receive_maximum: int | None = None
    session_s: int = 0


@dataclass(frozen=True)
class Limits:
    """What the broker allows on this connection."""

    receive_maximum: int = MAX_RECEIVE
    max_packet_bytes: int = MAX_PACKET_BYTES
    topic_aliases: int = 0


class Message(NamedTuple):
    """One message as the broker passes it on."""

    topic: str
    payload: bytes
    qos: int
    retained: bool

    def json(self) -> Any:
        """Its payload; raises `msgspec.DecodeError` where that is no JSON."""
        return msgspec.json.decode(self.payload)


OnMessage = Callable[[Message], bool]
"""Handle one message. False where it could not be: the broker shall keep it."""
OnPuback = Callable[[int, int], None]
"""A message that was published is acknowledged: its number, and the reason code."""


class Client:
    """One connection. `closed` is done when it ends, with the reason."""

    def __init__(self, client: paho.Client, closed: "asyncio.Future[BrokerDown]", limits: Limits) -> None:
        self.closed = closed
        self.limits = limits
        self.on_puback: OnPuback = lambda _mid, _code: None
        self.on_granted: Callable[[], None] = lambda: None
        self._client = client
        self._version_5 = client.protocol == MQTTProtocolVersion.MQTTv5
        client.on_publish = self._published
        client.on_subscribe = lambda *_: self.on_granted()

    def publish(
        self, topic: str, payload: bytes, *, qos: int = 1, retain: bool = False, alias: int = 0, expiry_s: int = 0
    ) -> int:
        """Send, and give the number that its PUBACK will name; raises `BrokerDown`.

        With `alias` the topic may be empty, once it was sent with its name. Both it and `expiry_s` are of MQTT 5.
        """
        if self.closed.done():
            raise self.closed.result()
        properties = _properties(alias, expiry_s) if self._version_5 and (alias or expiry_s) else None
        info = self._client.publish(topic, payload, qos=qos, retain=retain, properties=properties)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise BrokerDown(paho.error_string(info.rc))
        return info.mid

    def subscribe(self, *topics: str) -> None:
        """Ask for `topics` with QoS 1; `on_granted` tells the broker's answer."""
        self._client.subscribe([(topic, 1) for topic in topics])

    def overhear(self, *topics: str) -> None:
        """Ask for `topics` as they were published: with the QoS, and with MQTT 5 the retain flag, of the publisher."""
        if self._version_5:
            as_published: Any = SubscribeOptions(qos=2, retainAsPublished=True)
            self._client.subscribe([(topic, as_published) for topic in topics])
        else:
            self._client.subscribe([(topic, 2) for topic in topics])

    def drop(self) -> None:
        """End the connection without a word, as when the network is gone: the broker will publish the Will."""
        sock: Any = self._client.socket()
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        if not self.closed.done():
            self.closed.set_result(BrokerDown("the connection was dropped on purpose"))

    def _published(self, _client: Any, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        self.on_puback(mid, reason.value)


@asynccontextmanager
async def connect(
    broker: BrokerAddress, hello: Hello, on_message: OnMessage, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Client]:
    """Connect, and disconnect at the end; raises `BrokerDown`. Without `tls` the files of `broker` are read anew."""
    loop = asyncio.get_running_loop()
    client = _client(broker, hello, tls)
    connected: asyncio.Future[Limits] = loop.create_future()
    closed: asyncio.Future[BrokerDown] = loop.create_future()

    def on_connect(_client: Any, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
        if not connected.done():
            if reason.is_failure:
                connected.set_exception(BrokerDown(f"{broker} refused the connection: {reason}", reason.value))
            else:
                connected.set_result(_limits(properties))

    def on_disconnect(_client: Any, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        code = reason.value if flags.is_disconnect_packet_from_server else None
        ended = BrokerDown(f"{broker} cut the connection: {reason}", code)
        if not connected.done():
            connected.set_exception(ended)
        if not closed.done():
            closed.set_result(ended)

    def on_paho_message(_client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        if on_message(Message(message.topic, bytes(message.payload), message.qos, message.retain)):
            client.ack(message.mid, message.qos)

    client.on_connect = on_connect
    client.on_disconnect = on_disconnect
    client.on_message = on_paho_message
    tasks: set[asyncio.Task[None]] = set()
    try:
        await _open(client, broker, hello)
        _attach(client, loop)
        tasks.add(loop.create_task(_misc(client), name="mqtt keepalive"))
        yield Client(client, closed, await _answer(connected, broker))
    finally:
        for task in tasks:
            task.cancel()
        client.disconnect()
        client.loop_write()  # at once: the event loop will not come back to this socket
        if (sock := client.socket()) is not None:
            _release(loop, sock)
            sock.close()


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho forgets it there."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 # the signature is the library's
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def tls_context(broker: BrokerAddress) -> ssl.SSLContext:
    """The authorities and the certificate of `broker`; raises `OSError`. Many connections may share it."""
    files = ", ".join(filter(None, (broker.ca_file, broker.cert_file, broker.key_file)))
    try:
        context = ssl.create_default_context(cafile=broker.ca_file)
        if broker.cert_file:
            context.load_cert_chain(broker.cert_file, broker.key_file)
    except OSError as err:
        raise OSError(f"cannot use {files}: {err.strerror or err}") from err
    context.sslsocket_class = _TlsSocket
    return context


def _client(broker: BrokerAddress, hello: Hello, tls: ssl.SSLContext | None) -> paho.Client:
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=hello.client_id,
        protocol=_PROTOCOLS[hello.protocol],
        manual_ack=True,
        reconnect_on_failure=False,
    )
    client.connect_timeout = CONNECT_TIMEOUT_S
    if (will := hello.will) is not None:
        delay = _will_properties(will) if hello.protocol == "5" else None
        client.will_set(will.topic, will.payload, qos=1, retain=True, properties=delay)
    if broker.username:
        client.username_pw_set(broker.username, broker.password)
    if broker.tls:
        client.tls_set_context(tls or tls_context(broker))
    return client


async def _open(client: paho.Client, broker: BrokerAddress, hello: Hello) -> None:
    more: dict[str, Any] = {}
    if hello.protocol == "5":
        more["properties"] = _connect_properties(hello)
        if hello.session_s:
            more["clean_start"] = False
    connecting = asyncio.to_thread(client.connect, broker.host, broker.port, hello.keepalive_s, **more)
    dial = asyncio.ensure_future(connecting)
    try:
        await asyncio.shield(dial)
    except asyncio.CancelledError:
        await asyncio.gather(dial, return_exceptions=True)  # a socket that opens after us would stay open
        raise
    except (OSError, ssl.SSLError) as err:
        raise BrokerDown(f"{broker}: {err}") from err


async def _answer(connected: "asyncio.Future[Limits]", broker: BrokerAddress) -> Limits:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            return await connected
    except TimeoutError as err:
        raise BrokerDown(f"{broker} did not answer within {CONNECT_TIMEOUT_S:g} s") from err


def _connect_properties(hello: Hello) -> Properties:
    named = {"ReceiveMaximum": hello.receive_maximum, "SessionExpiryInterval": hello.session_s}
    return _filled(PacketTypes.CONNECT, named)


def _will_properties(will: Will) -> Properties | None:
    return _filled(PacketTypes.WILLMESSAGE, {"WillDelayInterval": will.delay_s}) if will.delay_s else None


@cache
def _properties(alias: int, expiry_s: int) -> Properties:
    return _filled(PacketTypes.PUBLISH, {"TopicAlias": alias, "MessageExpiryInterval": expiry_s})


def _filled(packet: int, named: dict[str, int | None]) -> Properties:
    """Those that are not 0."""
    properties = Properties(packet)  # type: ignore[no-untyped-call] # paho has no types here
    for name, value in named.items():
        if value:
            setattr(properties, name, value)
    return properties


def _limits(properties: Properties | None) -> Limits:
    def said(name: str, default: int) -> int:
        return int(getattr(properties, name, default))

    return Limits(
        receive_maximum=said("ReceiveMaximum", MAX_RECEIVE),
        max_packet_bytes=said("MaximumPacketSize", MAX_PACKET_BYTES),
        topic_aliases=said("TopicAliasMaximum", 0),
    )


def _attach(client: paho.Client, loop: asyncio.AbstractEventLoop) -> None:
    """Let the event loop read and write for paho. It watches for room to write only where there was none."""

    def write() -> None:
        sock = client.socket()
        if sock is not None:
            client.loop_write()
            if client.want_write() and client.socket() is sock:
                loop.add_writer(sock, client.loop_write)

    def start_writing(_client: Any, _data: Any, _sock: Any) -> None:
        loop.call_soon(write)

    def stop_writing(_client: Any, _data: Any, sock: Any) -> None:
        loop.remove_writer(sock)

    client.on_socket_close = lambda _client, _data, sock: _release(loop, sock)
    client.on_socket_register_write = start_writing
    client.on_socket_unregister_write = stop_writing
    sock = client.socket()
    if sock is not None:
        loop.add_reader(sock, _read, client)
        write()


def _read(client: paho.Client) -> None:
    """One packet, and those that TLS has unpacked already: the socket will not wake us for them."""
    client.loop_read()
    while isinstance(sock := client.socket(), ssl.SSLSocket) and sock.pending():
        client.loop_read()


def _release(loop: asyncio.AbstractEventLoop, sock: Any) -> None:
    loop.remove_reader(sock)
    loop.remove_writer(sock)


async def _misc(client: paho.Client) -> None:
    """Let paho look at its timers; it cuts the connection itself where the broker is silent."""
    while True:
        client.loop_misc()
        await asyncio.sleep(MISC_S)
