"""What the broker takes is known again after a restart."""

import asyncio
from pathlib import Path

from uplink_helpers import MemorySource, ready, running, until

from agent.uplink.lanes.payload_limit import LIMIT_FILE, PayloadLimit
from simulators.scripted_broker import Connack, ScriptedBroker


async def test_the_limit_of_the_broker_counts_after_a_restart_in_an_outage(
    scripted_broker: ScriptedBroker, tmp_path: Path
) -> None:
    scripted_broker.connacks = [Connack(properties={"maximum_packet_size": 9_000})]
    async with running(scripted_broker, MemorySource(), tmp_path) as publisher:
        await until(lambda: ready(publisher) and (tmp_path / LIMIT_FILE).exists())
    source = MemorySource()
    async with running(scripted_broker, source, tmp_path, port=1):
        await until(lambda: source.limit is not None)
    assert source.limit is not None
    assert 8_000 < source.limit < 9_000


async def test_a_limit_that_is_lifted_is_forgotten(tmp_path: Path) -> None:
    limit = PayloadLimit(MemorySource(), tmp_path)
    keeping = asyncio.create_task(limit.keep())
    limit.set(9_000, None)
    await until(lambda: (tmp_path / LIMIT_FILE).exists() and (tmp_path / LIMIT_FILE).read_bytes() == b"9000")
    limit.set(None, None)
    await until(lambda: (tmp_path / LIMIT_FILE).read_bytes() == b"null")
    keeping.cancel()


async def test_without_a_file_there_is_no_limit(tmp_path: Path) -> None:
    source = MemorySource()
    await PayloadLimit(source, tmp_path).recall()
    assert source.limit is None
