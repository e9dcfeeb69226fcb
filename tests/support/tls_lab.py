"""A small world of TLS on loopback: authorities, certificates of every kind, brokers that use them.

Every fault of the way to a broker can be made here: `Faults`.
"""

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from processes import closed_port

from simulators.testing import Authority, Bench, BenchBroker, BrokerOptions, Pair, self_signed

GATEWAY = "dng-hc-01"
HERE = "IP:127.0.0.1"
PASSWORD = "Hoa-Phuong-1975"
Uplink = dict[str, Any]
"""Keys of `[uplink]`."""


class TlsLab:
    """Certificates, made when they are first asked for."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.folder = folder
        self._bench = bench

    @cached_property
    def city(self) -> Authority:
        return self._bench.authority("City CA")

    @cached_property
    def stranger(self) -> Authority:
        return self._bench.authority("Another CA")

    @cached_property
    def server(self) -> Pair:
        return self.city.issue("broker", names=f"{HERE}, DNS:localhost")

    @cached_property
    def own(self) -> Pair:
        return self.city.issue(GATEWAY)

    def expired(self, name: str, names: str = "") -> Pair:
        now = datetime.now(UTC)
        valid = (now - timedelta(days=9), now - timedelta(days=1))
        return self.city.issue(name, names=names, valid=valid, file=f"{name}-expired")

    def not_yet(self, name: str, names: str = "") -> Pair:
        now = datetime.now(UTC)
        valid = (now + timedelta(days=1), now + timedelta(days=9))
        return self.city.issue(name, names=names, valid=valid, file=f"{name}-not-yet")

    def copy_of(self, file: Path, name: str, mode: int = 0o600) -> Path:
        """A copy that may be spoiled."""
        path = self.folder / name
        shutil.copyfile(file, path)
        path.chmod(mode)
        return path

    def text(self, name: str, content: str | bytes, mode: int = 0o600) -> Path:
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(mode)
        return path

    def broker(
        self,
        pair: Pair | None,
        *,
        mutual: bool = False,
        client_ca: Path | None = None,
        users: Mapping[str, str] | None = None,
        acl: str = "",
    ) -> BenchBroker:
        """A broker that shows `pair`; plain without one. `mutual`: it wants a certificate of the city from us."""
        client_ca = self.city.certificate if mutual else client_ca
        return self._bench.broker(BrokerOptions(certificate=pair, client_ca=client_ca, users=users or {}, acl=acl))

    def trusting(self, port: int, **more: Any) -> Uplink:
        """Settings that trust the city."""
        return {"host": "127.0.0.1", "port": port, "tls": True, "ca_file": str(self.city.certificate), **more}

    def presenting(self, pair: Pair) -> Uplink:
        """Settings that show a certificate."""
        return {"cert_file": str(pair.certificate), "key_file": str(pair.key)}


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextmanager
def full_port() -> Iterator[int]:
    """A port whose queue of connections is full, so that the next one gets no answer at all."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@contextmanager
def answering_port(answer: bytes) -> Iterator[int]:
    """A port that says `answer` to whatever it hears, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    sock, _ = server.accept()
                except OSError:
                    return
                with sock:
                    sock.recv(4096)
                    sock.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)


class Faults:
    """Each method makes the fault of its name, and gives the `[uplink]` that runs into it.

    What stands behind two underscores is another way to the same fault. All is undone when `stack` is.
    """

    def __init__(self, lab: TlsLab, stack: ExitStack) -> None:
        self._lab = lab
        self._stack = stack

    @classmethod
    def names(cls) -> list[str]:
        return [name for name in vars(cls) if not name.startswith("_") and name != "names"]

    def name_unknown(self) -> Uplink:
        return self._lab.trusting(1) | {"host": "broker.invalid"}

    def refused(self) -> Uplink:
        return self._lab.trusting(self._stack.enter_context(closed_port()))

    def unreachable(self) -> Uplink:
        return self._lab.trusting(1) | {"host": "255.255.255.255"}

    def silent(self) -> Uplink:
        return self._lab.trusting(self._stack.enter_context(full_port()), connect_timeout_s=0.5)

    def file_missing(self) -> Uplink:
        return self._to_broker(ca_file=str(self._lab.folder / "no.pem"))

    def file_unreadable(self) -> Uplink:
        return self._to_broker(ca_file=str(self._lab.folder))  # root may read every file, but no folder

    def file_exposed(self) -> Uplink:
        return self._with_key(self._lab.copy_of(self._lab.own.key, "exposed.key", 0o644))

    def file_exposed__password(self) -> Uplink:
        return self._with_password(PASSWORD.encode(), mode=0o604)

    def not_utf8(self) -> Uplink:
        return self._with_password(b"\xff\xfe")

    def password_empty(self) -> Uplink:
        return self._with_password(b"\n")

    def ca_not_pem(self) -> Uplink:
        return self._to_broker(ca_file=str(self._lab.text("ca.txt", "no certificate")))

    def ca_not_pem__cut(self) -> Uplink:
        half = self._lab.city.certificate.read_bytes()[:300]
        return self._to_broker(ca_file=str(self._lab.text("half.pem", half)))

    def cert_not_pem(self) -> Uplink:
        spoiled = self._lab.text("cert.txt", self._lab.own.certificate.read_bytes()[:300])
        return self._to_broker(cert_file=str(spoiled), key_file=str(self._lab.own.key))

    def key_not_pem(self) -> Uplink:
        return self._with_key(self._lab.text("key.txt", "no key"))

    def key_encrypted(self) -> Uplink:
        key = self._lab.folder / "encrypted.key"
        command = ["openssl", "pkcs8", "-topk8", "-passout", f"pass:{PASSWORD}", "-in", self._lab.own.key, "-out", key]
        subprocess.run([str(part) for part in command], check=True, capture_output=True)
        key.chmod(0o600)
        return self._with_key(key)

    def key_mismatch(self) -> Uplink:
        return self._with_key(self._lab.server.key)

    def plain_port(self) -> Uplink:
        port = self._stack.enter_context(answering_port(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
        return self._lab.trusting(port)

    def tls_closed(self) -> Uplink:
        return self._lab.trusting(self._lab.broker(None).port)

    def tls_silent(self) -> Uplink:
        return self._lab.trusting(self._stack.enter_context(silent_port()), connect_timeout_s=0.5)

    def tls_port(self) -> Uplink:
        return self._to_broker(tls=False)

    def tls_version(self) -> Uplink:
        return self._saying_alert(70)

    def tls_failed(self) -> Uplink:
        return self._saying_alert(80)

    def wrong_name(self) -> Uplink:
        return self._showing(self._lab.city.issue("elsewhere", names="IP:192.0.2.1"))

    def wrong_name__dns(self) -> Uplink:
        return self._showing(self._lab.city.issue("ioc", names="DNS:ioc.example.vn")) | {"host": "localhost"}

    def expired(self) -> Uplink:
        return self._showing(self._lab.expired("broker", HERE))

    def not_yet_valid(self) -> Uplink:
        return self._showing(self._lab.not_yet("broker", HERE))

    def self_signed(self) -> Uplink:
        now = datetime.now(UTC)
        return self._showing(self_signed(self._lab.folder / "alone", now, now + timedelta(days=2)))

    def unknown_ca(self) -> Uplink:
        return self._showing(self._lab.stranger.issue("broker", names=HERE))

    def unknown_ca__system(self) -> Uplink:
        return self._to_broker(ca_file="")

    def not_accepted(self) -> Uplink:
        return self._showing(self._lab.city.issue("broker", names=f"{HERE}\nextendedKeyUsage = clientAuth"))

    def own_required(self) -> Uplink:
        return self._presenting(None)

    def own_required__before_tls_1_3(self) -> Uplink:
        return self._saying_alert(40)

    def own_unknown_ca(self) -> Uplink:
        return self._presenting(self._lab.stranger.issue(GATEWAY))

    def own_expired(self) -> Uplink:
        return self._presenting(self._lab.expired(GATEWAY))

    def own_revoked(self) -> Uplink:
        return self._saying_alert(44, self._lab.own)

    def own_refused(self) -> Uplink:
        return self._saying_alert(42, self._lab.own)

    def no_mqtt(self) -> Uplink:
        port = self._stack.enter_context(silent_port())
        return self._lab.trusting(port, connect_timeout_s=0.5) | {"tls": False}

    def closed_early(self) -> Uplink:
        return self._lab.trusting(self._stack.enter_context(answering_port(b""))) | {"tls": False}

    def not_authorized(self) -> Uplink:
        return self._with_password(b"wrong")

    def no_websocket(self) -> Uplink:
        port = self._stack.enter_context(answering_port(b"HTTP/1.1 404 Not Found\r\n\r\n"))
        return self._lab.trusting(port) | {"tls": False, "transport": "websockets"}

    def no_websocket__mqtt(self) -> Uplink:
        return self._to_broker(transport="websockets")

    def tls_port__websocket(self) -> Uplink:
        return self._to_broker(tls=False, transport="websockets")

    def own_expired__websocket(self) -> Uplink:
        return self._presenting(self._lab.expired(GATEWAY)) | {"transport": "websockets"}

    def silent__websocket(self) -> Uplink:
        port = self._stack.enter_context(silent_port())
        return self._lab.trusting(port, connect_timeout_s=0.5) | {"tls": False, "transport": "websockets"}

    def bad_login(self) -> Uplink:
        return self._refusing(0x86)

    def bad_client_id(self) -> Uplink:
        return self._refusing(0x85)

    def old_protocol(self) -> Uplink:
        return self._refusing(0x84)

    def busy(self) -> Uplink:
        return self._refusing(0x89)

    def not_taken(self) -> Uplink:
        return self._refusing(0x8A)

    def _to_broker(self, **uplink: Any) -> Uplink:
        return self._showing(self._lab.server) | uplink

    def _showing(self, pair: Pair) -> Uplink:
        return self._lab.trusting(self._lab.broker(pair).port)

    def _presenting(self, own: Pair | None) -> Uplink:
        broker = self._lab.broker(self._lab.server, mutual=True)
        return self._lab.trusting(broker.port) | (self._lab.presenting(own) if own else {})

    def _with_key(self, key: Path) -> Uplink:
        return self._to_broker(cert_file=str(self._lab.own.certificate), key_file=str(key))

    def _with_password(self, password: bytes, mode: int = 0o600) -> Uplink:
        """For a broker that knows the gateway by `PASSWORD`."""
        broker = self._lab.broker(self._lab.server, users={GATEWAY: PASSWORD})
        file = self._lab.text("password", password, mode)
        return self._lab.trusting(broker.port, username=GATEWAY, password_file=str(file))

    def _refusing(self, code: int) -> Uplink:
        """A broker whose CONNACK (MQTT 5) has a reason code that Mosquitto never gives."""
        port = self._stack.enter_context(answering_port(bytes([0x20, 3, 0, code, 0])))
        return self._lab.trusting(port) | {"tls": False}

    def _saying_alert(self, number: int, own: Pair | None = None) -> Uplink:
        """Something that answers the handshake with a fatal alert of TLS (RFC 5246, 7.2), and closes."""
        port = self._stack.enter_context(answering_port(bytes.fromhex("15 03 03 00 02 02") + bytes([number])))
        return self._lab.trusting(port) | (self._lab.presenting(own) if own else {})
