"""The IOC against real brokers: acknowledges, comes back after a cut, says goodbye."""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from simulators.ioc.db import Database
from simulators.ioc.ingest import Ingest
from simulators.ioc.mqtt import RECEIVE_MAXIMUM, Session, connect
from simulators.ioc.picture_files import PictureFiles
from simulators.ioc.pictures import Pictures
from simulators.ioc.report import report
from simulators.ioc.service import ACK_EVERY_S, IocService
from simulators.mqtt.address import parse_broker
from simulators.mqtt.client import BrokerDown, Will
from simulators.testing import Bench, BenchBroker, BenchIoc

PICTURE = bytes(range(256)) * 400
PART_BYTES = 48 * 1024
EPOCH = "9f3c1a7be2d04455"
STATE = "ocg/v1/ioc/state"
TIMEOUT_S = 10.0


@pytest.fixture(params=["mosquitto", "amqtt"])
def mqtt(request: pytest.FixtureRequest, bench: Bench) -> BenchBroker:
    one = bench.broker(embedded=request.param == "amqtt")
    assert one.name == request.param
    return one


class Ioc:
    """A running IOC; `ready` is set at each connection."""

    def __init__(self, mqtt: BenchBroker, ack_every_s: float = 0.1, pictures: Pictures | None = None) -> None:
        self.database = Database(None)
        self.database.open()
        self.ingest = Ingest(self.database, pictures=pictures)
        self.service = IocService(self.ingest, parse_broker(mqtt.url), protocol=mqtt.protocol, ack_every_s=ack_every_s)
        self.ready = asyncio.Event()
        self._task = asyncio.create_task(self.service.run(self.ready.set))

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait((self._task,))
        self.database.close()


@pytest.fixture
async def ioc(mqtt: BenchBroker) -> AsyncIterator[Ioc]:
    one = Ioc(mqtt)
    async with asyncio.timeout(TIMEOUT_S):
        await one.ready.wait()
    yield one
    await one.stop()


class Gateway:
    """A client that hears what the IOC says."""

    def __init__(self, mqtt: BenchBroker) -> None:
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

    def send_snapshot(self, seq: int, picture: str, data: bytes = PICTURE) -> None:
        head = {"v": 1, "gateway": "gw-1", "epoch": EPOCH, "seq": seq, "sealed_ms": 1, "low": 1}
        body = {"id": picture, "device": "cam-01", "time_ms": time.time_ns() // 1_000_000, "mime": "image/jpeg"}
        body |= {"width": 640, "height": 480, "bytes": len(data), "sha256": sha256(data).hexdigest()}
        body |= {"parts": math.ceil(len(data) / PART_BYTES), "why": "schedule"}
        body["privacy"] = {"class": "possible", "purpose": "flood-verification", "keep_days": 7}
        message = head | {"config": "a1b2c3d4", "clock": "sync", "snapshot": body}
        assert self.session
        self.session.publish("ocg/v1/gw-1/up/snapshot", json.dumps(message).encode())

    def send_part(self, picture: str, part: int) -> None:
        data = PICTURE[(part - 1) * PART_BYTES : part * PART_BYTES]
        assert self.session
        self.session.publish(f"ocg/v1/gw-1/up/blob/{picture}/{part}", data)

    def newest(self, topic: str) -> dict[str, Any]:
        return self.heard.get(topic, [{}])[-1]

    def _hear(self, topic: str, payload: bytes) -> bool:
        said = {}
        with suppress(ValueError):
            said = json.loads(payload)
        self.heard.setdefault(topic, []).append(said)
        return True


@pytest.fixture
async def gateway(mqtt: BenchBroker) -> AsyncIterator[Gateway]:
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
async def test_acks_come_at_most_once_a_second(mqtt: BenchBroker, gateway: Gateway) -> None:
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
async def test_state_is_retained_and_says_offline_when_the_ioc_stops(mqtt: BenchBroker, gateway: Gateway) -> None:
    one = Ioc(mqtt)
    await _until(lambda: gateway.newest(STATE).get("online"))
    assert gateway.newest(STATE)["ack"] is True
    assert gateway.newest(STATE)["encodings"] == ["json", "deflate", "rows"]
    await one.stop()
    await _until(lambda: gateway.newest(STATE).get("online") is False)


@pytest.mark.parametrize("said", [b'{"v":1,"online":false,"time_ms":1,"ack":true}', b"", b"rubbish"])
@pytest.mark.parametrize("mqtt", ["mosquitto"], indirect=True)
async def test_a_late_will_of_an_ioc_that_has_died_is_gainsaid(
    mqtt: BenchBroker, ioc: Ioc, gateway: Gateway, said: bytes
) -> None:
    await _until(lambda: gateway.newest(STATE).get("online"))
    heard = len(gateway.heard[STATE])
    assert gateway.session
    gateway.session.publish(STATE, said, retain=True)
    await _until(lambda: len(gateway.heard[STATE]) >= heard + 2 and gateway.newest(STATE).get("online"))
    await asyncio.sleep(0.3)
    assert len(gateway.heard[STATE]) == heard + 2, "it does not answer itself"
    await ioc.stop()
    await _until(lambda: gateway.newest(STATE).get("online") is False)


@pytest.mark.parametrize("mqtt", ["mosquitto"], indirect=True)
async def test_the_ioc_comes_back_after_the_broker_was_killed(mqtt: BenchBroker, ioc: Ioc) -> None:
    mqtt.kill()
    ioc.ready.clear()
    mqtt.start()
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
async def test_a_client_that_leaves_in_order_leaves_no_will(mqtt: BenchBroker, gateway: Gateway) -> None:
    assert gateway.session
    gateway.session.subscribe("x/#")
    address = parse_broker(mqtt.url)
    async with connect(address, "5", "leaving", Will("x/gone", b"{}"), lambda _t, _p: True):
        pass
    async with connect(address, "5", "after", Will("x/later", b"{}"), lambda _t, _p: True) as session:
        session.publish("x/mark", b"{}")
        await _until(lambda: "x/mark" in gateway.heard)
    assert "x/gone" not in gateway.heard


ONE, OTHER = "01JDCQ7Z4K8M2N3P4Q5R6S7T9W", "01JDCQ7Z4K8M2N3P4Q5R6S7T9X"


def _pictures(folder: Path) -> list[Path]:
    return sorted((folder / "gw-1").rglob("*.jpg"))


async def test_a_picture_arrives_in_parts(mqtt: BenchBroker, gateway: Gateway, tmp_path: Path) -> None:
    pictures = Pictures(PictureFiles(tmp_path / "pictures"))
    pictures.open()
    ioc = Ioc(mqtt, pictures=pictures)
    await _until(ioc.ready.is_set)
    gateway.send_snapshot(1, ONE)
    await _until(lambda: gateway.newest("ocg/v1/gw-1/down/ack").get("cumulative") == 1)
    for part in (3, 1, 1):
        gateway.send_part(ONE, part)
    gateway.send_part(OTHER, 2)
    await _until(lambda: report(ioc.ingest).pictures.unannounced)
    assert not _pictures(tmp_path / "pictures")
    gateway.send_part(ONE, 2)
    await _until(lambda: report(ioc.ingest).pictures.complete)
    (file,) = _pictures(tmp_path / "pictures")
    assert file.read_bytes() == PICTURE
    seen = report(ioc.ingest)
    assert (seen.pictures.duplicate_parts, seen.malformed, seen.notices) == (1, {}, [])
    await ioc.stop()


@pytest.mark.parametrize("mqtt", ["mosquitto"], indirect=True)
async def test_an_ioc_that_is_killed_between_two_parts_goes_on_with_the_picture(
    bench: Bench, mqtt: BenchBroker, gateway: Gateway
) -> None:
    ioc = bench.ioc(mqtt, "--every", "0.1")
    await _until(lambda: gateway.newest(STATE).get("online"))
    gateway.send_snapshot(1, ONE)
    gateway.send_part(ONE, 1)
    gateway.send_part(ONE, 3)
    await _until(lambda: _missing(ioc) == [[(2, 2)]])
    ioc.kill()
    await _until(lambda: gateway.newest(STATE).get("online") is False)
    ioc.start()
    await _until(lambda: gateway.newest(STATE).get("online"))
    gateway.send_part(ONE, 2)
    await _until(lambda: _pictures(ioc.pictures))
    said = ioc.stop().pictures
    assert said is not None
    assert said.complete == 1
    (file,) = _pictures(ioc.pictures)
    assert file.read_bytes() == PICTURE


def _missing(ioc: BenchIoc) -> list[list[tuple[int, int]]]:
    said = ioc.report
    return [one.missing for one in said.pictures.missing] if said and said.pictures else []


@pytest.mark.parametrize("mqtt", ["mosquitto"], indirect=True)
async def test_pictures_expire_while_there_is_no_broker_too(mqtt: BenchBroker, tmp_path: Path) -> None:
    now_ms = [time.time_ns() // 1_000_000]
    pictures = Pictures(PictureFiles(tmp_path / "pictures"), lambda: now_ms[0])
    pictures.open()
    pictures.part("gw-1", ONE, 1, b"x")
    mqtt.kill()
    ioc = Ioc(mqtt, pictures=pictures)
    now_ms[0] += 86_400_000
    ioc.ingest._swept_s -= 3_600
    await _until(lambda: not list(pictures.waiting()))
    await ioc.stop()


@pytest.mark.parametrize("mqtt", ["mosquitto"], indirect=True)
async def test_a_folder_that_fails_ends_the_ioc_and_a_part_that_it_did_not_keep_stays_with_the_broker(
    mqtt: BenchBroker, gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: Any) -> None:
        raise OSError(28, "No space left on device")

    pictures = Pictures(PictureFiles(tmp_path / "pictures"))
    pictures.open()
    monkeypatch.setattr(pictures, "part", full)
    ioc = Ioc(mqtt, pictures=pictures)
    await _until(ioc.ready.is_set)
    gateway.send_part(ONE, 1)
    with pytest.raises(OSError, match="No space left"):
        await asyncio.wait_for(ioc._task, TIMEOUT_S)
    ioc.database.close()
