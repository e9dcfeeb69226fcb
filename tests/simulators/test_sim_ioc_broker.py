"""The IOC against real brokers: acknowledges, comes back after a cut, says goodbye."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from simulators.broker import Broker, broker
from simulators.ioc.db import Database
from simulators.ioc.ingest import Ingest
from simulators.ioc.mqtt import RECEIVE_MAXIMUM, BrokerDown, Session, Will, connect, parse_broker
from simulators.ioc.report import report
from simulators.ioc.service import ACK_EVERY_S, IocService

EPOCH = "9f3c1a7be2d04455"
STATE = "ocg/v1/ioc/state"
TIMEOUT_S = 10.0


@pytest.fixture(params=["mosquitto", "amqtt"])
async def mqtt(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    async with broker(tmp_path, embedded=request.param == "amqtt") as one:
        assert one.name == request.param
        yield one


class Ioc:
    """A running IOC; `ready` is set at each connection."""

    def __init__(self, mqtt: Broker, ack_every_s: float = 0.1) -> None:
        self.database = Database(None)
        self.database.open()
        self.ingest = Ingest(self.database)
        self.service = IocService(self.ingest, parse_broker(mqtt.url), protocol=mqtt.protocol, ack_every_s=ack_every_s)
        self.ready = asyncio.Event()
        self._task = asyncio.create_task(self.service.run(self.ready.set))

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait((self._task,))
        self.database.close()


@pytest.fixture
async def ioc(mqtt: Broker) -> AsyncIterator[Ioc]:
    one = Ioc(mqtt)
    async with asyncio.timeout(TIMEOUT_S):
        await one.ready.wait()
    yield one
    await one.stop()


class Gateway:
    """A client that hears what the IOC says."""

    def __init__(self, mqtt: Broker) -> None:
        self._mqtt = mqtt
        self._stack = AsyncExitStack()
        self.session: Session | None = None
        self.heard: dict[str, list[dict[str, Any]]] = {}

    async def open(self) -> None:
        will = Will("x/will", b"")
        address = parse_broker(self._mqtt.url)
        self.session = await self._stack.enter_async_context(
            connect(address, self._mqtt.protocol, "gw-1", will, self._hear)
        )
        self.session.subscribe("ocg/v1/gw-1/down/#")
        self.session.subscribe(STATE)

    async def close(self) -> None:
        await self._stack.aclose()

    def send(self, seq: int, low: int = 1, time_ms: int = 0) -> None:
        scan = {"device": "d", "time_ms": time_ms or seq, "values": {"p": seq}}
        head = {"v": 1, "gateway": "gw-1", "epoch": EPOCH, "seq": seq, "sealed_ms": 1, "low": low}
        body = head | {"config": "a1b2c3d4", "clock": "sync", "scans": [scan]}
        assert self.session
        self.session.publish("ocg/v1/gw-1/up/data", json.dumps(body).encode())

    def newest(self, topic: str) -> dict[str, Any]:
        return self.heard.get(topic, [{}])[-1]

    def _hear(self, topic: str, payload: bytes) -> bool:
        self.heard.setdefault(topic, []).append(json.loads(payload))
        return True


@pytest.fixture
async def gateway(mqtt: Broker) -> AsyncIterator[Gateway]:
    one = Gateway(mqtt)
    await one.open()
    yield one
    await one.close()


async def _until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0.02)


async def test_what_arrived_is_acknowledged_with_duplicates_and_gaps(ioc: Ioc, gateway: Gateway) -> None:
    for seq in (1, 2, 2, 4, 9, 2):
        gateway.send(seq)
    await _until(lambda: gateway.newest("ocg/v1/gw-1/down/ack").get("selective") == [[4, 4], [9, 9]])
    assert gateway.newest("ocg/v1/gw-1/down/ack")["cumulative"] == 2
    seen = report(ioc.ingest)
    assert (seen.readings, seen.duplicates, seen.gaps, seen.lost) == (4, 2, 5, 0)
    gateway.send(10, low=9)
    await _until(lambda: gateway.newest("ocg/v1/gw-1/down/ack")["cumulative"] == 10)
    assert report(ioc.ingest).lost == 5


@pytest.mark.parametrize("mqtt", ["mosquitto"], indirect=True)
async def test_more_messages_flow_than_may_be_on_their_way_at_once(ioc: Ioc, gateway: Gateway) -> None:
    count = 3 * RECEIVE_MAXIMUM
    for seq in range(1, count + 1):
        gateway.send(seq)
        await asyncio.sleep(0)
    await _until(lambda: gateway.newest("ocg/v1/gw-1/down/ack").get("cumulative") == count)


@pytest.mark.parametrize("mqtt", ["mosquitto"], indirect=True)
async def test_acks_come_at_most_once_a_second(mqtt: Broker, gateway: Gateway) -> None:
    ioc = Ioc(mqtt, ACK_EVERY_S)
    await _until(ioc.ready.is_set)
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    seq = 0
    while loop.time() - start_s < 1.2:
        seq += 1
        gateway.send(seq)
        await asyncio.sleep(0.02)
    acks = gateway.heard.get("ocg/v1/gw-1/down/ack", [])
    assert 1 <= len(acks) <= 2
    await _until(lambda: gateway.newest("ocg/v1/gw-1/down/ack").get("cumulative") == seq)
    await ioc.stop()


@pytest.mark.parametrize("mqtt", ["mosquitto"], indirect=True)
async def test_state_is_retained_and_says_offline_when_the_ioc_stops(mqtt: Broker, gateway: Gateway) -> None:
    one = Ioc(mqtt)
    await _until(lambda: gateway.newest(STATE).get("online"))
    assert gateway.newest(STATE)["ack"] is True
    await one.stop()
    await _until(lambda: gateway.newest(STATE).get("online") is False)


@pytest.mark.parametrize("mqtt", ["mosquitto"], indirect=True)
async def test_the_ioc_comes_back_after_the_broker_was_killed(mqtt: Broker, ioc: Ioc) -> None:
    await mqtt.kill()
    ioc.ready.clear()
    await mqtt.start()
    async with asyncio.timeout(TIMEOUT_S):
        await ioc.ready.wait()
    gateway = Gateway(mqtt)
    await gateway.open()
    gateway.send(1)
    await _until(lambda: gateway.newest("ocg/v1/gw-1/down/ack").get("cumulative") == 1)
    await gateway.close()


async def test_a_broker_that_is_not_there_is_said() -> None:
    with pytest.raises(BrokerDown, match=r"127\.0\.0\.1:9"):
        async with connect(parse_broker("mqtt://127.0.0.1:9"), "5", "x", Will("x", b""), lambda _t, _p: True):
            pass


@pytest.mark.parametrize("url", ["127.0.0.1:1883", "http://x", "mqtt://", "mqtt://u:secret@x"])
def test_a_url_that_is_no_broker_is_refused_and_no_password_is_taken_from_it(url: str) -> None:
    with pytest.raises(ValueError, match=r"mqtt://|password"):
        parse_broker(url)


@pytest.mark.parametrize("mqtt", ["mosquitto"], indirect=True)
async def test_a_client_that_leaves_in_order_leaves_no_will(mqtt: Broker, gateway: Gateway) -> None:
    assert gateway.session
    gateway.session.subscribe("x/#")
    address = parse_broker(mqtt.url)
    async with connect(address, "5", "leaving", Will("x/gone", b"{}"), lambda _t, _p: True):
        pass
    async with connect(address, "5", "after", Will("x/later", b"{}"), lambda _t, _p: True) as session:
        session.publish("x/mark", b"{}")
        await _until(lambda: "x/mark" in gateway.heard)
    assert "x/gone" not in gateway.heard
