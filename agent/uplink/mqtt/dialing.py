"""Making a paho client and everything about connecting that blocks: files, DNS, TCP, TLS. Runs in a thread.

Says what went wrong by name; knows nothing of the event loop.
"""

import socket
import ssl
from pathlib import Path
from typing import Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.uplink.errors import NotTheTime, UplinkDown
from agent.uplink.mqtt.options import MqttOptions

SESSION_EXPIRY_S: Final = 120
WILL_DELAY_S: Final = 30
_DATES: Final = frozenset({9, 10})
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED (openssl/x509_vfy.h)."""
_PROTOCOLS = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}


def new_client(options: MqttOptions) -> paho.Client:
    """A client for one connection, which never connects again by itself and holds nothing back."""
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=options.client_id,
        protocol=_PROTOCOLS[options.protocol],
        clean_session=True if options.protocol == "3.1.1" else None,
        reconnect_on_failure=False,
    )
    client.max_inflight_messages = 0  # unlimited: the window is the caller's, paho may not hold anything back
    return client


def properties_of(packet: int, **values: int) -> Properties:
    """Properties of an MQTT 5 packet, by the names that paho gives them."""
    properties = Properties(packet)  # type: ignore[no-untyped-call] # paho has no types here
    for name, value in values.items():
        setattr(properties, name, value)
    return properties


class _TlsSocket(ssl.SSLSocket):
    """Closes itself when the handshake fails; paho forgets it there."""

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 # the signature is the library's
        try:
            super().do_handshake(block)
        except BaseException:
            self.close()
            raise


def dial(client: paho.Client, options: MqttOptions) -> UplinkDown | None:
    """Everything that blocks: files, DNS, TCP, TLS. Says what went wrong, by name."""
    try:
        _prepare(client, options)
        if options.protocol == "5":
            expiry = properties_of(PacketTypes.CONNECT, SessionExpiryInterval=SESSION_EXPIRY_S)
            client.connect(options.host, options.port, options.keepalive_s, clean_start=False, properties=expiry)
        else:
            client.connect(options.host, options.port, options.keepalive_s)
        sock = client.socket()
        if isinstance(sock, socket.socket):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except ssl.SSLCertVerificationError as err:
        kind = NotTheTime if err.verify_code in _DATES else UplinkDown
        return kind(f"{options.broker}: its certificate is not accepted: {err.verify_message}")
    except ssl.SSLError as err:
        return UplinkDown(f"{options.broker}: TLS failed: {err.reason or err}")
    except (OSError, ValueError) as err:
        return UplinkDown(f"{options.broker}: {err}")
    return None


def _prepare(client: paho.Client, options: MqttOptions) -> None:
    client.connect_timeout = options.connect_timeout_s
    if options.tls:
        context = ssl.create_default_context(cafile=options.ca_file or None)
        context.sslsocket_class = _TlsSocket
        if options.cert_file:
            context.load_cert_chain(options.cert_file, options.key_file or None)
        client.tls_set_context(context)
    if options.username:
        password = Path(options.password_file).read_text(encoding="utf-8").strip() if options.password_file else None
        client.username_pw_set(options.username, password)
    delay = properties_of(PacketTypes.WILLMESSAGE, WillDelayInterval=WILL_DELAY_S) if options.protocol == "5" else None
    client.will_set(options.will.topic, options.will.payload, qos=1, retain=True, properties=delay)
