"""Replays and the IOC's clock, over a real broker."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from uplink_helpers import EPOCH, GATEWAY, Ioc, MemorySource, listener, ready, running, until

from agent.model import Event, Result
from simulators.testing import BenchBroker

REPLAY = f"ocg/v1/{GATEWAY}/down/replay"


def asked(id_: str, **fields: Any) -> dict[str, Any]:
    return {"v": 1, "id": id_, "time_ms": 1} | fields


async def say(ioc: Ioc, topic: str, message: dict[str, Any], *, retain: bool = False) -> None:
    await asyncio.to_thread(ioc.say, topic, message, retain=retain)


async def test_the_ioc_asks_over_the_broker_and_gets_the_batches_and_their_results(
    broker: BenchBroker, tmp_path: Path
) -> None:
    ioc, source, results = await listener(broker), MemorySource(), list[Result]()
    async with running(broker, source, tmp_path, ack="broker") as publisher:
        publisher.notices.result = results.append
        await until(lambda: ready(publisher))
        for _ in range(5):
            source.seal()
        await until(lambda: len(source.delivered) == 5)
        await say(ioc, REPLAY, asked("r-1", epoch=EPOCH, ranges=[[2, 3], [9, 9]]))
        await until(lambda: results)
        await until(lambda: ioc.seqs("backfill") == [2, 3])
        await say(ioc, REPLAY, asked("r-2", epoch="0" * 16, ranges=[[1, 1]]))
        await say(ioc, REPLAY, asked("r-1", epoch=EPOCH, ranges=[[2, 3]]))
        await until(lambda: publisher.state().ignored.get("replay") == 1)
    assert [(one.id, one.ok, list(one.ranges), list(one.missing)) for one in results] == [
        ("r-1", True, [(2, 3)], [(9, 9)]), ("r-2", False, [], []),
    ]  # fmt: skip
    ioc.close()


async def test_a_replay_survives_a_restart_of_the_gateway(broker: BenchBroker, tmp_path: Path) -> None:
    ioc, source = await listener(broker), MemorySource()
    for _ in range(5):
        source.seal()
    source.mark_delivered([(1, 5)])
    source.unreadable = True
    request = asked("r-1", epoch=EPOCH, ranges=[[1, 5]])
    file = tmp_path / "replays.json"
    async with running(broker, source, tmp_path, ack="broker") as publisher:
        await until(lambda: ready(publisher))
        await say(ioc, REPLAY, request)
        await until(lambda: file.exists() and json.loads(file.read_bytes()))
    source.unreadable = False
    results = list[Result]()
    async with running(broker, source, tmp_path, ack="broker") as publisher:
        publisher.notices.result = results.append
        await until(lambda: results)
        await until(lambda: ioc.seqs("backfill") == [1, 2, 3, 4, 5])
        await until(lambda: json.loads(file.read_bytes()) == [])
    assert (results[0].id, list(results[0].ranges)) == ("r-1", [(1, 5)])
    ioc.close()


async def test_a_clock_that_differs_from_the_iocs_raises_an_alarm_and_is_not_set(
    broker: BenchBroker, tmp_path: Path, wall_ms: Callable[[], int]
) -> None:
    ioc, events = await listener(broker), list[Event]()
    behind = {"v": 1, "online": True, "time_ms": wall_ms() + 120_000, "ack": False}
    old = behind | {"time_ms": wall_ms() - 86_400_000}
    await say(ioc, "ocg/v1/ioc/state", old, retain=True)
    async with running(broker, MemorySource(), tmp_path) as publisher:
        publisher.notices.event = events.append
        await until(lambda: ready(publisher))
        assert events == [], "a retained state may be a day old"
        await say(ioc, "ocg/v1/ioc/state", behind, retain=True)
        await until(lambda: len(events) == 1)
        await say(ioc, "ocg/v1/ioc/state", behind | {"time_ms": wall_ms()}, retain=True)
        await until(lambda: len(events) == 2)
        await say(ioc, "ocg/v1/ioc/state", old, retain=True)
        await until(lambda: len(events) == 3)
    assert [(event.type, event.reason) for event in events] == [
        ("alarm.raise", "clock"), ("alarm.clear", "clock"), ("alarm.raise", "clock"),
    ]  # fmt: skip
    ioc.close()
