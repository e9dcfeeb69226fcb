"""Rows go to an IOC that says that it reads them, from its first word on to its next, and to no other."""

import asyncio
from pathlib import Path

from contract_check import decoded, with_names
from fake_clock import FakeClock
from store_lab import Lab
from uplink_helpers import GATEWAY, Ioc, MemorySource, listener, quick, ready, running, settings, until

from agent.clock import SystemClock
from agent.uplink.publisher import Publisher
from simulators.scripted_broker import ScriptedBroker
from simulators.testing import Bench

STATE = "ocg/v1/ioc/state"


async def test_the_store_is_told_whether_the_ioc_reads_rows(scripted_broker: ScriptedBroker, tmp_path: Path) -> None:
    source = MemorySource()
    source.rows = True
    up = b'{"v":1,"online":true,"ack":false,"time_ms":1795432700000'
    async with running(scripted_broker, source, tmp_path, ack="broker") as publisher:
        await until(lambda: ready(publisher))
        assert source.rows is False, "it has not said so"
        scripted_broker.link.say(STATE, up + b',"encodings":["json","rows"]}')
        await until(lambda: source.rows is True)
        scripted_broker.link.say(STATE, b'{"v":1,"online":false,"time_ms":1795432700000}')
        scripted_broker.link.say(STATE, up + b',"encodings":["json","deflate"]}')
        await until(lambda: source.rows is False)
        scripted_broker.link.say(STATE, up + b',"encodings":["rows"]}')
        await until(lambda: source.rows is True)
        scripted_broker.link.say(STATE, b"")
        await until(lambda: source.rows is False, what="the state was taken away")


async def test_an_uplink_begins_with_names_also_while_there_is_no_connection(
    scripted_broker: ScriptedBroker, tmp_path: Path
) -> None:
    source = MemorySource()
    source.rows = True
    async with running(scripted_broker, source, tmp_path, port=1):
        await until(lambda: source.rows is False, what="it may go to another IOC than the one before")


async def test_an_ioc_gets_rows_where_it_says_that_it_reads_them_and_names_where_it_does_not(
    bench: Bench, lab: Lab, tmp_path: Path
) -> None:
    lab.clock, lab.rows = FakeClock(), None
    broker = bench.broker()
    overheard = await listener(broker)
    async with lab.open() as store:
        publisher = Publisher(settings(broker.port, tmp_path), store, SystemClock(), quick)
        store.on_sealed = publisher.on_sealed
        running_ = asyncio.create_task(publisher.run(), name="uplink")
        try:
            assert await batch_in_rows(store, lab, overheard) is False, "nobody has said anything"
            first = bench.ioc(broker, ack_every_s=0.1)
            await until(lambda: store._parts.rows)
            assert await batch_in_rows(store, lab, overheard) is True
            first.stop()
            assert store._parts.rows, "it went away, and did not unsay it"
            second = bench.ioc(broker, "--no-rows", ack_every_s=0.1)
            await until(lambda: not store._parts.rows)
            assert await batch_in_rows(store, lab, overheard) is False
            await until(lambda: store.stats().undelivered == 0, 20)
            newest = {reading.value for one in (first, second) for reading in one.readings()}
            assert newest == {10, 20, 30}, "each batch is of one time"
        finally:
            running_.cancel()
            await asyncio.wait([running_])
            overheard.close()


async def batch_in_rows(store, lab: Lab, overheard: Ioc) -> bool:  # type: ignore[no-untyped-def]
    """Whether the next batch of ten readings came in rows."""
    numbers = lab.read(store, 10)
    await lab.live(store, 1.25)
    topics = {f"ocg/v1/{GATEWAY}/up/data", f"ocg/v1/{GATEWAY}/up/backfill"}

    def found() -> list[bool]:
        batches = [decoded(payload) for topic, payload in overheard.messages if topic in topics]
        return [
            "shapes" in batch
            for batch in batches
            if numbers[0] in [scan["values"]["n"] for scan in with_names(dict(batch))["scans"]]
        ]

    await until(found, 20, what="the batch")
    return found()[0]
