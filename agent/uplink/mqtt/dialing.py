"""Making a paho client and everything about connecting that blocks: files, DNS, TCP, TLS. Runs in a thread.

Says what went wrong by name; knows nothing of the event loop.
"""

import select
import socket
import ssl
from typing import Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.uplink.errors import UplinkDown
from agent.uplink.faults import Fault
from agent.uplink.mqtt.credentials import Credentials, credentials
from agent.uplink.mqtt.options import MqttOptions
from agent.uplink.mqtt.tls.context import password_of, tls_context
from agent.uplink.mqtt.tls.handshake import Handshake, speaks_tls
from agent.uplink.mqtt.tls.naming import down_by, named, network_fault, tls_fault
from agent.uplink.mqtt.websocket import keep_frames_whole

SESSION_EXPIRY_S: Final = 120
WILL_DELAY_S: Final = 30
_TLS_ALERT: Final = b"\x15\x03"
_PROTOCOLS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}


class _Client(paho.Client):
    """Closes its socket where no connection comes of it: paho 2 forgets that of a WebSocket which is refused."""

    def _create_socket(self) -> Any:
        self._opened: list[socket.socket] = []
        try:
            return super()._create_socket()
        except BaseException:
            for sock in self._opened:
                sock.close()
            raise

    def _create_socket_connection(self) -> socket.socket:
        sock = super()._create_socket_connection()
        self._opened.append(sock)
        return sock

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        sock = super()._ssl_wrap_socket(tcp_sock)
        self._opened.append(sock)
        return sock


def new_client(options: MqttOptions) -> paho.Client:
    """A client for one connection, which never connects again by itself and holds nothing back."""
    client = _Client(
        CallbackAPIVersion.VERSION2,
        client_id=options.client_id,
        transport=options.transport,
        protocol=_PROTOCOLS[options.protocol],
        clean_session=True if options.protocol == "3.1.1" else None,
        reconnect_on_failure=False,
        manual_ack=not options.takes_messages,
    )
    client.max_inflight_messages = 0  # unlimited: the window is the caller's, paho may not hold anything back
    return client


def properties_of(packet: int, **values: int) -> Properties:
    """Properties of an MQTT 5 packet, by the names that paho gives them."""
    properties = Properties(packet)  # type: ignore[no-untyped-call] # paho has no types here
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


class Dialing:
    """One attempt to connect, up to the CONNECT that is sent. Afterwards it knows what a cut connection means."""

    def __init__(self, client: paho.Client, options: MqttOptions) -> None:
        self._client = client
        self._options = options
        self._handshake = Handshake()
        self.credentials: Credentials | None = None

    def run(self) -> UplinkDown | None:
        """Everything that blocks: files, DNS, TCP, TLS. Says what went wrong, by name."""
        self.credentials = credentials(self._options)  # before they are used: what changes later is new
        try:
            self._prepare()
            self._connect()
        except UplinkDown as down:
            return down
        except OSError as err:
            return self._named(err)
        except ValueError as err:
            return UplinkDown(f"{self._options.broker}: {err}")
        fault = None if self._options.tls else self._first_word()
        return UplinkDown.by(fault) if fault else None

    def cut(self, *, answered: bool) -> UplinkDown:
        """What a connection means that ended without a word of MQTT; `answered`: was there a CONNACK?"""
        if self._handshake.failure:
            return down_by(tls_fault(self._handshake.failure, self._options))
        if not answered:
            return UplinkDown.by(named("closed_early", self._options))
        return UplinkDown(f"{self._options.broker}: the connection was cut")

    def late(self) -> UplinkDown:
        """What it means that `connect_timeout_s` is over."""
        if self._handshake.begun and not self._handshake.done:
            return UplinkDown.by(named("tls_silent", self._options))
        connected = self._handshake.done or self._client.socket() is not None
        return UplinkDown.by(named("no_mqtt" if connected else "silent", self._options))

    def _named(self, err: OSError) -> UplinkDown:
        handshake, options = self._handshake, self._options
        if handshake.failure or (handshake.begun and not handshake.done):
            return down_by(tls_fault(handshake.failure or err, options))
        if isinstance(err, paho.WebsocketConnectionError):
            wrong = not options.tls and speaks_tls(options)
            return UplinkDown.by(named("tls_port" if wrong else "no_websocket", options, str(err)))
        return UplinkDown.by(network_fault(err, options))

    def _prepare(self) -> None:
        client, options = self._client, self._options
        client.connect_timeout = options.connect_timeout_s
        if options.tls:
            context = tls_context(options)
            context.sslsocket_class = self._handshake.socket_class()
            client.tls_set_context(context)
        if options.transport == "websockets":
            client.ws_set_options(options.path)
        if options.username:
            client.username_pw_set(options.username, password_of(options))
        mqtt5 = options.protocol == "5"
        delay = properties_of(PacketTypes.WILLMESSAGE, WillDelayInterval=WILL_DELAY_S) if mqtt5 else None
        client.will_set(options.will.topic, options.will.payload, qos=1, retain=True, properties=delay)

    def _connect(self) -> None:
        client, options = self._client, self._options
        more: dict[str, Any] = {}
        if options.protocol == "5":
            expiry = properties_of(PacketTypes.CONNECT, SessionExpiryInterval=SESSION_EXPIRY_S)
            more = {"clean_start": False, "properties": expiry}
        client.connect(options.host, options.port, options.keepalive_s, **more)
        sock = client.socket()
        if sock is None:
            raise self.cut(answered=False)
        if isinstance(sock, socket.socket):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            keep_frames_whole(sock)

    def _first_word(self) -> Fault | None:
        """Whether a port that is spoken to in the clear wants TLS: then it closes, or sends an alert."""
        sock = self._client.socket()
        if not isinstance(sock, socket.socket):
            return None  # a WebSocket has spoken already
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        if not poll.poll(self._options.connect_timeout_s * 1000):
            return None
        try:
            heard = sock.recv(len(_TLS_ALERT), socket.MSG_PEEK)
        except OSError:
            heard = b""
        if heard == _TLS_ALERT or (not heard and speaks_tls(self._options)):
            return named("tls_port", self._options)
        return None if heard else named("closed_early", self._options)
