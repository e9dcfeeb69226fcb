"""A gateway of the fleet at a broker that watches what the standard and the contract forbid, and says what it likes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from contract_check import decoded, valid

from simulators.fleet.connection import EXPIRY_S
from simulators.fleet.fleet import Course, Fleet
from simulators.fleet.gateway import Plan
from simulators.mqtt.address import parse_broker
from simulators.scripted_broker import Connack, Published, ScriptedBroker

NAME = "sim-0001"
TIMEOUT_S = 10.0


@asynccontextmanager
async def running(scripted_broker: ScriptedBroker, **plan: Any) -> AsyncIterator[Fleet]:
    fleet = Fleet(
        [NAME], Plan(**{"rate": 20, "ack": "broker"} | plan), Course(0.0, drain_s=0.2), address(scripted_broker)
    )
    task = asyncio.create_task(fleet.run())
    try:
        yield fleet
    finally:
        fleet.ending.set()
        await task


def address(scripted_broker: ScriptedBroker) -> Any:
    return parse_broker(f"mqtt://{{gw}}@127.0.0.1:{scripted_broker.port}")


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0.02)


def named(scripted_broker: ScriptedBroker, name: str) -> list[Published]:
    return [one for one in scripted_broker.published if one.name == name]


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_the_connection_is_the_contracts(scripted_broker: ScriptedBroker, protocol: str) -> None:
    async with running(scripted_broker, protocol=protocol):
        await until(lambda: named(scripted_broker, "data"))
        connect = scripted_broker.link.connect
        (data, *_) = named(scripted_broker, "data")
    version_5 = protocol == "5"
    assert (connect.version, connect.client_id, connect.username) == (5 if version_5 else 4, NAME, NAME)
    assert (connect.keepalive_s, connect.clean_start) == (60, not version_5)
    assert connect.properties.get("session_expiry_s") == (120 if version_5 else None)
    assert connect.will
    assert connect.will.properties == ({"will_delay_s": 30} if version_5 else {})
    assert valid("status", connect.will.payload)["why"] == "will"
    assert data.properties.get("message_expiry_s", EXPIRY_S) == EXPIRY_S
    assert ("message_expiry_s" in data.properties) is version_5
    assert [one.name for one in scripted_broker.published[:3]] == ["birth", "sim-01", "status"]
    assert decoded(named(scripted_broker, "status")[-1].payload)["why"] == "stop"
    await until(lambda: scripted_broker.link.disconnect is not None)


@pytest.mark.parametrize("most", [1, 3, 20])
async def test_never_more_is_in_flight_than_the_receive_maximum(scripted_broker: ScriptedBroker, most: int) -> None:
    scripted_broker.connacks = [Connack(properties={"receive_maximum": most})]
    scripted_broker.answer = lambda message: 0 if message.retain else None
    async with running(scripted_broker, rate=100):
        await until(lambda: scripted_broker.links and len(scripted_broker.link.unanswered) == most)
        await asyncio.sleep(0.1)
        assert len(scripted_broker.link.unanswered) == most


@pytest.mark.parametrize("allowed", [0, 1, 10])
async def test_frequent_topics_go_by_alias_where_the_broker_allows_it(
    scripted_broker: ScriptedBroker, allowed: int
) -> None:
    scripted_broker.connacks = [Connack(properties={"topic_alias_maximum": allowed} if allowed else {})]
    async with running(scripted_broker) as fleet:
        await until(lambda: len(named(scripted_broker, "data")) > 3)
        fleet.gateways[0].tell("alarm.raise", "minor", "x")
        fleet.gateways[0].tell("alarm.clear", "minor", "x")
        await until(lambda: len(named(scripted_broker, "event")) == 2)
    data = [one.sent_topic for one in named(scripted_broker, "data")]
    assert data[0] != ""
    assert (data[-1] == "") is (allowed >= 1)
    assert all("topic_alias" not in one.properties for one in scripted_broker.published if one.retain)
    assert ("topic_alias" in named(scripted_broker, "event")[0].properties) is (allowed >= 3)


async def test_an_alias_that_the_broker_did_not_take_is_said_by_name_again(scripted_broker: ScriptedBroker) -> None:
    scripted_broker.connacks = [Connack(properties={"topic_alias_maximum": 10})]
    scripted_broker.answer = lambda message: 0x97 if message.name == "data" else 0
    async with running(scripted_broker):
        await until(lambda: len(named(scripted_broker, "data")) > 1)
    assert all(one.sent_topic for one in named(scripted_broker, "data"))


async def test_what_is_over_the_maximum_packet_size_is_not_sent_but_declared(scripted_broker: ScriptedBroker) -> None:
    scripted_broker.connacks = [Connack(properties={"maximum_packet_size": 700})]
    async with running(scripted_broker, points=200) as fleet:
        await until(lambda: named(scripted_broker, "event"))
        account = fleet.gateways[0].outbox.account()
        assert named(scripted_broker, "data") == []
    assert decoded(named(scripted_broker, "event")[0].payload)["event"]["reason"] == "dead"
    assert account.lost["dead"] > 0
    assert account.balanced


async def test_who_is_taken_over_waits_a_minute_and_tells_it(scripted_broker: ScriptedBroker) -> None:
    async with running(scripted_broker) as fleet:
        await until(lambda: named(scripted_broker, "data"))
        scripted_broker.link.end(0x8E)
        await until(lambda: any(one.lane == "event" for one in fleet.gateways[0].outbox.undelivered.values()))
        await asyncio.sleep(1.2)
        assert len(scripted_broker.links) == 1
        assert "Session taken over" in fleet.figures.last_error


async def test_a_broker_that_cuts_has_everything_again_that_it_did_not_acknowledge(
    scripted_broker: ScriptedBroker,
) -> None:
    scripted_broker.answer = lambda message: None if message.name == "data" else 0
    async with running(scripted_broker) as fleet:
        await until(lambda: len(named(scripted_broker, "data")) >= 3)
        first = {one.payload for one in named(scripted_broker, "data")}
        scripted_broker.link.end()
        await until(lambda: first <= {one.payload for one in named(scripted_broker, "backfill")})
        assert fleet.gateways[0].outbox.account().balanced


async def test_a_broker_that_refuses_is_said_and_asked_again(scripted_broker: ScriptedBroker) -> None:
    scripted_broker.connacks = [Connack(0x87), Connack()]
    async with running(scripted_broker) as fleet:
        await until(lambda: "Not authorized" in fleet.figures.last_error)
        await until(lambda: fleet.ready.is_set() and named(scripted_broker, "data"))
