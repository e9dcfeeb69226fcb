"""From a picture that was taken to the IOC, and from the IOC's wish to its result."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from fake_clock import FakeClock
from picture_samples import taken

from agent.commands import Commands
from agent.model import Event, Result, Snapshot
from agent.pictures import Pictures
from agent.polling.pictures import PictureFailed, PictureRequests
from agent.settings import PictureKeys
from agent.store.pictures import PictureShelf
from agent.uplink.downlink.messages import Command

KEYS = PictureKeys(purpose="flood-verification", class_="possible", keep_days=7)
CAMERA: Any = SimpleNamespace(name="cam-01", picture=KEYS)


class Store:
    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self.results: list[Result] = []
        self.events: list[Event] = []
        self.full = False
        self.on_snapshot: Any = lambda: None

    def append_snapshot(self, snapshot: Snapshot) -> bool:
        self.on_snapshot()
        if not self.full:
            self.snapshots.append(snapshot)
        return not self.full

    def append_result(self, result: Result) -> None:
        self.results.append(result)

    def append_event(self, event: Event) -> None:
        self.events.append(event)


class Bench:
    def __init__(self, folder: Path, max_bytes: int = 1_000_000) -> None:
        clock = FakeClock()
        self.shelf = PictureShelf(folder / "pictures", max_bytes, clock, Random(1))
        self.shelf.open()
        self.store = Store()
        self.requests = PictureRequests()
        self.ids = count(1)
        self.pictures = Pictures(self.shelf, self.store)  # type: ignore[arg-type]
        self.commands = Commands({"snapshot": self.pictures.snapshot}, self.store, clock)  # type: ignore[arg-type]
        self.pictures.pollers = [self]

    def ask_picture(self, name: str, why: str) -> asyncio.Future[str] | None:
        return self.requests.ask(name, why) if name == "cam-01" else None

    async def results(self, wanted: int) -> list[Result]:
        async with asyncio.timeout(5):
            while len(self.store.results) < wanted:
                await asyncio.sleep(0.001)
        return self.store.results


@asynccontextmanager
async def told(bench: Bench, **args: Any) -> AsyncIterator[None]:
    bench.commands.heard(Command(v=1, id=f"c-{next(bench.ids)}", command="snapshot", args=args))
    await asyncio.sleep(0)
    yield


async def test_a_picture_is_announced_only_once_it_is_safe_on_the_card(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.store.on_snapshot = lambda: files.extend((tmp_path / "pictures" / "taken").glob("*.jpg"))
    files: list[Path] = []
    picture_id = await bench.pictures.keep(CAMERA, taken(b"abc"), "schedule")
    assert len(files) == 1, "when the store was told, the file was there"
    assert [kept.id for kept in bench.shelf.waiting()] == [picture_id]
    assert bench.store.snapshots[0].privacy.purpose == "flood-verification"


async def test_what_cannot_be_announced_is_not_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.store.full = True
    with pytest.raises(PictureFailed, match="RAM disk"):
        await bench.pictures.keep(CAMERA, taken(b"abc"), "schedule")
    assert bench.shelf.bytes() == 0


async def test_without_a_purpose_no_picture_is_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    with pytest.raises(PictureFailed, match="what is it for"):
        await bench.pictures.keep(SimpleNamespace(name="cam-01", picture=None), taken(b"abc"), "x")  # type: ignore[arg-type]
    assert bench.store.snapshots == []


async def test_a_picture_that_had_to_go_unsent_is_declared_to_the_ioc(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_bytes=100)
    for _ in range(2):
        await bench.pictures.keep(CAMERA, taken(bytes(80)), "schedule")
    assert [(event.type, event.reason) for event in bench.store.events] == [("data.lost", "picture_room")]


async def test_the_ioc_that_asks_for_a_picture_gets_a_result(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with told(bench, device="cam-01"):
        assert bench.requests.why("cam-01") == "command c-1"
        bench.requests.taken("cam-01", "id-1")
    (result,) = await bench.results(1)
    assert (result.id, result.ok, result.error) == ("c-1", True, None)


@pytest.mark.parametrize(
    ("args", "why"), [({"device": "cam-99"}, "no camera"), ({}, "no `device`"), ({"device": 7}, "no `device`")]
)
async def test_a_picture_that_cannot_be_had_gets_a_result_too(args: dict[str, Any], why: str, tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with told(bench, **args):
        (result,) = await bench.results(1)
    assert not result.ok
    assert why in (result.error or "")


async def test_a_picture_that_was_sent_is_sent_again_when_the_ioc_asks_for_its_id(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    picture_id = await bench.pictures.keep(CAMERA, taken(b"abc"), "schedule")
    bench.shelf.sent(bench.shelf.waiting()[0])
    poked: list[int] = []
    bench.pictures.on_kept = lambda: poked.append(1)
    async with told(bench, id=picture_id):
        assert (await bench.results(1))[0].ok
    assert [kept.id for kept in bench.shelf.waiting()] == [picture_id]
    assert poked == [1]
    async with told(bench, id="../../etc/passwd"):
        assert (await bench.results(2))[1].error == "that picture is not here any more"


async def test_a_camera_that_fails_is_the_result(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with told(bench, device="cam-01"):
        bench.requests.failed("cam-01", "the lens is dark")
    assert (await bench.results(1))[0].error == "the lens is dark"
