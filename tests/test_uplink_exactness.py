"""Exactness under faults: whatever happens between gateway and IOC, each reading arrives once, and right.

A real store and publisher, a real mosquitto, the reference IOC, and proxies that cut at any byte and meddle with
packets. Short stories with fixed seeds here; a thousand cuts with a new seed each time in `make soak`.
"""

import asyncio
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from mqtt_strangers import listen_for_ever, usurp
from uplink_account import GATEWAY, IocAccount
from uplink_lab import Protocol, UplinkLab, uplink_lab

from simulators.proxy.faults import Fault, FaultName
from simulators.proxy.meddling import Meddling
from simulators.testing import Bench

MIX: Final[tuple[FaultName, ...]] = (
    "cut", "cut", "cut", "cut", "rst", "rst", "rst", "rst", "refuse", "half_open", "blackhole",
    "stall", "slow", "split",
)  # fmt: skip
ACK: Final = f"ocg/v1/{GATEWAY}/down/ack"
REPLAY: Final = f"ocg/v1/{GATEWAY}/down/replay"
DATA: Final = ("up/data", "up/backfill", "up/event")
TRY_AGAIN: Final = (0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97)
"""What a broker may answer while it does not pass a message on (MQTT 5, 3.4.2.1); 0x00 is a lie."""
BAD_PAYLOAD: Final = 0x99
ACKS_ASTRAY: Final = Meddling(topic="down/ack", lost=0.4, late=0.4, max_late_s=1.5, doubled=0.5, stale=0.5)
REFUSALS: Final = Meddling(refused=0.1, refused_topics=DATA, codes=TRY_AGAIN)
SWALLOWED: Final = Meddling(refused=1.0, refused_topics=DATA, codes=(0x00,))
PROTOCOLS: Final = pytest.mark.parametrize("protocol", ["5", "3.1.1"])


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A RAM disk where the machine has one. And what a test cannot wait for is short."""
    monkeypatch.setattr("agent.uplink.outages.TAKEN_OVER_S", 0.5)
    monkeypatch.setattr("agent.uplink.lanes.sender.TICK_S", 0.1)
    shm = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shm if os.access(shm, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def soak_seed(request: pytest.FixtureRequest) -> int:
    """Another one each time, unless it was given."""
    seed: int = request.config.option.soak_seed or int(time.time())
    print(f"\nseed {seed}")
    return seed


@PROTOCOLS
async def test_cuts_of_every_kind_at_any_byte(tmp_path: Path, runtime: Path, bench: Bench, protocol: Protocol) -> None:
    await _cut(tmp_path, runtime, bench, 17, protocol, 16)


@pytest.mark.soak
@PROTOCOLS
async def test_a_thousand_cuts(tmp_path: Path, runtime: Path, bench: Bench, soak_seed: int, protocol: Protocol) -> None:
    await _cut(tmp_path, runtime, bench, soak_seed, protocol, 1_000)


@pytest.mark.soak
async def test_cuts_where_the_word_of_the_broker_counts(
    tmp_path: Path, runtime: Path, bench: Bench, soak_seed: int
) -> None:
    await _cut(tmp_path, runtime, bench, soak_seed, "5", 200, ack_every_s=None)


async def _cut(
    folder: Path, runtime: Path, bench: Bench, seed: int, protocol: Protocol, count: int, **ioc: float | None
) -> None:
    async with uplink_lab(folder, runtime, bench, seed=seed, protocol=protocol, **ioc) as lab:
        lab.way.draw(*MIX)
        await lab.cuts(count)
        await _check(lab)


async def test_while_the_ioc_is_away_nothing_is_sent_and_then_everything(
    tmp_path: Path, runtime: Path, bench: Bench
) -> None:
    async with uplink_lab(tmp_path, runtime, bench, seed=1) as lab:
        for kill in (False, True):
            await lab.until(lambda: lab.publisher.state().ioc_online, 10, "the IOC is there")
            await lab.some_time(0.2, 0.5)
            await lab.end_ioc(kill=kill)
            await lab.until(lambda: lab.publisher.state().ioc_online is False, 10, "the IOC is gone")
            await lab.some_time(0.1, 0.1)
            sent = lab.sent.counts.total()
            await lab.some_time(0.4, 0.4)
            assert lab.sent.counts.total() == sent, "something was sent to nobody"
            await lab.start_ioc()
        await _check(lab)


async def test_what_an_overflowing_broker_drops_is_sent_again(tmp_path: Path, runtime: Path, bench: Bench) -> None:
    stuck = (Fault(name="stall", direction="down", at_byte=5_000, seconds=3_600.0),)
    async with uplink_lab(
        tmp_path, runtime, bench, seed=2, max_queued_messages=50, batch_interval_s=0.02, ioc_faults=stuck
    ) as lab:
        waiting = 2 * 50  # more than the queue and what is in flight
        await lab.until(
            lambda: lab.sent.counts.total() > lab.arrived.counts.total() + waiting, 30, "the IOC does not keep up"
        )
        lab.tell("the IOC goes on")
        lab.ioc_way.heal()
        await _check(lab)
        assert lab.sent.counts.total() > lab.arrived.counts.total(), "the broker has dropped nothing"
        assert not lab.publisher.state().rejected, "the broker has said so"


async def test_a_session_that_another_client_takes_over(tmp_path: Path, runtime: Path, bench: Bench) -> None:
    async with uplink_lab(tmp_path, runtime, bench, seed=3) as lab:
        await lab.until(lambda: lab.publisher.state().acked, 10, "it sends")
        connections = lab.way.connections
        async with _meanwhile(_takeover(lab, 60, says_so=False)):
            await lab.until(lambda: lab.way.connections > connections + 3, 20, "it was thrown out")
        await lab.until(lambda: lab.publisher.state().connected, 10, "it is back")
        async with _meanwhile(_takeover(lab, 60, says_so=True)):
            await lab.until(lambda: "security.takeover" in lab.reported, 20, "it knows of the other")
        ioc = await _check(lab)
        assert ioc.events("security.takeover")


async def test_acks_lost_late_doubled_stale_and_of_nobody(tmp_path: Path, runtime: Path, bench: Bench) -> None:
    async with uplink_lab(tmp_path, runtime, bench, seed=4, ack_every_s=0.05) as lab:
        lab.way.meddle(ACKS_ASTRAY)
        for _ in range(5):
            await lab.some_time(0.2, 0.4)
            before = lab.way.done["refused"]
            lab.way.meddle(SWALLOWED)  # so that a lie that is believed costs something
            await lab.until(lambda before=before: lab.way.done["refused"] >= before + 3, 30, "batches that no IOC has")
            await _lie(lab)
            lab.way.meddle(ACKS_ASTRAY)
            lab.way.cut(reset=lab.random.random() < 0.5)
        names = ("lost", "late", "doubled", "stale", "injected")
        await lab.until(lambda: all(lab.way.done[name] for name in names), 30, "acks of every kind")
        await _check(lab)


async def test_a_broker_that_is_killed_forgets_what_was_retained(tmp_path: Path, runtime: Path, bench: Bench) -> None:
    """While somebody else listens, whom the broker passes on to, and who acknowledges nothing."""
    async with (
        uplink_lab(tmp_path, runtime, bench, seed=5) as lab,
        _meanwhile(listen_for_ever(lab.broker.port)),
    ):
        for away_s in (0.0, 0.7):
            await lab.until(lambda: lab.publisher.state().ioc_online, 10, "the IOC is there")
            await lab.some_time(0.3, 0.6)
            await lab.restart_broker(away_s)
        await _check(lab)


async def test_refusals_that_pass_lose_nothing(tmp_path: Path, runtime: Path, bench: Bench) -> None:
    async with uplink_lab(tmp_path, runtime, bench, seed=6) as lab:
        lab.way.meddle(REFUSALS)
        await lab.until(lambda: lab.way.done["refused"] >= 6, 30, "six refusals")
        await _check(lab)


async def test_what_is_refused_for_good_is_declared_and_the_rest_arrives(
    tmp_path: Path, runtime: Path, bench: Bench
) -> None:
    async with uplink_lab(tmp_path, runtime, bench, seed=8) as lab:
        lab.way.meddle(Meddling(refused=0.1, refused_topics=DATA, codes=(BAD_PAYLOAD,)))
        await lab.until(lambda: lab.way.done["refused"] >= 3, 30, "three refusals")
        lab.way.heal()
        await lab.some_time(1.0, 1.0)  # what is sealed now says in `low` that they will not come any more
        await _check(lab, dead=True)
        assert lab.publisher.state().dead == lab.way.done["refused"]


async def test_replays_under_cuts_are_all_answered_and_send_what_they_say(
    tmp_path: Path, runtime: Path, bench: Bench
) -> None:
    async with uplink_lab(tmp_path, runtime, bench, seed=10) as lab:
        lab.way.draw(*MIX)
        asked = [await _ask(lab, f"r-{number}") for number in range(2)]
        await lab.cuts(4)
        lab.way.heal()
        await lab.until(lambda: not lab.publisher.state().replays, 90, "every replay is answered")
        ioc = await _check(lab)
        results = {result["id"]: result for result in ioc.results()}
        assert sorted(results) == ["r-0", "r-1"]
        for number, high in enumerate(asked):
            result = results[f"r-{number}"]
            assert result["ok"], result
            assert (result["ranges"], result.get("missing")) == ([[1, high]], None)


async def test_everything_at_once(tmp_path: Path, runtime: Path, bench: Bench) -> None:
    await _everything(tmp_path, runtime, bench, 9, "5", 12)


@pytest.mark.soak
@PROTOCOLS
async def test_everything_at_once_at_length(
    tmp_path: Path, runtime: Path, bench: Bench, soak_seed: int, protocol: Protocol
) -> None:
    await _everything(tmp_path, runtime, bench, soak_seed, protocol, 500)


async def _everything(folder: Path, runtime: Path, bench: Bench, seed: int, protocol: Protocol, count: int) -> None:
    async with uplink_lab(folder, runtime, bench, seed=seed, protocol=protocol, max_queued_messages=50) as lab:
        lab.way.draw(*MIX)
        while lab.way.cuts < count:
            await lab.some_time(0.1, 1.0)
            await lab.random.choice(TROUBLES)(lab)
        await _check(lab)


@asynccontextmanager
async def _meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _takeover(lab: UplinkLab, seconds: float, *, says_so: bool) -> None:
    lab.tell(f"another client takes the session for {seconds:.2f} s{', and says so' if says_so else ''}")
    version = 5 if lab.protocol == "5" else 4
    await usurp(lab.broker.port, GATEWAY, seconds, version, says_so=says_so)


async def _ask(lab: UplinkLab, id_: str) -> int:
    """Ask for everything that was sealed so far, until the gateway has heard it; gives the highest number."""
    await lab.some_time(0.3, 0.6)
    high = lab.store.high
    lab.tell(f"replay {id_} of 1 to {high}")
    said = {"v": 1, "id": id_, "time_ms": 1, "epoch": lab.store.epoch, "ranges": [[1, high]]}

    def heard() -> bool:
        lab.way.inject(REPLAY, json.dumps(said).encode())
        return id_ in (*lab.publisher.state().replays, *lab.answered)

    await lab.until(heard, 30, "it is heard")
    return high


async def _lie(lab: UplinkLab) -> None:
    """Acks that no IOC has sent: each of them, believed, would lose everything that is on its way."""
    lab.tell("acks that nobody has sent")
    epoch, far = lab.store.epoch, lab.store.high + 1_000
    for said in (
        {"v": 1, "epoch": "0" * 16, "cumulative": lab.store.high, "selective": [], "time_ms": 1},
        {"v": 1, "epoch": epoch, "cumulative": far, "selective": [], "time_ms": 1},
        {"v": 1, "epoch": epoch, "cumulative": 0, "selective": [[1, far]], "time_ms": 1},
        {"v": 1, "epoch": epoch, "cumulative": -1, "selective": [], "time_ms": 1},
        {"v": 2, "epoch": epoch, "cumulative": lab.store.high, "selective": [], "time_ms": 1},
    ):
        lab.way.inject(ACK, json.dumps(said).encode())
    lab.way.inject(ACK, lab.random.randbytes(lab.random.randrange(200)))


async def _meddle(lab: UplinkLab, meddling: Meddling) -> None:
    lab.tell(f"for a while: {meddling}")
    lab.way.meddle(meddling)
    await lab.some_time(0.5, 3.0)
    lab.way.meddle(None)


async def _cut_the_ioc(lab: UplinkLab) -> None:
    lab.tell("the IOC's connection is reset")
    lab.ioc_uncut = False
    lab.ioc_way.cut(reset=True)


async def _check(lab: UplinkLab, *, dead: bool = False) -> IocAccount:
    report = await lab.finish()
    print(lab.figures())
    return lab.check(report, dead=dead)


TROUBLES: Final[tuple[Callable[[UplinkLab], Awaitable[object]], ...]] = (
    lambda lab: lab.restart_broker(lab.random.uniform(0.0, 1.0)),
    lambda lab: lab.restart_ioc(lab.random.uniform(0.0, 1.0), kill=lab.random.random() < 0.5),
    lambda lab: _takeover(lab, lab.random.uniform(0.3, 1.5), says_so=lab.random.random() < 0.5),
    lambda lab: _meddle(lab, ACKS_ASTRAY),
    lambda lab: _meddle(lab, REFUSALS),
    lambda lab: _meddle(lab, Meddling(pubacks_lost=0.1)),
    _lie,
    _cut_the_ioc,
)
