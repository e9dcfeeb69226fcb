"""The handshake: what became of it, and whether a port speaks TLS at all. Blocks."""

import socket
import ssl
from contextlib import suppress
from typing import Any, Final

from agent.uplink.mqtt.options import MqttOptions

ASK_S: Final = 3.0
_TLS_RECORDS: Final = (b"\x15", b"\x16")
"""Alert and handshake: how every answer to a ClientHello begins (RFC 8446, 5.1)."""


class Handshake:
    """What became of one TLS handshake. `failure` is what the broker said against us, also after the handshake.

    With TLS 1.3 a broker refuses our certificate only when the handshake is over for us: its alert comes with the
    first read. A write may fail before that, and would hide it.
    """

    def __init__(self) -> None:
        self.begun = False
        self.done = False
        self.failure: ssl.SSLError | None = None

    def socket_class(self) -> type[ssl.SSLSocket]:
        """The class of the one socket that tells this object what happens to it."""
        handshake = self

        class TlsSocket(ssl.SSLSocket):
            def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002 # the library's signature
                handshake.begun = True
                try:
                    super().do_handshake(block)
                except BaseException:
                    self.close()  # paho forgets it
                    raise
                handshake.done = True

            def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
                try:
                    return super().recv(buflen, flags)
                except ssl.SSLError as err:
                    handshake.note(err)
                    raise

            def send(self, data: Any, flags: int = 0) -> int:
                try:
                    return super().send(data, flags)
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    raise
                except OSError:
                    handshake.listen(self)
                    raise

        return TlsSocket

    def note(self, err: ssl.SSLError) -> None:
        """Keep the first thing that was said against us."""
        if self.failure is None and "ALERT_" in (err.reason or ""):
            self.failure = err

    def listen(self, sock: ssl.SSLSocket) -> None:
        """Writing has failed: is there an alert that says why?"""
        try:
            ssl.SSLSocket.recv(sock, 1)
        except ssl.SSLError as err:
            self.note(err)
        except OSError:
            pass


def unverified() -> ssl.SSLContext:
    """A context that trusts whatever it sees: only to look at it, never to send anything."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def speaks_tls(options: MqttOptions) -> bool:
    """Whether the broker's port answers a TLS handshake; trusts nobody and sends nothing else."""
    timeout_s = min(ASK_S, options.connect_timeout_s / 3)
    hello = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        unverified().wrap_bio(ssl.MemoryBIO(), hello, server_hostname=options.host).do_handshake()
    try:
        with socket.create_connection((options.host, options.port), timeout_s) as plain:
            plain.sendall(hello.read())
            return plain.recv(1) in _TLS_RECORDS
    except OSError:
        return False
