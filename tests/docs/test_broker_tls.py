"""docs/broker/: who is let in by a real mosquitto, and what renewing, revoking and a new CA do to those who are in."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from broker_kit import KIT, Certificates, KitBroker, site_certificates
from processes import wait_until

from agent.uplink.errors import UplinkDown
from agent.uplink.mqtt import MqttOptions, connect
from agent.uplink.mqtt import Will as AgentWill
from simulators.ioc.mqtt import connect as ioc_connect
from simulators.mqtt.address import BrokerAddress
from simulators.mqtt.client import BrokerDown, Will
from simulators.testing import Bench

pytestmark = pytest.mark.skipif(not KIT.is_dir(), reason="no checkout")

CONNECT = b"\x10\x13\x00\x04MQTT\x04\x02\x00\x3c\x00\x07prove-a"
CONNACK, PINGREQ, PINGRESP = b"\x20\x02\x00\x00", b"\xc0\x00", b"\xd0\x00"


def context(ca: Path, own: Path | None) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=ca)
    if own:
        made.load_cert_chain(own / "cert.pem", own / "key.pem")
    return made


@contextmanager
def shaken(broker: KitBroker, tls: ssl.SSLContext, session: ssl.SSLSession | None = None) -> Iterator[ssl.SSLSocket]:
    """A connection that is through with TLS, as far as this side can tell."""
    with (
        socket.create_connection(broker.address, timeout=10) as plain,
        tls.wrap_socket(plain, False, False, server_hostname="localhost", session=session) as sock,
    ):
        sock.do_handshake()
        yield sock


@contextmanager
def let_in(broker: KitBroker, tls: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    """A connection that has its CONNACK."""
    with shaken(broker, tls) as sock:
        sock.sendall(CONNECT)
        assert sock.recv(4) == CONNACK
        yield sock


def refusal(broker: KitBroker, tls: ssl.SSLContext, session: ssl.SSLSession | None = None) -> str:
    """The alert with which the broker refuses. Nothing is sent before: a broken pipe would swallow it."""
    with pytest.raises(ssl.SSLError) as refused, shaken(broker, tls, session) as sock:
        sock.recv(1)
    return str(refused.value)


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Another CA, that has issued a gateway of the same name."""
    made = Certificates(tmp_path_factory.mktemp("strangers") / "pki")
    made.make("ca")
    made.make("gateway", "prove-a")
    return made


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A site of three years ago: gateway `late` was never renewed, `gone` was revoked, the others are renewed."""
    made = Certificates(tmp_path_factory.mktemp("old") / "pki")
    with made.days_ago(3 * 365):
        made.make("ca")
        made.make("broker", "localhost")
        made.make("gateway", "late")
        made.make("gateway", "prove-a")
    made.make("gateway", "gone")
    made.make("revoke", "gateway", "gone")
    made.make("renew", "broker", "localhost")
    made.make("renew", "gateway", "prove-a")
    return made


@pytest.fixture(scope="module")
def old_broker(
    tmp_path_factory: pytest.TempPathFactory, session_bench: Bench, old: Certificates
) -> Iterator[KitBroker]:
    one = KitBroker(session_bench, tmp_path_factory.mktemp("old") / "etc", old)
    one.start()
    yield one
    one.kill()


def test_who_has_no_certificate_is_refused(broker: KitBroker, certificates: Certificates) -> None:
    assert "CERTIFICATE_REQUIRED" in refusal(broker, context(certificates.pki / "ca.pem", None))


def test_a_certificate_of_another_ca_is_refused_whatever_name_stands_in_it(
    broker: KitBroker, certificates: Certificates, strangers: Certificates
) -> None:
    own = strangers.pki / "gateways" / "prove-a"
    assert "UNKNOWN_CA" in refusal(broker, context(certificates.pki / "ca.pem", own))


def test_an_expired_certificate_is_refused_and_a_renewed_one_is_not(old_broker: KitBroker, old: Certificates) -> None:
    ca = old.pki / "ca.pem"
    assert "CERTIFICATE_EXPIRED" in refusal(old_broker, context(ca, old.pki / "gateways" / "late"))
    with let_in(old_broker, context(ca, old.pki / "gateways" / "prove-a")):
        pass


def test_a_revoked_certificate_is_refused(old_broker: KitBroker, old: Certificates) -> None:
    assert "CERTIFICATE_REVOKED" in refusal(old_broker, context(old.pki / "ca.pem", old.revoked("gone")))


def test_the_brokers_own_certificate_is_not_good_for_connecting(broker: KitBroker, certificates: Certificates) -> None:
    assert "UNSUPPORTED_CERTIFICATE" in refusal(broker, context(certificates.pki / "ca.pem", certificates.broker))


def test_without_tls_nobody_gets_an_answer(broker: KitBroker) -> None:
    with socket.create_connection(broker.address, timeout=5) as plain:
        plain.sendall(CONNECT)
        with suppress(ConnectionResetError):
            assert plain.recv(4)[:1] in (b"", b"\x15")  # nothing, or a TLS alert


@contextmanager
def playing_the_broker(own: Path) -> Iterator[int]:
    """A TLS server with this certificate, that greets whoever trusts it; gives its port."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(own / "cert.pem", own / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    plain, _ = server.accept()
                except OSError:
                    return
                try:
                    with tls.wrap_socket(plain, True, False) as sock:
                        sock.do_handshake()
                        sock.recv(1000)
                        sock.sendall(b"\x20\x03\x00\x00\x00")
                        sock.recv(1000)
                except OSError:
                    continue

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
    thread.join(10)


async def test_a_gateways_key_cannot_play_the_broker(tmp_path: Path) -> None:
    """Not even where the gateway is called as the broker's host is, and the client looks at the name in the subject."""
    site = Certificates(tmp_path / "pki")
    for arguments in (("ca",), ("broker", "localhost"), ("gateway", "localhost")):
        site.make(*arguments)
    ca = str(site.pki / "ca.pem")

    async def agent(port: int) -> None:
        will = AgentWill("ocg/v1/a/up/status", b"{}")
        options = MqttOptions(host="localhost", port=port, client_id="a", will=will, ca_file=ca, connect_timeout_s=5.0)
        async with connect(options, lambda _topic, _payload: None):
            pass

    async def ioc(port: int) -> None:
        address = BrokerAddress("localhost", port, tls=True, ca_file=ca)
        async with ioc_connect(address, "5", "ioc", Will("x", b""), lambda _topic, _payload: True):
            pass

    with playing_the_broker(site.pki / "gateways" / "localhost") as port:
        with pytest.raises(UplinkDown, match="unsuitable certificate purpose"):
            await agent(port)
        with pytest.raises(BrokerDown, match="unsuitable certificate purpose"):
            await ioc(port)
    with playing_the_broker(site.broker) as port:
        await agent(port)
        await ioc(port)


def test_a_reload_refuses_the_revoked_and_a_restart_puts_them_out(tmp_path: Path, bench: Bench) -> None:
    site = site_certificates(tmp_path / "pki")
    own = context(site.pki / "ca.pem", site.pki / "gateways" / "prove-a")
    broker = KitBroker(bench, tmp_path / "etc", site)
    broker.start()
    try:
        with let_in(broker, own) as sock:
            session = sock.session
            site.make("revoke", "gateway", "prove-a")
            broker.install(site.pki / "crl.pem")
            broker.reload()
            wait_until(lambda: _refused(broker, own), 20, "the reload takes the list")
            assert "CERTIFICATE_REVOKED" in refusal(broker, own, session)  # nor by resuming the TLS session
            sock.sendall(PINGREQ)
            assert sock.recv(2) == PINGRESP  # who is in stays in: hence the restart
            broker.stop()
            assert sock.recv(2) == b""
        broker.start()
        assert "CERTIFICATE_REVOKED" in refusal(broker, own, session)
        site.make("gateway", "prove-a")
        with let_in(broker, context(site.pki / "ca.pem", site.pki / "gateways" / "prove-a")):
            pass  # the same name with a new key
    finally:
        broker.kill()


def test_a_reload_takes_the_brokers_renewed_certificate(tmp_path: Path, bench: Bench) -> None:
    site = site_certificates(tmp_path / "pki")
    own = context(site.pki / "ca.pem", site.pki / "gateways" / "prove-a")
    broker = KitBroker(bench, tmp_path / "etc", site)
    broker.start()
    try:
        with let_in(broker, own) as sock:
            before = _shown(broker, own)
            site.make("renew", "broker", "localhost")
            broker.install(site.broker / "cert.pem")
            broker.reload()
            wait_until(lambda: _shown(broker, own) != before, 20, "the renewed certificate")
            sock.sendall(PINGREQ)
            assert sock.recv(2) == PINGRESP
    finally:
        broker.kill()


def test_a_new_ca_comes_in_beside_the_old_one(tmp_path: Path, bench: Bench) -> None:
    """As the README says: trust both, then change certificates one by one, then trust the new one only."""
    before, after = site_certificates(tmp_path / "pki"), site_certificates(tmp_path / "pki-2")
    cas, crls = [[site.pki / name for site in (before, after)] for name in ("ca.pem", "crl.pem")]
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join(ca.read_bytes() for ca in cas))
    gateways = [site.pki / "gateways" / "prove-a" for site in (before, after)]
    broker = KitBroker(bench, tmp_path / "etc", before)
    broker.install(*cas, name="ca.pem")
    broker.install(*crls, name="crl.pem")
    broker.start()
    try:
        for trusted, own in ((cas[0], gateways[0]), (both, gateways[0]), (both, gateways[1])):
            with let_in(broker, context(trusted, own)):
                pass
        broker.stop()
        broker.install(after.broker / "cert.pem")
        broker.install(after.broker / "key.pem")
        broker.start()
        for own in gateways:
            with let_in(broker, context(both, own)):
                pass
        broker.stop()
        broker.install(cas[1], name="ca.pem")
        broker.install(crls[1], name="crl.pem")
        broker.start()
        with let_in(broker, context(cas[1], gateways[1])):
            pass
        assert "UNKNOWN_CA" in refusal(broker, context(both, gateways[0]))
        broker.stop()
        broker.install(*cas, name="ca.pem")
        broker.start()
        assert "UNKNOWN_CA" in refusal(broker, context(both, gateways[0]))  # a CA counts only with its list
    finally:
        broker.kill()


def _refused(broker: KitBroker, tls: ssl.SSLContext) -> bool:
    try:
        with shaken(broker, tls) as sock:
            sock.settimeout(0.3)
            sock.recv(1)
    except TimeoutError:
        return False
    except ssl.SSLError:
        return True
    return False


def _shown(broker: KitBroker, tls: ssl.SSLContext) -> bytes | None:
    """The certificate that the broker shows."""
    with shaken(broker, tls) as sock:
        return sock.getpeercert(binary_form=True)
