"""The login by ourselves, while no agent runs: connect, subscribe, publish, leave.

Harmless: what is published is the removal of a device that never was (an empty birth), which changes nothing at the
IOC. Commands that wait for the gateway stay at the broker, for nothing is acknowledged. Where the gateway has vanished
without a word, this connection would keep its Will from being said: so what it would say is said here.
"""

import asyncio
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from agent.cli.doctor.finding import Case, Finding, broken, fail, ok, warn
from agent.cli.doctor.ioc import heard_of_ioc
from agent.cli.messages import tr
from agent.uplink.downlink.messages import IocState
from agent.uplink.errors import MessageRejected, UplinkDown
from agent.uplink.formats.ocg1.reading import read_down
from agent.uplink.formats.ocg1.topics import IOC_STATE, Topics
from agent.uplink.mqtt import MqttOptions, MqttSession, connect
from agent.uplink.reasons import Verdict, reason_name, verdict

NOBODY: Final = "_doctor"
SETTLE_S: Final = 0.5
"""What is retained arrives right behind the answer to SUBSCRIBE; on a slow line a little later."""
BEHIND_MS: Final = 60_000


class Visit(msgspec.Struct):
    """What one connection has shown."""

    heard: dict[str, bytes] = {}
    code: int = 0
    took_ms: float = 0.0


def login(case: Case, options: MqttOptions, topics: Topics) -> Iterator[Finding]:
    """Connect as this gateway, once."""
    visit = Visit(heard={})
    try:
        asyncio.run(_visited(msgspec.structs.replace(options, takes_messages=False), topics, visit))
    except UplinkDown as down:
        yield broken(case, "login", down)
        return
    except MessageRejected as err:
        yield fail("publish", str(err), tr("see the broker's log"))
        return
    yield ok(
        "login", tr("the broker takes us as {id}, MQTT {protocol}", id=options.client_id, protocol=options.protocol)
    )
    yield _published(visit, options)
    yield from _ioc(case, visit, topics)


async def _visited(options: MqttOptions, topics: Topics, visit: Visit) -> None:
    timeout_s = options.connect_timeout_s
    async with connect(options, visit.heard.__setitem__) as session:
        await session.subscribe((IOC_STATE, topics.status), timeout_s=timeout_s)
        began = time.monotonic()
        visit.code = await session.publish(topics.device_birth(NOBODY), b"", retain=True, timeout_s=timeout_s)
        visit.took_ms = 1000 * (time.monotonic() - began)
        await asyncio.sleep(SETTLE_S)
        await _say_the_will(session, topics, visit, timeout_s)
        await session.disconnect(with_will=False)


async def _say_the_will(session: MqttSession, topics: Topics, visit: Visit, timeout_s: float) -> None:
    try:
        status = msgspec.json.decode(visit.heard.get(topics.status, b"{}"), type=dict[str, Any])
    except msgspec.MsgspecError:
        return
    if status.get("online") is True:
        said = msgspec.json.encode({**status, "online": False, "why": "will"})
        await session.publish(topics.status, said, retain=True, timeout_s=timeout_s)


def _published(visit: Visit, options: MqttOptions) -> Finding:
    took_ms = f"{visit.took_ms:.0f}"
    if options.protocol == "3.1.1":
        text = tr("a publication is answered after {ms} ms; MQTT 3.1.1 does not tell whether it is allowed", ms=took_ms)
        return ok("publish", text)
    if verdict(visit.code) is Verdict.NO_SUBSCRIBER:
        text = tr("publishing is allowed, {ms} ms, and nobody listens", ms=took_ms)
        return warn("publish", text, tr("is the IOC connected to this broker?"))
    if verdict(visit.code) is Verdict.ACCEPTED:
        return ok("publish", tr("publishing is allowed, {ms} ms", ms=took_ms))
    what = f"{reason_name(visit.code)} (0x{visit.code:02X})"
    text = tr("the broker forbids us to publish: {alarm}", alarm=what)
    return fail("publish", text, tr("see the broker's access rules; the data is kept"))


def _ioc(case: Case, visit: Visit, topics: Topics) -> Iterator[Finding]:
    heard = visit.heard.get(IOC_STATE)
    state = read_down(topics, IOC_STATE, heard) if heard else None
    if not isinstance(state, IocState):
        yield heard_of_ioc(None, acks=False)
        return
    yield heard_of_ioc(state.online, acks=state.ack)
    behind_ms = state.time_ms - case.clock.wall_ms()
    if behind_ms > BEHIND_MS:
        text = tr("the clock of this gateway is at least {seconds} s behind that of the IOC", seconds=behind_ms // 1000)
        yield warn("clock", text, tr("see `timedatectl`: is there a time server that can be reached?"))
