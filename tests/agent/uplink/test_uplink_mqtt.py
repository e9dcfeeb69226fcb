"""The MQTT session against a real broker."""

import asyncio
import json
import socket
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from processes import closed_port
from uplink_helpers import GATEWAY, listener, until

from agent.uplink.errors import MessageRejected, UplinkDown
from agent.uplink.mqtt import MqttOptions, Will, connect
from simulators.testing import Bench, BenchBroker, BrokerOptions, Pair

STATUS = f"ocg/v1/{GATEWAY}/up/status"


def options(port: int, **changes: object) -> MqttOptions:
    given: dict[str, object] = {"host": "127.0.0.1", "port": port, "client_id": GATEWAY, "tls": False}
    given |= {"will": Will(STATUS, b'{"online":false}'), "connect_timeout_s": 3.0}
    return MqttOptions(**(given | changes))  # type: ignore[arg-type]


def nothing(topic: str, payload: bytes) -> None:
    pass


async def test_a_puback_gives_the_reason_code(broker: BenchBroker) -> None:
    async with connect(options(broker.port), nothing) as session:
        assert await session.publish("nobody/listens", b"1", timeout_s=5) == 0x10
        ioc = await listener(broker, "here")
        assert await session.publish("here", b"2", timeout_s=5) == 0x00
        await until(lambda: ioc.messages == [("here", b"2")])
        ioc.close()


async def test_a_publish_that_the_acl_denies_is_answered_0x87(bench: Bench) -> None:
    broker = bench.broker(BrokerOptions(acl=f"topic readwrite allowed/#\ntopic write {STATUS}\n"))
    async with connect(options(broker.port), nothing) as session:
        assert await session.publish("forbidden", b"1", timeout_s=5) == 0x87
        assert await session.publish("allowed/x", b"1", timeout_s=5) == 0x10


async def test_the_brokers_limits_are_known(broker: BenchBroker) -> None:
    async with connect(options(broker.port), nothing) as session:
        assert session.limits.receive_maximum == 20


async def test_on_3_1_1_there_are_no_limits_and_every_publish_succeeds(broker: BenchBroker) -> None:
    async with connect(options(broker.port, protocol="3.1.1"), nothing) as session:
        assert await session.publish("nobody/listens", b"1", timeout_s=5) == 0
        assert session.limits.receive_maximum == 65_535


async def test_a_message_over_the_brokers_limit_is_rejected_before_it_is_sent(bench: Bench) -> None:
    broker = bench.broker(BrokerOptions(lines="max_packet_size 1000"))
    async with connect(options(broker.port), nothing) as session:
        assert session.limits.maximum_packet_size == 1000
        with pytest.raises(MessageRejected) as err:
            session.send("t", b"x" * 1000)
        assert err.value.reason_code == 0x95
        assert await session.publish("t", b"x" * 900, timeout_s=5) == 0x10


async def test_every_publish_in_flight_fails_when_the_broker_is_killed(broker: BenchBroker) -> None:
    async with connect(options(broker.port), nothing) as session:
        futures = [session.send("t", b"x" * 1000) for _ in range(200)]
        broker.kill()
        down = await asyncio.wait_for(asyncio.shield(session.closed), 5)
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert all(isinstance(r, UplinkDown) or r == 0x10 for r in results)
        assert any(isinstance(r, UplinkDown) for r in results)
        assert "cut" in down.reason
        with pytest.raises(UplinkDown):
            session.send("t", b"late")


async def test_nothing_published_before_a_connection_is_ever_sent_on_it(broker: BenchBroker) -> None:
    ioc = await listener(broker, "t")
    async with connect(options(broker.port), nothing) as session:
        session.close()
        with pytest.raises(UplinkDown):
            session.send("t", b"lost")
    async with connect(options(broker.port), nothing) as session:
        await session.publish("t", b"new", timeout_s=5)
        await until(lambda: ioc.messages)
    assert ioc.messages == [("t", b"new")]
    ioc.close()


async def test_a_broker_that_is_not_there_is_said_with_its_address() -> None:
    with closed_port() as port, pytest.raises(UplinkDown, match=f"mqtt://127.0.0.1:{port}: .*refused"):
        async with connect(options(port), nothing):
            pass


async def test_a_broker_that_never_answers_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(UplinkDown, match="does not answer"):
            async with connect(options(port, connect_timeout_s=0.3), nothing):
                pass


async def test_a_refusal_is_told_apart(bench: Bench) -> None:
    broker = bench.broker(BrokerOptions(users={"somebody": "else"}))
    for protocol in ("5", "3.1.1"):
        with pytest.raises(UplinkDown, match="refuses us: Not authorized") as err:
            async with connect(options(broker.port, protocol=protocol), nothing):
                pass
        assert type(err.value).__name__ == "UplinkRefused"


async def test_a_goodbye_without_will_is_silent_and_leaving_without_goodbye_lets_the_will_speak(
    broker: BenchBroker,
) -> None:
    ioc = await listener(broker, STATUS, "mark")
    async with connect(options(broker.port), nothing) as session:
        await session.disconnect(with_will=False)
        assert session.closed.done()
    async with connect(options(broker.port, protocol="3.1.1"), nothing) as session:
        await session.publish("mark", b"1", timeout_s=5)
    await until(lambda: len(ioc.messages) == 2)
    assert ioc.messages == [("mark", b"1"), (STATUS, b'{"online":false}')]
    ioc.close()


async def test_a_reconnect_within_the_delay_publishes_no_will(broker: BenchBroker) -> None:
    ioc = await listener(broker, STATUS, "mark")
    async with connect(options(broker.port), nothing) as session:
        session.close()
    async with connect(options(broker.port), nothing) as session:
        await session.publish("mark", b"1", timeout_s=5)
        await until(lambda: ioc.messages)
        assert ioc.messages == [("mark", b"1")]
        await session.disconnect(with_will=False)
    ioc.close()


async def test_what_is_said_while_we_are_away_for_a_moment_arrives_when_we_are_back(broker: BenchBroker) -> None:
    async with connect(options(broker.port), nothing) as session:
        await session.subscribe(("a",), timeout_s=5)
        session.close()
    ioc = await listener(broker, "x")
    await asyncio.to_thread(ioc.say, "a", b"meanwhile", retain=False)
    heard: list[bytes] = []
    async with connect(options(broker.port), lambda _topic, payload: heard.append(payload)):
        await until(lambda: heard == [b"meanwhile"])
    ioc.close()


async def test_a_takeover_ends_the_session_with_its_code() -> None:
    """Mosquitto 2.0.11 closes without a word when a client is taken over, so here a few bytes play the broker."""

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await reader.readexactly(2)
            writer.write(bytes.fromhex("20 03 00 00 00") + bytes.fromhex("e0 02 8e 00"))
            await writer.drain()
            await reader.read()

    server = await asyncio.start_server(play, "127.0.0.1", 0)
    async with server, connect(options(server.sockets[0].getsockname()[1]), nothing) as session:
        down = await asyncio.wait_for(asyncio.shield(session.closed), 5)
        assert down.code == 0x8E


async def test_paho_holds_nothing_back_the_window_is_the_callers() -> None:
    arrived = bytearray()

    async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            await reader.readexactly(2)
            writer.write(bytes.fromhex("20 03 00 00 00"))
            while data := await reader.read(65_536):
                arrived.extend(data)

    server = await asyncio.start_server(play, "127.0.0.1", 0)
    async with server, connect(options(server.sockets[0].getsockname()[1]), nothing) as session:
        for number in range(100):
            session.send("t", f"<{number}>".encode())
        await until(lambda: b"<99>" in arrived)
        assert session.in_flight == 100


async def test_messages_arrive_by_subscription(broker: BenchBroker) -> None:
    heard: list[tuple[str, bytes]] = []
    async with connect(options(broker.port), lambda topic, payload: heard.append((topic, payload))) as session:
        await session.subscribe(("a/#", "b"), timeout_s=5)
        await session.publish("a/1", b"x", timeout_s=5)
        await until(lambda: heard == [("a/1", b"x")])


async def test_a_publish_waits_for_room_in_the_brokers_window(broker: BenchBroker) -> None:
    async with connect(options(broker.port), nothing) as session:
        most = 0

        async def one() -> int:
            nonlocal most
            future = asyncio.ensure_future(session.publish("t", b"x", timeout_s=5))
            await asyncio.sleep(0)
            most = max(most, session.in_flight)
            return await future

        codes = await asyncio.gather(*(one() for _ in range(100)))
        assert set(codes) == {0x10}
        assert most <= 20


async def test_the_message_expiry_reaches_the_broker(broker: BenchBroker) -> None:
    async with connect(options(broker.port), nothing) as session:
        assert await session.send("t", json.dumps({}).encode(), retain=True, expiry_s=1) == 0x10


class TlsFiles:
    """A key with a certificate of its own for 127.0.0.1, and a stranger's."""

    def __init__(self, folder: Path) -> None:
        self.key, self.cert = folder / "broker.key", folder / "broker.pem"
        self.stranger = folder / "stranger.pem"
        for key, cert, name in ((self.key, self.cert, "127.0.0.1"), (folder / "s.key", self.stranger, "192.0.2.1")):
            command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
            command += ["-keyout", str(key), "-out", str(cert), "-days", "2", "-subj", f"/CN={name}"]
            subprocess.run([*command, "-addext", f"subjectAltName=IP:{name}"], check=True, capture_output=True)


@pytest.fixture
def tls_broker(bench: Bench, tmp_path: Path) -> tuple[BenchBroker, TlsFiles]:
    files = TlsFiles(tmp_path)
    return bench.broker(BrokerOptions(certificate=Pair(files.key, files.cert))), files


async def test_over_tls_messages_flow_both_ways(tls_broker: tuple[BenchBroker, TlsFiles]) -> None:
    broker, files = tls_broker
    heard: list[bytes] = []
    given = options(broker.port, tls=True, ca_file=str(files.cert))
    async with connect(given, lambda _topic, payload: heard.append(payload)) as session:
        await session.subscribe(("a",), timeout_s=5)
        futures = [session.send("a", b"%d" % number * 1_000) for number in range(20)]
        assert set(await asyncio.gather(*futures)) == {0}
        await until(lambda: len(heard) == 20)


async def test_a_certificate_that_cannot_be_verified_is_refused_by_name(
    tls_broker: tuple[BenchBroker, TlsFiles],
) -> None:
    broker, files = tls_broker
    for ca_file in ("", str(files.stranger)):
        with pytest.raises(UplinkDown, match=r"certificate is not accepted: .*self.signed"):
            async with connect(options(broker.port, tls=True, ca_file=ca_file), nothing):
                pass


async def test_a_file_that_is_missing_is_said_by_name(tls_broker: tuple[BenchBroker, TlsFiles], tmp_path: Path) -> None:
    broker, _ = tls_broker
    with pytest.raises(UplinkDown, match="No such file"):
        async with connect(options(broker.port, tls=True, ca_file=str(tmp_path / "no.pem")), nothing):
            pass
