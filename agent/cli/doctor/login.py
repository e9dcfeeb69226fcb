"""The login by ourselves, while no agent runs, and what it shows: rights, the round trip, the IOC."""

import asyncio
from collections.abc import Iterator
from typing import Final

import msgspec

from agent.cli.doctor.finding import Case, Finding, broken, fail, ok, warn
from agent.cli.doctor.ioc import heard_of_ioc
from agent.cli.doctor.visit import REFUSED, Visit, visited
from agent.cli.messages import tr
from agent.uplink.downlink.messages import IocState
from agent.uplink.errors import MessageRejected, UplinkDown
from agent.uplink.formats.ocg1.reading import read_down
from agent.uplink.formats.ocg1.topics import IOC_STATE, Topics
from agent.uplink.mqtt import MqttOptions
from agent.uplink.reasons import Verdict, reason_name, verdict

BEHIND_MS: Final = 60_000


def login(case: Case, options: MqttOptions, topics: Topics) -> Iterator[Finding]:
    """Connect as this gateway, once."""
    visit = Visit({}, {}, {})
    try:
        asyncio.run(visited(msgspec.structs.replace(options, takes_messages=False), topics, visit))
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
    yield from subscribed(visit)
    if visit.published[topics.status] < REFUSED:
        yield round_trip(visit, topics)
    yield from _ioc(case, visit, topics)


def _published(visit: Visit, options: MqttOptions) -> Finding:
    took_ms = f"{visit.took_ms:.0f}"
    if options.protocol == "3.1.1":
        text = tr("a publication is answered after {ms} ms; MQTT 3.1.1 does not tell whether it is allowed", ms=took_ms)
        return ok("publish", text)
    verdicts = {topic: verdict(code) for topic, code in visit.published.items()}
    forbidden = [topic for topic, found in verdicts.items() if found not in (Verdict.ACCEPTED, Verdict.NO_SUBSCRIBER)]
    if forbidden:
        code = visit.published[forbidden[0]]
        what = f"{reason_name(code)} (0x{code:02X}): {', '.join(forbidden)}"
        text = tr("the broker forbids us to publish: {alarm}", alarm=what)
        return fail("publish", text, tr("see the broker's access rules; the data is kept"), code="publish_forbidden")
    if Verdict.NO_SUBSCRIBER in verdicts.values():
        text = tr("publishing is allowed, {ms} ms, and nobody listens", ms=took_ms)
        return warn("publish", text, tr("is the IOC connected to this broker?"), code="nobody_listens")
    return ok("publish", tr("publishing is allowed, {ms} ms", ms=took_ms))


def subscribed(visit: Visit) -> Iterator[Finding]:
    """What the broker says to our subscriptions; many grant everything, and hold back what is not allowed."""
    refused = {topic: code for topic, code in visit.subscribed.items() if code >= REFUSED}
    if refused:
        what = f"{reason_name(next(iter(refused.values())))}: {', '.join(refused)}"
        text = tr("the broker forbids us to listen to: {topics}", topics=what)
        yield fail("subscribe", text, tr("see the broker's access rules for reading: acknowledgements and commands"),
                   code="subscribe_forbidden")  # fmt: skip
    else:
        yield ok("subscribe", tr("the broker takes our subscriptions ({count})", count=len(visit.subscribed)))


def round_trip(visit: Visit, topics: Topics) -> Finding:
    """Our own status, out and back: with MQTT 3.1.1 the only sign that publishing is allowed."""
    if visit.back_ms is not None:
        return ok("round_trip", tr("a message comes back after {ms} ms", ms=f"{visit.back_ms:.0f}"))
    text = tr("a message that we publish on {topic} does not come back to us", topic=topics.status)
    advice = tr("the broker's access rules: may this gateway write and read there? What it publishes may be dropped")
    return warn("round_trip", text, advice, code="no_round_trip")


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
        advice = tr("see `timedatectl`: is there a time server that can be reached?")
        yield warn("clock", text, advice, code="clock_behind_ioc")
