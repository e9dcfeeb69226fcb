"""The contract's connection profile, topics and retained acknowledgement, as a broker sees them."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from contract_check import decoded, definition_of, topics, valid
from uplink_helpers import GATEWAY, MemorySource, listener, ready, running, until

from agent.settings import UplinkSettings
from simulators.scripted_broker import Connack, ScriptedBroker
from simulators.testing import BenchBroker

STATUS = f"ocg/v1/{GATEWAY}/up/status"
SEVEN_DAYS_S = 7 * 86_400


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_the_connection_profile_is_the_contracts(
    scripted_broker: ScriptedBroker, tmp_path: Path, protocol: str
) -> None:
    async with running(scripted_broker, MemorySource(), tmp_path, protocol=protocol) as publisher:
        await until(lambda: ready(publisher))
        connect = scripted_broker.link.connect
    version_5 = protocol == "5"
    assert (connect.version, connect.client_id, connect.keepalive_s) == (5 if version_5 else 4, GATEWAY, 60)
    assert connect.clean_start is not version_5, "3.1.1 has no session that expires"
    assert connect.properties.get("session_expiry_s") == (120 if version_5 else None)
    will = connect.will
    assert will
    assert (will.topic, will.qos, will.retain) == (STATUS, 1, True)
    assert will.properties == ({"will_delay_s": 30} if version_5 else {})
    said = valid("status", will.payload)
    assert (said["online"], said["why"], said["connection"]) == (False, "will", 1)


def test_the_keepalive_is_60_s_and_can_be_120_s_on_a_metered_line() -> None:
    assert UplinkSettings(host="h").keepalive_s == 60
    assert msgspec.convert({"host": "h", "keepalive_s": 120}, UplinkSettings).keepalive_s == 120


async def test_the_user_and_the_password_are_those_of_the_configuration(
    scripted_broker: ScriptedBroker, tmp_path: Path
) -> None:
    secret = tmp_path / "password"
    secret.write_text("a secret\n", encoding="utf-8")
    secret.chmod(0o600)
    async with running(
        scripted_broker, MemorySource(), tmp_path, username=GATEWAY, password_file=str(secret)
    ) as publisher:  # fmt: skip
        await until(lambda: ready(publisher))
    assert (scripted_broker.link.connect.username, scripted_broker.link.connect.password) == (GATEWAY, "a secret")


async def test_the_status_is_online_with_the_number_of_the_connection_and_the_will_has_it_too(
    scripted_broker: ScriptedBroker, tmp_path: Path
) -> None:
    async with running(scripted_broker, MemorySource(), tmp_path) as publisher:
        for number in (1, 2, 3):
            await until(lambda number=number: ready(publisher) and len(scripted_broker.links) == number)  # type: ignore[misc]
            will = scripted_broker.link.connect.will
            assert will
            assert decoded(will.payload)["connection"] == number
            said = [decoded(m.payload) for m in scripted_broker.link.published if m.name == "status"]
            assert [(s["online"], s["why"], s["connection"]) for s in said] == [(True, "connect", number)]
            scripted_broker.link.end()


async def test_each_topic_has_its_qos_its_retain_flag_and_its_expiry(
    scripted_broker: ScriptedBroker, tmp_path: Path
) -> None:
    source = MemorySource()
    source.seal()
    async with running(scripted_broker, source, tmp_path, ack="broker") as publisher:
        await until(lambda: ready(publisher))
        for kind in ("data", "event", "snapshot", "result"):
            source.seal(kind)  # type: ignore[arg-type]
        await publisher.publish_health({"uptime_s": 1})
        await until(lambda: len(source.delivered) == 5)
        await until(lambda: any(m.name == "health" for m in scripted_broker.published))
    seen = {m.name: (m.qos, m.retain, m.properties.get("message_expiry_s")) for m in scripted_broker.published}
    assert seen == {
        "status": (1, True, None), "birth": (1, True, None), "backfill": (1, False, SEVEN_DAYS_S),
        "data": (1, False, SEVEN_DAYS_S), "event": (1, False, SEVEN_DAYS_S), "snapshot": (1, False, SEVEN_DAYS_S),
        "result": (1, False, SEVEN_DAYS_S), "health": (0, False, None),
    }  # fmt: skip


async def test_the_gateway_listens_to_what_is_for_it_and_to_nothing_else(
    scripted_broker: ScriptedBroker, tmp_path: Path
) -> None:
    async with running(scripted_broker, MemorySource(), tmp_path) as publisher:
        await until(lambda: ready(publisher))
        heard = set(scripted_broker.link.subscriptions)
    down = f"ocg/v1/{GATEWAY}/down/"
    assert heard == {"ocg/v1/ioc/state", down + "ack", down + "replay", down + "cmd", STATUS}


def test_the_table_of_topics_is_complete() -> None:
    published = [row for row in topics() if "/up/" in row.pattern.pattern]
    assert len(published) == 10
    assert [row.definition for row in topics() if row.counts] == ["data", "data", "event", "snapshot", "result"]
    assert definition_of(f"ocg/v1/{GATEWAY}/up/backfill") == "data"
    with pytest.raises(LookupError):
        definition_of(f"ocg/v1/{GATEWAY}/up/other")


async def test_an_ack_that_was_said_while_we_were_away_is_read_before_anything_is_sent_again(
    broker: BenchBroker, tmp_path: Path
) -> None:
    ioc, source = await listener(broker), MemorySource()
    await asyncio.to_thread(ioc.state)
    async with running(broker, source, tmp_path, ack="ioc") as publisher:
        await until(lambda: ready(publisher))
        for _ in range(5):
            source.seal()
        await until(lambda: publisher.state().acked == 5)
    assert source.delivered == []
    await asyncio.to_thread(ioc.ack, 3, [(5, 5)])
    async with running(broker, source, tmp_path, ack="ioc") as publisher:
        await until(lambda: ready(publisher))
        await until(lambda: source.delivered == [1, 2, 3, 5])
        await until(lambda: ioc.seqs("backfill") == [4], what="only what lacks its ack is sent again")
    ioc.close()


async def test_every_batch_says_the_config_of_the_births(scripted_broker: ScriptedBroker, tmp_path: Path) -> None:
    from uplink_helpers import settings

    from agent.running import store_config
    from agent.uplink.formats.ocg1 import Ocg1

    known = settings(1883, tmp_path)
    assert store_config(known).config_hash == Ocg1(known).config
    async with running(scripted_broker, MemorySource(), tmp_path) as publisher:
        await until(lambda: ready(publisher))
    said = {decoded(m.payload)["config"] for m in scripted_broker.published if m.name in ("birth", "status")}
    assert said == {store_config(publisher._settings).config_hash}


async def test_a_late_will_that_is_older_than_this_connection_is_answered_by_online(
    scripted_broker: ScriptedBroker, tmp_path: Path
) -> None:
    scripted_broker.connacks = [Connack()]
    async with running(scripted_broker, MemorySource(), tmp_path) as publisher:
        await until(lambda: ready(publisher))
        scripted_broker.link.end()
        await until(lambda: len(scripted_broker.links) == 2 and ready(publisher))
        late = scripted_broker.links[0].connect.will
        assert late
        scripted_broker.link.say(STATUS, late.payload)
        statuses: list[Any] = []

        def answered() -> bool:
            statuses[:] = [decoded(m.payload) for m in scripted_broker.link.published if m.name == "status"]
            return len(statuses) == 2

        await until(answered)
        assert [(s["online"], s["connection"]) for s in statuses] == [(True, 2), (True, 2)]
