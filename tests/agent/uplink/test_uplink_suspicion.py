"""A batch that ends connections: found, put aside only where the broker says that it is at fault, and the rest flows."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uplink_helpers import MemorySource, running, until

from agent.clock import NS_PER_S, SystemClock
from agent.uplink.lanes import suspicion as suspicion_module
from agent.uplink.lanes.suspicion import CUTS, MAX_SUSPECTS, POSTPONED_S, Suspicion
from simulators.scripted_broker import Connack, Published, ScriptedBroker

S = NS_PER_S
LATER = round(POSTPONED_S * S)
HIDDEN_LIMIT = 5_000


def test_one_end_makes_no_suspect_and_two_in_a_row_make_those_that_were_in_flight_at_both() -> None:
    suspicion = Suspicion()
    assert suspicion.ended([1, 2, 3], None, 0, alone=False) is None
    assert suspicion.next(0) is None
    suspicion.ended([2, 3, 4], None, 0, alone=False)
    assert [seq in suspicion for seq in (1, 2, 3, 4)] == [False, True, True, False]
    assert suspicion.next(0) == 2


def test_an_end_with_nothing_in_flight_says_nothing() -> None:
    suspicion = Suspicion()
    suspicion.ended([1], None, 0, alone=False)
    suspicion.ended([], None, 0, alone=False)
    suspicion.ended([1], None, 0, alone=False)
    assert 1 in suspicion


def test_what_was_answered_in_between_is_no_suspect() -> None:
    suspicion = Suspicion()
    suspicion.ended([1, 2], None, 0, alone=False)
    suspicion.clear(1)
    suspicion.ended([1, 2], None, 0, alone=False)
    assert (1 in suspicion, 2 in suspicion) == (False, True)
    suspicion.clear(2)
    assert suspicion.next(0) is None


@pytest.mark.parametrize("code", [0x95, 0x99])
def test_a_disconnect_about_a_message_makes_all_in_flight_suspects_and_condemns_the_one_that_is_alone(
    code: int,
) -> None:
    suspicion = Suspicion()
    assert suspicion.ended([1, 2], code, 0, alone=False) is None
    assert (1 in suspicion, 2 in suspicion) == (True, True)
    assert suspicion.ended([2], code, 0, alone=False) is None, "a picture was in flight beside it"
    assert suspicion.ended([2], code, 0, alone=True) == 2
    assert 2 not in suspicion


@pytest.mark.parametrize("code", [None, 0x80, 0x82, 0x8B, 0x8E, 0x97])
def test_no_other_end_condemns_and_after_three_cuts_alone_it_is_put_off_and_tried_once_more(code: int | None) -> None:
    suspicion = Suspicion()
    for _ in range(2):
        assert suspicion.ended([7], code, 0, alone=True) is None
    for cut in range(CUTS):
        assert suspicion.next(0) == 7, cut
        assert suspicion.ended([7], code, 0, alone=True) is None
    assert (7 in suspicion, suspicion.next(LATER - 1), suspicion.next(LATER)) == (True, None, 7)
    assert suspicion.ended([7], code, LATER, alone=True) is None
    assert (suspicion.next(2 * LATER - 1), suspicion.next(2 * LATER)) == (None, 7)


def test_a_suspect_that_is_put_off_stays_one_until_it_is_answered() -> None:
    suspicion = Suspicion()
    for _ in range(2):
        suspicion.ended([3, 9], None, 0, alone=False)
    for _ in range(CUTS):
        suspicion.ended([3], None, 0, alone=True)
        suspicion.ended([9], None, 0, alone=True)
    suspicion.clear(9)
    assert (3 in suspicion, suspicion.next(0)) == (True, None)


def test_a_suspect_that_was_cut_less_often_goes_before() -> None:
    suspicion = Suspicion()
    for _ in range(2):
        suspicion.ended([3, 9], None, 0, alone=False)
    suspicion.ended([3], None, 0, alone=True)
    assert suspicion.next(0) == 9
    suspicion.ended([9], None, 0, alone=True)
    assert suspicion.next(0) == 3


ENDS = st.lists(
    st.tuples(st.sets(st.integers(1, 400), max_size=20), st.sampled_from([None, 0x8B, 0x95]), st.booleans())
)


@given(ENDS)
def test_condemned_is_only_what_was_alone_at_an_end_that_blames_a_message_and_suspects_are_bounded(ends: Any) -> None:
    suspicion = Suspicion()
    for seqs, code, alone in ends:
        condemned = suspicion.ended(seqs, code, 0, alone=alone)
        if alone and len(seqs) == 1 and code == 0x95:
            assert {condemned} == seqs
        else:
            assert condemned is None
        assert sum(seq in suspicion for seq in range(401)) <= MAX_SUSPECTS


def ends_at_long_ones(scripted_broker: ScriptedBroker, code: int | None) -> Callable[[Published], int | None]:
    """A broker with a limit that it does not tell: it ends the connection, with `code` or without a word."""

    def answer(message: Published) -> int | None:
        if message.packet_bytes > HIDDEN_LIMIT:
            scripted_broker.link.end(code)
            return None
        return 0

    return answer


def backlog(source: MemorySource) -> set[int]:
    """Thirty batches; gives the numbers of those that are too long."""
    for number in range(1, 31):
        source.seal(size=10_000 if number in (3, 20) else 0)
    return {3, 20}


async def test_a_batch_for_which_the_broker_disconnects_with_0x95_is_put_aside_and_the_rest_flows(
    scripted_broker: ScriptedBroker, tmp_path: Path
) -> None:
    scripted_broker.answer = ends_at_long_ones(scripted_broker, 0x95)
    source = MemorySource()
    long = backlog(source)
    async with running(scripted_broker, source, tmp_path, ack="broker") as publisher:
        await until(lambda: not source.batches, 20)
        assert set(source.dead) == long
        assert set(source.delivered) == set(range(1, 31)) - long
        assert publisher.state().dead == 2
        assert len(scripted_broker.links) <= 8
        source.seal()
        await until(lambda: source.delivered[-1] == 31)


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_batch_at_which_the_connection_is_cut_without_a_word_is_put_off_never_lost_and_the_rest_flows(
    scripted_broker: ScriptedBroker, tmp_path: Path, protocol: str
) -> None:
    scripted_broker.answer = ends_at_long_ones(scripted_broker, None)
    source = MemorySource()
    long = backlog(source)
    async with running(scripted_broker, source, tmp_path, ack="broker", protocol=protocol) as publisher:
        suspicion = publisher._route.suspicion
        await until(lambda: set(source.batches) == long, 20)
        await until(lambda: suspicion.next(SystemClock().mono_ns()) is None, 20)
        assert all(seq in suspicion for seq in long)
        source.seal()
        await until(lambda: source.delivered[-1] == 31)
        links = len(scripted_broker.links)
        assert links <= 20
        for _ in range(10):
            source.seal()
            await asyncio.sleep(0.02)
        await until(lambda: set(source.batches) == long)
        assert source.dead == []
        assert len(scripted_broker.links) == links, "what is put off cuts no connection"


async def test_what_was_put_off_goes_when_the_way_is_free_again(
    scripted_broker: ScriptedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspicion_module, "POSTPONED_S", 1.0)
    scripted_broker.answer = ends_at_long_ones(scripted_broker, None)
    source = MemorySource()
    source.seal(size=10_000)
    source.seal()
    async with running(scripted_broker, source, tmp_path, ack="broker"):
        await until(lambda: len(scripted_broker.links) == 2 + CUTS + 1)
        await until(lambda: set(source.batches) == {1})
        scripted_broker.answer = lambda message: 0
        await until(lambda: not source.batches)
        assert source.dead == []


async def test_long_packets_that_hang_on_the_way_do_not_keep_the_short_ones_from_flowing(
    scripted_broker: ScriptedBroker, tmp_path: Path
) -> None:
    """A black hole for long packets: nobody answers them, and nothing that is sent behind them arrives."""

    def answer(message: Published) -> int | None:
        hangs = any(m.packet_bytes > HIDDEN_LIMIT for m in scripted_broker.link.published)
        return None if hangs else 0

    scripted_broker.answer = answer
    source = MemorySource()
    for number in range(1, 6):
        source.seal(size=10_000 if number == 2 else 0)
    async with running(scripted_broker, source, tmp_path, ack="broker", silence_s=0.2):
        await until(lambda: set(source.batches) == {2}, 20)
        assert source.dead == []


async def test_a_long_batch_is_put_aside_at_once_where_the_broker_tells_its_limit(
    scripted_broker: ScriptedBroker, tmp_path: Path
) -> None:
    scripted_broker.connacks = [Connack(properties={"maximum_packet_size": HIDDEN_LIMIT})]
    source = MemorySource()
    long = backlog(source)
    async with running(scripted_broker, source, tmp_path, ack="broker"):
        await until(lambda: not source.batches)
    assert (set(source.dead), len(scripted_broker.links)) == (long, 1)


async def test_a_batch_that_the_broker_refuses_by_puback_as_too_large_is_put_aside_and_the_rest_flows(
    scripted_broker: ScriptedBroker, tmp_path: Path
) -> None:
    scripted_broker.answer = lambda message: 0x95 if message.packet_bytes > HIDDEN_LIMIT else 0
    source = MemorySource()
    long = backlog(source)
    async with running(scripted_broker, source, tmp_path, ack="broker") as publisher:
        await until(lambda: not source.batches)
        assert publisher.state().rejected == {"too_large": 2}
    assert (set(source.dead), len(scripted_broker.links)) == (long, 1)


async def test_the_store_is_told_what_the_broker_and_the_ioc_take(
    scripted_broker: ScriptedBroker, tmp_path: Path
) -> None:
    scripted_broker.connacks = [Connack(properties={"maximum_packet_size": 20_000}), Connack()]
    source = MemorySource()
    state = b'{"v":1,"online":true,"ack":false,"time_ms":1795432700000'
    async with running(scripted_broker, source, tmp_path, ack="broker"):
        await until(lambda: source.limit == 20_000 - 18 - len("ocg/v1/dng-hc-01/up/backfill"))
        scripted_broker.link.say("ocg/v1/ioc/state", state + b',"max_bytes":8000}')
        await until(lambda: source.limit == 8_000)
        scripted_broker.link.say("ocg/v1/ioc/state", state + b',"max_bytes":64}')
        await until(lambda: source.limit == 20_000 - 46)
        scripted_broker.link.end()
        await until(lambda: source.limit is None)


async def test_a_batch_that_was_sealed_before_the_ioc_said_what_it_takes_is_sent_and_not_lost(
    scripted_broker: ScriptedBroker, tmp_path: Path
) -> None:
    scripted_broker.retained["ocg/v1/ioc/state"] = b'{"v":1,"online":true,"time_ms":1795432700000,"max_bytes":5000}'
    source = MemorySource()
    long = backlog(source)
    async with running(scripted_broker, source, tmp_path, ack="broker"):
        await until(lambda: not source.batches)
    assert (source.dead, long <= set(source.delivered)) == ([], True)


async def test_a_batch_is_not_condemned_for_a_picture_that_was_in_flight_beside_it(
    scripted_broker: ScriptedBroker, tmp_path: Path
) -> None:
    scripted_broker.answer = lambda message: 0 if message.retain else None
    source = MemorySource()
    source.seal()
    async with running(scripted_broker, source, tmp_path, ack="broker") as publisher:
        await until(
            lambda: scripted_broker.links and [m.name for m in scripted_broker.link.published].count("backfill") == 1
        )
        assert publisher._session
        publisher._session.send("a/picture", b"x" * HIDDEN_LIMIT)
        await until(lambda: len(scripted_broker.link.unanswered) == 2)
        scripted_broker.answer = lambda message: 0
        scripted_broker.link.end(0x95)
        await until(lambda: source.delivered == [1])
        assert source.dead == []
