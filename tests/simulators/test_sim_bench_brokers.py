"""What a tester can do to a broker of the bench, and to the clients, the IOC and the sites beside it."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from processes import wait_until

import simulators
from simulators.endpoints import free_port
from simulators.mqtt.address import BrokerAddress
from simulators.mqtt.client import Hello, connect
from simulators.processes import STOP_TIMEOUT_S
from simulators.proxy.faults import Fault
from simulators.testing import (
    Authority,
    Bench,
    BenchBroker,
    BenchIoc,
    BrokerDown,
    BrokerOptions,
    ChildFailed,
    SiteProcess,
    Will,
)

pytest_plugins = ["pytester"]
NOT_AUTHORIZED, NO_SUBSCRIBER = 0x87, 0x10


async def come_in(broker: BenchBroker, **address: str) -> None:
    """Connect as a client of the simulators, and leave; raises `BrokerDown`."""
    tls = broker.options.certificate is not None
    hello = Hello("gw-1", "5", None, 60)
    async with connect(BrokerAddress(broker.host, broker.port, tls=tls, **address), hello, lambda _message: True):
        pass


async def test_who_has_no_password_is_refused_and_a_new_one_counts_at_once(bench: Bench) -> None:
    broker = bench.broker(BrokerOptions(users={"gw-1": "Hoa"}))
    await come_in(broker, username="gw-1", password="Hoa")
    for wrong in ({}, {"username": "gw-1", "password": "Phuong"}):
        with pytest.raises(BrokerDown, match="Not authorized"):
            await come_in(broker, **wrong)
    broker.change(replace(broker.options, users={"gw-1": "Phuong"}))
    wait_until(lambda: "Reloading config" in broker.log.read_text(), 10, "it reads again")
    await come_in(broker, username="gw-1", password="Phuong")
    with pytest.raises(BrokerDown, match="Not authorized"):
        await come_in(broker, username="gw-1", password="Hoa")


def test_access_rules_hold_until_they_are_changed(bench: Bench) -> None:
    broker = bench.broker(BrokerOptions(acl="topic readwrite open/#\n"))
    client = broker.client()
    assert client.publish("closed", b"x") == NOT_AUTHORIZED
    assert client.publish("open/x", b"x") == NO_SUBSCRIBER
    broker.change(BrokerOptions(acl="topic readwrite #\n"))
    client.wait_until(lambda it: it.publish("closed", b"x") == NO_SUBSCRIBER, what="the new rules")


async def test_with_a_certificate_it_speaks_tls_and_has_a_plain_port_beside_it(bench: Bench) -> None:
    city, another = bench.authority("City CA"), bench.authority("Another CA")
    broker = bench.broker(BrokerOptions(certificate=city.issue("broker", names="IP:127.0.0.1")))
    assert broker.url == f"mqtts://127.0.0.1:{broker.port}"
    assert broker.plain_port != broker.port
    await come_in(broker, ca_file=str(city.certificate))
    with pytest.raises(BrokerDown, match="certificate verify failed"):
        await come_in(broker, ca_file=str(another.certificate))
    assert broker.client().publish("t", b"x") == NO_SUBSCRIBER


async def test_it_may_want_a_certificate_of_its_clients(bench: Bench) -> None:
    city, another = bench.authority("City CA"), bench.authority("Another CA")
    certificate = city.issue("broker", names="IP:127.0.0.1")
    broker = bench.broker(BrokerOptions(certificate=certificate, client_ca=city.certificate))
    for authority, name in ((city, "gw-1"), (another, "gw-2")):
        own = authority.issue(name)
        files = {"ca_file": str(city.certificate), "cert_file": str(own.certificate), "key_file": str(own.key)}
        if authority is city:
            await come_in(broker, **files)
        else:
            with pytest.raises(BrokerDown):
                await come_in(broker, **files)


def test_an_authority_says_what_openssl_did_not_do(tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match="openssl ca: "):
        Authority(tmp_path / "ca").issue("broker", names="IP:no address")


async def test_lines_and_whole_configurations_are_taken_and_one_that_is_none_is_said(bench: Bench) -> None:
    broker = bench.broker(BrokerOptions(lines="max_packet_size 1000"), start=False)
    with pytest.raises(BrokerDown):
        await come_in(broker)
    broker.start()
    hello, address = Hello("gw-1", "5", None, 60), BrokerAddress(broker.host, broker.port)
    async with connect(address, hello, lambda _message: True) as client:
        assert client.limits.max_packet_bytes == 1_000
    broker.stop()
    broker.change(BrokerOptions(config=f"listener {broker.port} 127.0.0.1\nallow_anonymous false\n"))
    broker.start()
    with pytest.raises(BrokerDown, match="Not authorized"):
        await come_in(broker)
    with pytest.raises(ChildFailed, match="mosquitto ended at once"):
        bench.broker(BrokerOptions(config="nonsense\n"))


def test_the_embedded_broker_has_no_options(bench: Bench) -> None:
    with pytest.raises(ChildFailed, match="apt-get install mosquitto"):
        bench.broker(BrokerOptions(max_queued_messages=1), embedded=True)


def test_a_paused_broker_ends_with_the_test_and_needs_no_kill(tmp_path: Path) -> None:
    with Bench(tmp_path) as bench:
        broker = bench.broker()
        broker.pause()
        began_s = time.monotonic()
    assert time.monotonic() - began_s < STOP_TIMEOUT_S
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((broker.host, broker.port), 5)


def test_a_record_has_every_message_as_it_was_published_also_after_the_broker_was_away(broker: BenchBroker) -> None:
    record, client = broker.record(), broker.client()
    client.publish("a", b"1", retain=True)
    client.publish("b", b"2", qos=0)
    assert len(record.wait_for(2)) == 2
    assert record.messages == [("a", b"1", 1, True), ("b", b"2", 0, False)]
    broker.kill()
    with pytest.raises(BrokerDown, match="connect"):
        client.wait_until(lambda it: it.publish("a", b"3") and False)
    broker.start()
    record.wait_until(lambda it: _said(client) and it.messages[-1].payload == b"4", what="both are back")
    count = len(record.stop())
    client.publish("a", b"5")
    assert len(record.messages) == count


def _said(client: object) -> bool:
    try:
        client.publish("a", b"4")  # type: ignore[attr-defined]
    except BrokerDown:
        return False
    return True


def test_a_client_that_vanishes_leaves_its_will_and_one_that_leaves_does_not(broker: BenchBroker) -> None:
    heard = broker.client("will/#", "mark")
    broker.client(will=Will("will/in-order", b"x")).stop()
    broker.client(will=Will("will/vanished", b"x")).vanish()
    heard.wait_for()
    assert [one.topic for one in heard.messages] == ["will/vanished"]


def test_the_connections_of_a_way_meet_what_they_are_given_and_its_messages_are_seen(broker: BenchBroker) -> None:
    seen: list[tuple[str, str]] = []
    way = broker.way(watch=lambda direction, message: seen.append((direction, message.topic)))
    way.meet([Fault(name="rst", direction="up", at_byte=5)])
    for number in (1, 2):
        with socket.create_connection((way.host, way.port), 5) as sock:
            sock.sendall(bytes.fromhex("101000044d5154540402003c00046777 2d31") + bytes.fromhex("30040001 7478"))
            sock.settimeout(5)
            if number == 1:
                with pytest.raises(ConnectionResetError):
                    sock.recv(4)
            else:
                assert sock.recv(4) == b"\x20\x02\x00\x00"
                wait_until(lambda: seen, 5, "the message is seen")
    assert (way.cuts, way.connections) == (1, 2)
    assert {*seen} == {("up", "t")}


async def test_an_ioc_acknowledges_as_often_as_it_is_told_or_never(bench: Bench, broker: BenchBroker) -> None:
    state = broker.client("ocg/v1/ioc/state")
    ioc = bench.ioc(broker, ack_every_s=None)
    state.wait_until(lambda it: it.messages and b'"ack":false' in it.messages[-1].payload)
    ioc.stop()
    bench.ioc(broker, ack_every_s=0.1)
    state.wait_until(
        lambda it: b'"online":true,' in it.messages[-1].payload and b'"ack":true' in it.messages[-1].payload
    )


def test_an_ioc_that_does_not_end_as_it_should_fails_the_test(bench: Bench, ioc: BenchIoc) -> None:
    assert ioc.pid is not None
    assert psutil.Process(ioc.pid).cmdline()[2:4] == ["simulators", "ioc"]
    os.kill(ioc.pid, signal.SIGKILL)
    with pytest.raises(ChildFailed, match="ioc exited -9"):
        ioc.stop()
    assert ioc.pid is None


def test_an_ioc_that_cannot_start_is_said_and_leaves_nothing(bench: Bench, broker: BenchBroker) -> None:
    before = len(psutil.Process().children())
    with pytest.raises(ChildFailed, match="unrecognized arguments: --nonsense"):
        bench.ioc(broker, "--nonsense")
    assert len(psutil.Process().children()) == before


METER = """
[[link]]
name = "bus"
kind = "modbus"
transport = "tcp"
host = "127.0.0.1"
tcp_port = {port}
[[device]]
name = "meter-1"
link = "bus"
profile = "eastron/sdm120"
unit = 1
"""
ASK_VOLTAGE = bytes.fromhex("000100000006 010400000002")


def test_a_site_of_its_own_can_be_killed_and_knows_what_it_served(
    site_process: Callable[..., SiteProcess], tmp_path: Path
) -> None:
    config, port = tmp_path / "agent.toml", free_port()
    config.write_text(METER.format(port=port), encoding="utf-8")
    site = site_process(config, "--fault", "exception on=meter-1 from=3600")
    assert site.addresses == {"bus": f"127.0.0.1:{port}"}
    _ask(port)
    site.wait_for(lambda it: it.served("meter-1"))
    site.kill()
    with pytest.raises(ConnectionRefusedError):
        _ask(port)
    site.start()
    _ask(port)
    site.stop()
    assert [(one.device, one.point) for one in site.served()] == [("meter-1", "voltage")] * 2
    assert site.served("meter-2") == []


def _ask(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 5) as sock:
        sock.sendall(ASK_VOLTAGE)
        assert sock.recv(100)[7:9] == b"\x04\x04"


FOREIGN = """
import pytest
from simulators.testing import Bench, BenchBroker

@pytest.fixture(scope="session")
def shared(session_bench: Bench) -> BenchBroker:
    return session_bench.broker()

ports = []

@pytest.mark.parametrize("number", [1, 2])
def test_they_share_it(shared, number):
    shared.client().publish("t", b"x", retain=True)
    ports.append(shared.port)
    assert len(set(ports)) == 1

def test_a_fault_of_the_client_fails_the_test(scripted_broker):
    import socket
    with socket.create_connection((scripted_broker.host, scripted_broker.port), 5) as sock:
        sock.sendall(b"\\xc0\\x00")
        assert sock.recv(1) == b""
"""


def test_a_broker_is_shared_by_a_run_and_what_a_client_may_not_do_fails_the_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # where the wheel is installed it would come twice
    monkeypatch.setenv("PYTHONPATH", str(Path(simulators.__file__).parents[1]))
    pytester.makepyfile(FOREIGN)
    result = pytester.runpytest_subprocess("-q", "-p", "simulators.pytest_plugin", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*the first packet is no CONNECT*"])


async def test_a_client_works_in_tests_that_are_coroutines(broker: BenchBroker) -> None:
    client = await asyncio.to_thread(broker.client, "t")
    assert await asyncio.to_thread(client.publish, "t", b"x") == 0
