"""MQTT in WebSockets through an unkind proxy, in the clear and over TLS."""

import asyncio
import ssl
from pathlib import Path

import pytest
from tls_lab import GATEWAY, TlsLab
from uplink_helpers import MemorySource, listener, ready, running, until
from websocket_proxy import websocket_proxy

from agent.uplink.errors import UplinkDown
from agent.uplink.mqtt import MqttOptions, Will, connect
from simulators.testing import Bench, BenchBroker

WILL = Will(f"ocg/v1/{GATEWAY}/up/status", b"{}")


def options(port: int, **changes: object) -> MqttOptions:
    given: dict[str, object] = {"host": "127.0.0.1", "port": port, "client_id": GATEWAY, "will": WILL, "tls": False}
    return MqttOptions(**(given | {"transport": "websockets"} | changes))  # type: ignore[arg-type]


@pytest.fixture
def tls(bench: Bench, tmp_path: Path) -> tuple[ssl.SSLContext, dict[str, object]]:
    lab = TlsLab(bench, tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(lab.server.certificate, lab.server.key)
    return context, {"tls": True, "ca_file": str(lab.city.certificate)}


async def _both_ways(given: MqttOptions) -> None:
    heard: list[bytes] = []
    async with connect(given, lambda _topic, payload: heard.append(payload)) as session:
        await session.subscribe(("a",), timeout_s=5)
        sent = [b"%d" % number * size for number, size in enumerate((1, 125, 126, 60_000, 65_536, 100_000, 2) * 3)]
        assert set(await asyncio.gather(*(session.publish("a", data, timeout_s=10) for data in sent))) == {0}
        await until(lambda: len(heard) == len(sent))
        assert sorted(heard) == sorted(sent)
        await session.disconnect(with_will=False)


async def test_messages_of_all_sizes_flow_both_ways(broker: BenchBroker) -> None:
    async with websocket_proxy(broker.port) as port:
        await _both_ways(options(port))


async def test_and_over_tls(broker: BenchBroker, tls: tuple[ssl.SSLContext, dict[str, object]]) -> None:
    async with websocket_proxy(broker.port, context=tls[0]) as port:
        await _both_ways(options(port, **tls[1]))


@pytest.mark.parametrize("secure", [False, True])
async def test_frames_stay_whole_where_the_line_is_slower_than_we_are(
    broker: BenchBroker, tls: tuple[ssl.SSLContext, dict[str, object]], secure: bool
) -> None:
    context, more = tls if secure else (None, {})
    async with (
        websocket_proxy(broker.port, context=context, pause_s=0.01) as port,
        connect(options(port, **more), lambda topic, payload: None) as session,
        asyncio.timeout(30),
    ):
        futures = [session.send("a", b"%03d" % number * 20_000) for number in range(60)]
        assert set(await asyncio.gather(*futures)) == {0x10}


async def test_a_wrong_path_is_said_by_name(broker: BenchBroker) -> None:
    async with websocket_proxy(broker.port, path="/elsewhere") as port:
        with pytest.raises(UplinkDown) as caught:
            async with connect(options(port, connect_timeout_s=1.5), lambda topic, payload: None):
                pass
    assert caught.value.fault
    assert caught.value.fault.code == "no_websocket"
    assert f"ws://127.0.0.1:{port}/mqtt" in caught.value.reason
    assert "uplink.path" in caught.value.reason


async def test_a_publisher_delivers_through_it(broker: BenchBroker, tmp_path: Path) -> None:
    ioc, source = await listener(broker), MemorySource()
    for _ in range(50):
        source.seal(size=3_000)
    async with (
        websocket_proxy(broker.port) as port,
        running(broker, source, tmp_path, ack="broker", transport="websockets", port=port) as publisher,
    ):
        await until(lambda: ready(publisher))
        source.seal()
        await until(lambda: len(source.delivered) == 51)
    await until(lambda: {*ioc.seqs("data", "backfill")} == {*range(1, 52)})
    ioc.close()
