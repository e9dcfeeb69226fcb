"""Pictures on their way to a real broker: every part, in order, only while somebody receives them."""

import asyncio
from pathlib import Path
from random import Random

import pytest
from fake_clock import FakeClock
from picture_samples import PRIVACY, taken
from uplink_helpers import GATEWAY, Ioc, MemorySource, listener, ready, running, until

from agent.store.pictures import PART_BYTES, PictureShelf
from agent.uplink.downlink.messages import Command
from agent.uplink.pictures import CUTS
from simulators.scripted_broker import Published, ScriptedBroker
from simulators.testing import BenchBroker

DATA = bytes(range(256)) * 600


@pytest.fixture
def shelf(tmp_path: Path) -> PictureShelf:
    shelf = PictureShelf(tmp_path / "pictures", 10_000_000, FakeClock(), Random(1))
    shelf.open()
    return shelf


def put(shelf: PictureShelf, data: bytes = DATA) -> str:
    snapshot, path = shelf.keep("cam-01", taken(data), PRIVACY, "schedule")
    shelf.announced(path)
    return snapshot.id


def blobs(ioc: Ioc) -> list[tuple[str, bytes]]:
    return [(topic, payload) for topic, payload in ioc.messages if "/up/blob/" in topic]


async def test_a_picture_goes_out_in_parts_that_give_it_again(
    broker: BenchBroker, tmp_path: Path, shelf: PictureShelf
) -> None:
    ioc = await listener(broker)
    async with running(broker, MemorySource(), tmp_path, shelf=shelf) as publisher:
        await until(lambda: ready(publisher))
        picture = put(shelf)
        assert publisher.pictures
        publisher.pictures.poke()
        await until(lambda: not shelf.waiting(), what="the picture is sent")
        await until(lambda: len(blobs(ioc)) == 4, what="all parts")
        parts = blobs(ioc)
    assert [topic.split("/")[-2:] for topic, _ in parts] == [[picture, str(n)] for n in range(1, 5)]
    assert b"".join(payload for _, payload in parts) == DATA
    assert max(len(payload) for _, payload in parts) == PART_BYTES
    ioc.close()


async def test_nothing_is_sent_while_the_ioc_is_offline_and_everything_after(
    broker: BenchBroker, tmp_path: Path, shelf: PictureShelf
) -> None:
    ioc = await listener(broker)
    await asyncio.to_thread(ioc.state, online=False)
    put(shelf)
    async with running(broker, MemorySource(), tmp_path, shelf=shelf) as publisher:
        await until(lambda: ready(publisher))
        await asyncio.sleep(0.3)
        assert len(shelf.waiting()) == 1
        await asyncio.to_thread(ioc.state)
        await until(lambda: publisher.state().ioc_online is True)
        await until(lambda: not shelf.waiting(), what="the picture is sent")
    ioc.close()


async def test_a_picture_that_nobody_receives_is_kept(broker: BenchBroker, tmp_path: Path, shelf: PictureShelf) -> None:
    put(shelf)
    async with running(broker, MemorySource(), tmp_path, shelf=shelf) as publisher:
        await until(lambda: ready(publisher))
        await asyncio.sleep(0.3)
        assert len(shelf.waiting()) == 1
        assert publisher.pictures
        assert publisher.pictures.sent == 0


async def test_a_picture_that_nobody_received_goes_as_soon_as_the_ioc_is_there(
    broker: BenchBroker, tmp_path: Path, shelf: PictureShelf
) -> None:
    put(shelf)
    async with running(broker, MemorySource(), tmp_path, shelf=shelf) as publisher:
        await until(lambda: ready(publisher))
        await asyncio.sleep(0.3)
        assert len(shelf.waiting()) == 1
        ioc = await listener(broker)
        await asyncio.to_thread(ioc.state)
        await until(lambda: not shelf.waiting(), 4, what="the picture is sent")
    ioc.close()


async def test_on_3_1_1_pictures_wait_until_the_ioc_has_said_that_it_is_there(
    broker: BenchBroker, tmp_path: Path, shelf: PictureShelf
) -> None:
    put(shelf)
    async with running(broker, MemorySource(), tmp_path, protocol="3.1.1", shelf=shelf) as publisher:
        await until(lambda: ready(publisher))
        await asyncio.sleep(0.3)
        assert len(shelf.waiting()) == 1


async def test_a_picture_that_was_cut_off_is_sent_again_as_a_whole(
    broker: BenchBroker, tmp_path: Path, shelf: PictureShelf
) -> None:
    ioc = await listener(broker)
    put(shelf, DATA * 20)
    async with running(broker, MemorySource(), tmp_path, shelf=shelf) as publisher:
        await until(lambda: any("/up/blob/" in topic for topic, _ in ioc.messages), what="the first part")
        broker.kill()
        await asyncio.sleep(0.2)
        assert len(shelf.waiting()) == 1
        broker.start()
        ioc.close()
        ioc = await listener(broker)
        await until(lambda: ready(publisher))
        publisher.pictures.poke()  # type: ignore[union-attr]
        await until(lambda: not shelf.waiting(), 20, what="the picture is sent")
        await until(lambda: len(dict(blobs(ioc))) == 63, what="all parts")
        parts = dict(blobs(ioc))
    assert b"".join(parts[topic] for topic in sorted(parts, key=lambda t: int(t.rpartition("/")[2]))) == DATA * 20
    ioc.close()


async def test_a_picture_at_which_connections_end_waits_while_others_go(
    scripted_broker: ScriptedBroker, tmp_path: Path, shelf: PictureShelf
) -> None:
    for _ in range(2):
        put(shelf, DATA)
    bad = shelf.waiting()[0].id

    def answer(message: Published) -> int | None:
        if f"/{bad}/2" in message.topic:
            scripted_broker.link.end()
            return None
        return 0

    scripted_broker.answer = answer
    async with running(scripted_broker, MemorySource(), tmp_path, shelf=shelf, ack="broker"):
        await until(lambda: [kept.id for kept in shelf.waiting()] == [bad], 20, what="the other one")
        assert len(scripted_broker.links) == CUTS + 1
        await asyncio.sleep(0.3)
        assert len(scripted_broker.links) == CUTS + 1, "and the connection holds"


async def test_a_command_of_the_ioc_is_heard_where_somebody_obeys(broker: BenchBroker, tmp_path: Path) -> None:
    ioc = await listener(broker)
    heard: list[Command] = []
    async with running(broker, MemorySource(), tmp_path) as publisher:
        publisher.notices.command = heard.append
        await until(lambda: ready(publisher))
        said = {"v": 1, "id": "c-1", "command": "snapshot", "time_ms": 1, "args": {"device": "cam-01"}}
        await asyncio.to_thread(ioc.say, f"ocg/v1/{GATEWAY}/down/cmd", said, retain=False)
        await until(lambda: heard)
        publisher.notices.command = None
        await asyncio.to_thread(ioc.say, f"ocg/v1/{GATEWAY}/down/cmd", said, retain=False)
        await until(lambda: publisher.state().ignored.get("command") == 1)
    assert [(one.id, one.command, one.args) for one in heard] == [("c-1", "snapshot", {"device": "cam-01"})]
    ioc.close()
