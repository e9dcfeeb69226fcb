"""A handshake and nothing else: would the broker take us, and what does it show? Blocks.

Without CONNECT the broker does not know which client it is: nothing is taken over, nothing is published.
"""

import socket
import ssl
from contextlib import suppress
from typing import Final, NamedTuple

from agent.uplink.errors import UplinkDown
from agent.uplink.mqtt.options import MqttOptions
from agent.uplink.mqtt.tls.certificate import Certificate, certificate_of
from agent.uplink.mqtt.tls.context import password_of, tls_context
from agent.uplink.mqtt.tls.handshake import Handshake, unverified
from agent.uplink.mqtt.tls.naming import down_by, named, network_fault, tls_fault

ALERT_S: Final = 2.0
"""With TLS 1.3 a broker that refuses our certificate says so after the handshake: how long to listen for that."""


class Trial(NamedTuple):
    """What came of it: why a connection would fail, or None; and the version of TLS, where there is one."""

    refusal: UplinkDown | None
    version: str = ""


def trial(options: MqttOptions) -> Trial:
    """Try the files of this gateway as they are now, as far as TLS goes."""
    handshake = Handshake()
    try:
        password_of(options)
        return _tried(options, handshake) if options.tls else Trial(None)
    except UplinkDown as down:
        return Trial(down)
    except OSError as err:
        fault = tls_fault(handshake.failure or err, options) if handshake.begun else network_fault(err, options)
        return Trial(down_by(fault))


def shown_certificate(options: MqttOptions) -> Certificate | None:
    """The certificate that the broker shows, whether it is good or not; None where none can be had."""
    try:
        with _shaken_hands(options, unverified()) as sock:
            der = sock.getpeercert(binary_form=True)
            return certificate_of(der) if der else None
    except (OSError, ValueError):
        return None


def _tried(options: MqttOptions, handshake: Handshake) -> Trial:
    context = tls_context(options)
    context.sslsocket_class = handshake.socket_class()
    with _shaken_hands(options, context) as sock:
        version = sock.version() or ""
        sock.settimeout(min(ALERT_S, options.connect_timeout_s))
        with suppress(TimeoutError):  # it waits for our CONNECT
            if not sock.recv(1):
                return Trial(UplinkDown.by(named("tls_closed", options, "it ended")), version)
    return Trial(None, version)


def _shaken_hands(options: MqttOptions, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection((options.host, options.port), options.connect_timeout_s)
    with plain:  # a socket that TLS has taken over is empty
        return context.wrap_socket(plain, server_hostname=options.host)
