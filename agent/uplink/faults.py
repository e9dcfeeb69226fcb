"""What can be wrong between this gateway and the broker, each with a code that never changes. Pure.

The code is for programs and for translations; `what` and `advice` say to a person what is wrong, where, and what to
try. Braces are filled with the values of the one case: `broker` is its address, `file` a path, `detail` the words of
the library that found it.
"""

from collections import defaultdict
from typing import Final, NamedTuple

import msgspec


class FaultText(NamedTuple):
    """A fault in English, the language of the log."""

    what: str
    advice: str


class Fault(msgspec.Struct, frozen=True):
    """One fault, here and now: a code of `FAULTS`, and the values for the braces of its texts."""

    code: str
    values: dict[str, str] = {}

    def including(self, **values: str) -> "Fault":
        """The same with further values."""
        return Fault(self.code, self.values | values)

    @property
    def what(self) -> str:
        return filled(FAULTS[self.code].what, self.values)

    @property
    def advice(self) -> str:
        return filled(FAULTS[self.code].advice, self.values)

    def __str__(self) -> str:
        return f"{self.what}: {self.advice}"


def filled(text: str, values: dict[str, str]) -> str:
    """`text` with its braces filled; what nobody knows is an ellipsis."""
    return text.format_map(defaultdict(lambda: "…", values))


_DATES: Final = "set the clock, or have the broker's certificate renewed; it, or the authority that signed it, is meant"
_THEIRS: Final = "{broker}: its certificate is not accepted"
_OURS: Final = "{broker} does not accept the certificate of this gateway"

FAULTS: Final = {
    # the way there
    "name_unknown": FaultText(
        "{broker}: the name cannot be resolved: {detail}", "check `uplink.host`, the network and its DNS server"
    ),
    "refused": FaultText(
        "{broker}: {detail}", "nothing listens on that port: check `uplink.port`, and that the broker runs"
    ),
    "unreachable": FaultText("{broker}: {detail}", "check the network, the route and the firewall"),
    "silent": FaultText(
        "{broker} does not answer within {seconds} s",
        "check the network, the firewall, `uplink.host` and `uplink.port`",
    ),
    # files of this gateway
    "file_missing": FaultText("{file}: No such file", "check the path, or copy the file there"),
    "file_unreadable": FaultText(
        "{file}: it cannot be read: {detail}", "give it to the user that oc-agent runs as: chown oc-agent {file}"
    ),
    "file_exposed": FaultText(
        "{file}: everybody on this machine may read this secret, so it is not used", "run: {command}"
    ),
    "not_utf8": FaultText("{file}: this is no UTF-8 text", "write the password anew, as UTF-8 and nothing else"),
    "password_empty": FaultText("{file}: there is no password in it", "write the password into it"),
    "ca_not_pem": FaultText(
        "{file}: there is no certificate in it that can be read", "it must be PEM text, with BEGIN CERTIFICATE"
    ),
    "cert_not_pem": FaultText(
        "{file}: there is no certificate in it that can be read", "it must be PEM text, with BEGIN CERTIFICATE"
    ),
    "key_not_pem": FaultText(
        "{file}: there is no key in it that can be read", "it must be PEM text, with BEGIN PRIVATE KEY"
    ),
    "key_encrypted": FaultText(
        "{file}: the key has a passphrase, and nobody is there to type it",
        "write it without: openssl pkey -in {file} -out NEW, then chmod 600 NEW",
    ),
    "key_mismatch": FaultText(
        "{file} is not the key of the certificate {other}", "copy both again, from the same request"
    ),
    # TLS or not
    "plain_port": FaultText(
        "{broker} does not speak TLS ({detail})",
        "is this a plain port? Use the port for TLS (often 8883); `tls = false` on a test bench only",
    ),
    "tls_closed": FaultText(
        "{broker} closed the connection in the middle of the TLS handshake ({detail})",
        "is this a plain port? Use the port for TLS (often 8883), or see the broker's log; `tls = false` on a test "
        "bench only",
    ),
    "tls_silent": FaultText(
        "{broker} takes the connection and does not answer within {seconds} s: it never speaks TLS",
        "is this the port of another service, or of a broker that hangs? Check `uplink.port`, see the broker's log",
    ),
    "tls_port": FaultText("{broker}: this port speaks TLS", "remove `tls = false`, or use the plain port (often 1883)"),
    "tls_version": FaultText(
        "{broker}: no common version of TLS ({detail})", "this gateway needs TLS 1.2 or newer: renew the broker"
    ),
    "tls_failed": FaultText("{broker}: TLS failed: {detail}", "see the broker's log"),
    # the broker's certificate
    "wrong_name": FaultText(
        f"{_THEIRS}: it is for another name ({{detail}})",
        "write the name that stands in the certificate as `uplink.host`, or have it issued for this name",
    ),
    "expired": FaultText(f"{_THEIRS}: certificate has expired; the clock of this gateway says {{clock}}", _DATES),
    "not_yet_valid": FaultText(
        f"{_THEIRS}: certificate is not yet valid; the clock of this gateway says {{clock}}", _DATES
    ),
    "self_signed": FaultText(
        f"{_THEIRS}: it is self-signed ({{detail}})",
        "nobody that this gateway trusts has signed it: copy the authority's certificate here, and write its path as "
        "`uplink.ca_file`",
    ),
    "unknown_ca": FaultText(
        f"{_THEIRS}: it is signed by an authority that is not known here ({{detail}})",
        "the authority is not in {ca}: write the file with the right one as `uplink.ca_file`; the broker must send the "
        "intermediate certificates",
    ),
    "not_accepted": FaultText(f"{_THEIRS}: {{detail}}", "have the broker's certificate renewed"),
    # our certificate
    "own_required": FaultText(
        "{broker} wants a certificate of this gateway ({detail})", "set `uplink.cert_file` and `uplink.key_file`"
    ),
    "own_unknown_ca": FaultText(
        f"{_OURS}: it does not know who signed it ({{detail}})",
        "have {file} signed by an authority that the broker trusts, or give that authority to the broker",
    ),
    "own_expired": FaultText(
        f"{_OURS}: it has expired ({{detail}})", "renew {file}; where its dates are good, check the broker's clock"
    ),
    "own_revoked": FaultText(f"{_OURS}: it is revoked ({{detail}})", "have a new certificate issued: {file}"),
    "own_refused": FaultText(
        f"{_OURS} ({{detail}})", "see the broker's log; check the dates, the name and the purpose of {file}"
    ),
    # MQTT
    "no_mqtt": FaultText(
        "{broker} takes the connection and does not answer within {seconds} s: there is no CONNACK",
        "is this the port of another service? Check `uplink.port`, see the broker's log",
    ),
    "closed_early": FaultText(
        "{broker} closed the connection before it answered",
        "see the broker's log; is this an MQTT port, and does the broker speak MQTT {protocol}?",
    ),
    "no_websocket": FaultText(
        "{broker}: no WebSocket: {detail}", "check `uplink.path`, and that this port speaks WebSockets"
    ),
    "bad_login": FaultText(
        "{broker} refuses us: {detail}", "check `uplink.username` and the password in `uplink.password_file`"
    ),
    "not_authorized": FaultText(
        "{broker} refuses us: {detail}",
        "check `uplink.username` and the password file, the name in the certificate, and the broker's access rules "
        "for {client_id}",
    ),
    "bad_client_id": FaultText(
        "{broker} refuses us: {detail}", "the broker does not take the client id {client_id}: see its access rules"
    ),
    "old_protocol": FaultText("{broker} refuses us: {detail}", 'the broker is old: try `uplink.protocol = "3.1.1"`'),
    "busy": FaultText(
        "{broker} refuses us: {detail}", "the broker has too much to do or is in repair: it is tried again"
    ),
    "not_taken": FaultText("{broker} refuses us: {detail}", "see the broker's log"),
}
