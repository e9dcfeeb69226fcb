"""Faults of the uplink that are there for a time: the pace of the proxy, its lost connections, a broker that is killed."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from simulators.brokers.broker import broker
from simulators.faults.fault import make_fault
from simulators.mqtt.address import parse_broker
from simulators.proxy.pace import Pace, Pacer
from simulators.proxy.proxy import Proxy, proxy
from simulators.scenario.recorder import Recorder
from simulators.scenario.timeline import Window, windows
from simulators.scenario.uplink import Uplink, meddling, pace

TIMEOUT_S = 10.0


def window(name: str, for_s: float = 100.0, **keys: float) -> Window:
    (found,) = windows([make_fault({"name": name, "on": "uplink", "for_s": for_s, **keys})], 1_000, 0)
    return found


@pytest.mark.parametrize(
    ("told", "size", "wanted"),
    [
        (Pace(), 5_000, (0.0, 5_000)),
        (Pace(stands=True), 5_000, (math.inf, 0)),
        (Pace(gap_s=0.2), 5_000, (0.2, 1)),
        (Pace(gap_s=0.2, bytes_per_s=2), 5_000, (0.5, 1)),
        (Pace(bytes_per_s=1_000), 5_000, (0.05, 50)),
        (Pace(bytes_per_s=1), 5_000, (1.0, 1)),
        (Pace(bytes_per_s=1_000), 10, (0.01, 10)),
    ],
)
def test_a_pace_says_how_much_goes_on_after_how_long(told: Pace, size: int, wanted: tuple[float, int]) -> None:
    step = told.step(size)
    assert (step.wait_s, step.size) == pytest.approx(wanted)


async def test_what_stands_goes_on_as_soon_as_it_may() -> None:
    pacer = Pacer()
    pacer.set(Pace(stands=True))
    waiting = asyncio.create_task(pacer.room(10))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    pacer.set(Pace())
    async with asyncio.timeout(TIMEOUT_S):
        assert await waiting == 10


def test_faults_that_are_there_together_are_laid_over_one_another() -> None:
    faults = [window("stall").fault, window("slow", bytes_per_s=50).fault, window("slow", bytes_per_s=20).fault]
    assert pace(faults) == Pace(stands=True, bytes_per_s=20)
    assert pace([]) == Pace()
    assert meddling(faults) is None
    found = meddling([window("nack", code=0x87, share=0.5).fault, window("ack_late", max_s=3).fault])
    assert found is not None
    assert (found.refused, found.codes, found.late, found.max_late_s, found.lost) == (0.5, (0x87,), 1.0, 3.0, 0.0)
    assert found.topic == "/down/ack"


@asynccontextmanager
async def echoing() -> AsyncIterator[Proxy]:
    """A proxy before a server that says back what it hears."""

    serving: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        with suppress(ConnectionError):
            while data := await reader.read(1_000):
                writer.write(data)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with proxy(server.sockets[0].getsockname()[1], mqtt=False) as way:
        yield way
    server.close()
    await asyncio.gather(*filter(None, serving))
    await asyncio.sleep(0.01)  # the sockets are closed in the next round of the loop


async def says(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout_s: float) -> bytes:
    """What comes back for a byte; empty for an end, `silent` for nothing."""
    writer.write(b"x")
    try:
        async with asyncio.timeout(timeout_s):
            return await reader.read(1)
    except TimeoutError:
        return b"silent"
    except ConnectionError:
        return b""


async def test_a_lost_connection_is_silent_until_it_is_given_back_and_a_new_one_works() -> None:
    async with echoing() as way:
        lost = await asyncio.open_connection("127.0.0.1", way.port)
        assert await says(*lost, TIMEOUT_S) == b"x"
        assert way.lose() == 1
        assert await says(*lost, 0.2) == b"silent"
        fresh = await asyncio.open_connection("127.0.0.1", way.port)
        assert await says(*fresh, TIMEOUT_S) == b"x"
        way.give_back()
        assert await says(*lost, TIMEOUT_S) == b""
        assert await says(*fresh, TIMEOUT_S) == b"x"
        for _, writer in (lost, fresh):
            writer.transport.abort()


async def test_what_a_blackhole_has_swallowed_is_closed_when_it_is_over() -> None:
    async with echoing() as way:
        uplink = Uplink(way, None, None, None)  # type: ignore[arg-type] # neither broker nor recorder is asked
        hole = window("blackhole")
        before = await asyncio.open_connection("127.0.0.1", way.port)
        assert await says(*before, TIMEOUT_S) == b"x"
        await uplink.begin(hole)
        during = await asyncio.open_connection("127.0.0.1", way.port)
        assert [await says(*one, 0.2) for one in (before, during)] == [b"silent", b"silent"]
        await uplink.end(hole)
        assert [await says(*one, TIMEOUT_S) for one in (before, during)] == [b"", b""]
        after = await asyncio.open_connection("127.0.0.1", way.port)
        assert await says(*after, TIMEOUT_S) == b"x"
        for _, writer in (before, during, after):
            writer.transport.abort()


async def test_one_of_two_stalls_ends_and_nothing_goes_on_until_the_other_has_too() -> None:
    async with echoing() as way:
        uplink = Uplink(way, None, None, None)  # type: ignore[arg-type] # neither broker nor recorder is asked
        one, other = window("stall"), window("stall", for_s=50)
        here = await asyncio.open_connection("127.0.0.1", way.port)
        await uplink.begin(one)
        await uplink.begin(other)
        await uplink.end(one)
        assert await says(*here, 0.2) == b"silent"
        await uplink.end(other)
        async with asyncio.timeout(TIMEOUT_S):
            assert await here[0].read(1) == b"x"
        here[1].transport.abort()


async def test_nobody_is_let_in_after_a_kill_of_the_broker_before_the_recorder_listens(tmp_path: Path) -> None:
    async with broker(tmp_path) as mqtt, proxy(mqtt.port) as way:
        recorder = Recorder(parse_broker(mqtt.url), mqtt.protocol, None)
        listening = asyncio.create_task(recorder.run())
        async with asyncio.timeout(TIMEOUT_S):
            await recorder.ready.wait()
        uplink, kill = Uplink(way, mqtt, recorder, None), window("broker_kill")
        await uplink.begin(kill)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", way.port)
        ended = asyncio.create_task(uplink.end(kill))
        heard_first = await _first_connection(way.port, recorder)
        await ended
        assert heard_first
        listening.cancel()
        await asyncio.gather(listening, return_exceptions=True)
        await asyncio.sleep(0.01)


async def _first_connection(port: int, recorder: Recorder) -> bool:
    """Whether the recorder listens by the time when somebody gets in."""
    end_s = time.monotonic() + 30
    while time.monotonic() < end_s:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
            continue
        writer.transport.abort()
        return recorder.ready.is_set()
    raise AssertionError("nobody gets in any more")
