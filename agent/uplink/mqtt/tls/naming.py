"""What a failure of the network, of TLS or of CONNECT means, by name. Pure.

Names of OpenSSL's reasons differ between its versions in their beginning only (`SSLV3_ALERT_…`, `SSL/TLS_ALERT_…`), so
alerts are told by what follows `ALERT_`. An alert says what the broker has against us, an error without what we have
against the broker.
"""

import socket
import ssl
from typing import Final

from agent.uplink.errors import NotTheTime, UplinkDown
from agent.uplink.faults import Fault
from agent.uplink.mqtt.options import MqttOptions

_DATES: Final = frozenset({"expired", "not_yet_valid"})
_VERIFY: Final = {
    2: "unknown_ca",
    9: "not_yet_valid",
    10: "expired",
    18: "self_signed",
    19: "unknown_ca",
    20: "unknown_ca",
    21: "unknown_ca",
    62: "wrong_name",
    64: "wrong_name",
}
"""X509_V_ERR_… (openssl/x509_vfy.h)."""
_ALERTS: Final = {
    "CERTIFICATE_REQUIRED": "own_required",
    "UNKNOWN_CA": "own_unknown_ca",
    "CERTIFICATE_EXPIRED": "own_expired",
    "CERTIFICATE_REVOKED": "own_revoked",
    "BAD_CERTIFICATE": "own_refused",
    "UNSUPPORTED_CERTIFICATE": "own_refused",
    "CERTIFICATE_UNKNOWN": "own_refused",
    "ACCESS_DENIED": "own_refused",
    "DECRYPT_ERROR": "own_refused",
    "PROTOCOL_VERSION": "tls_version",
}
_REASONS: Final = {
    "WRONG_VERSION_NUMBER": "plain_port",
    "RECORD_LAYER_FAILURE": "plain_port",
    "PACKET_LENGTH_TOO_LONG": "plain_port",
    "HTTP_REQUEST": "plain_port",
    "UNSUPPORTED_PROTOCOL": "tls_version",
}
_CONNACK: Final = {
    0x84: "old_protocol",
    0x85: "bad_client_id",
    0x86: "bad_login",
    0x87: "not_authorized",
    0x88: "busy",
    0x89: "busy",
    0x97: "busy",
    0x9F: "busy",
}
"""Reason codes of MQTT 5, 3.2.2.2; paho gives those of 3.1.1 in the same way."""


def named(code: str, options: MqttOptions, detail: str = "") -> Fault:
    """The fault `code` with everything that its texts may want to say."""
    values = {
        "broker": options.broker,
        "client_id": options.client_id,
        "protocol": options.protocol,
        "file": options.cert_file,
        "ca": options.ca_file or "the system's store",
        "seconds": f"{options.connect_timeout_s:g}",
    }
    return Fault(code, values | {"detail": detail} if detail else values)


def down_by(fault: Fault) -> UplinkDown:
    """The exception for a fault: dates are told apart, for they may be the clock's."""
    return NotTheTime.by(fault) if fault.code in _DATES else UplinkDown.by(fault)


def network_fault(err: OSError, options: MqttOptions) -> Fault:
    """Why a connection could not be made, before TLS has anything to do with it."""
    detail = str(err)
    if isinstance(err, socket.gaierror):
        return named("name_unknown", options, err.strerror or detail)
    if isinstance(err, TimeoutError):
        return named("silent", options, detail)
    return named("refused" if isinstance(err, ConnectionRefusedError) else "unreachable", options, detail)


def tls_fault(err: OSError, options: MqttOptions) -> Fault:
    """Why a TLS handshake failed, or what the broker said of it afterwards."""
    if isinstance(err, ssl.SSLCertVerificationError):
        return named(_VERIFY.get(err.verify_code, "not_accepted"), options, err.verify_message)
    if isinstance(err, TimeoutError):
        return named("tls_silent", options)
    if isinstance(err, ssl.SSLEOFError) or not isinstance(err, ssl.SSLError):
        return named("tls_closed", options, "it ended" if isinstance(err, ssl.SSLError) else str(err))
    reason = err.reason or ""
    _, is_alert, alert = reason.partition("ALERT_")
    code = (_ALERTS if is_alert else _REASONS).get(alert if is_alert else reason, "tls_failed")
    if not options.cert_file and (code.startswith("own_") or alert == "HANDSHAKE_FAILURE"):
        code = "own_required"  # TLS 1.2 has no alert of its own for that: it says handshake_failure
    return named(code, options, reason.lower().replace("_", " ") or str(err))


def connack_fault(code: int, words: str, options: MqttOptions) -> Fault:
    """Why the broker refuses CONNECT."""
    return named(_CONNACK.get(code, "not_taken"), options, words)
