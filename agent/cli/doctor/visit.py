"""One connection as this gateway, while no agent runs: connect, subscribe, publish, leave.

Harmless: what is published is the removal of a device that never was (an empty birth), which changes nothing at the
IOC, and the status as it stands at the broker. Commands that wait for the gateway stay there, for nothing is
acknowledged. Where the gateway has vanished without a word, this connection would keep its Will from being said: so
what it would say is said here. Topics of data are not tried: whatever is published there would be data.
"""

import asyncio
import time
from typing import Any, Final

import msgspec

from agent.uplink.formats.ocg1.topics import Topics
from agent.uplink.mqtt import MqttOptions, MqttSession, connect

NOBODY: Final = "_doctor"
SETTLE_S: Final = 0.5
"""What is retained arrives right behind the answer to SUBSCRIBE; on a slow line a little later."""
REFUSED: Final = 0x80
"""Reason codes of MQTT 5 from here on are failures."""
BACK_S: Final = 5.0
"""So long our own message may take to come back."""


class Visit(msgspec.Struct):
    """What one connection has shown. `codes`: of PUBACK and SUBACK by topic; `back_ms` is None where nothing came."""

    heard: dict[str, bytes] = {}
    published: dict[str, int] = {}
    subscribed: dict[str, int] = {}
    took_ms: float = 0.0
    back_ms: float | None = None


class _Mailbox:
    """What arrives, by topic; who waits for more on a topic is woken."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._came = asyncio.Event()
        self._topic = ""

    def take(self, topic: str, payload: bytes) -> None:
        self._visit.heard[topic] = payload
        if topic == self._topic:
            self._came.set()

    def await_on(self, topic: str) -> asyncio.Event:
        self._topic = topic
        self._came.clear()
        return self._came


async def visited(options: MqttOptions, topics: Topics, visit: Visit) -> None:
    """Fill `visit`; raises `UplinkDown` or `MessageRejected`."""
    timeout_s = options.connect_timeout_s
    mailbox = _Mailbox(visit)
    async with connect(options, mailbox.take) as session:
        filters = topics.subscriptions
        visit.subscribed = dict(zip(filters, await session.subscribe(filters, timeout_s=timeout_s), strict=False))
        began = time.monotonic()
        birth = topics.device_birth(NOBODY)
        visit.published[birth] = await session.publish(birth, b"", retain=True, timeout_s=timeout_s)
        visit.took_ms = 1000 * (time.monotonic() - began)
        await asyncio.sleep(SETTLE_S)
        await _say_the_status(session, topics, visit, mailbox, timeout_s)
        await session.disconnect(with_will=False)


async def _say_the_status(
    session: MqttSession, topics: Topics, visit: Visit, mailbox: _Mailbox, timeout_s: float
) -> None:
    """Publish the status as it is, or as the Will would have it, and wait until it comes back to us."""
    came = mailbox.await_on(topics.status)
    began = time.monotonic()
    status = _offline(visit.heard.get(topics.status, b""))
    visit.published[topics.status] = await session.publish(topics.status, status, retain=True, timeout_s=timeout_s)
    if visit.published[topics.status] >= REFUSED:
        return
    try:
        async with asyncio.timeout(BACK_S):
            await came.wait()
    except TimeoutError:
        return
    visit.back_ms = 1000 * (time.monotonic() - began)


def _offline(status: bytes) -> bytes:
    """The status that is due now that no agent runs; what cannot be read, and what says so already, stays."""
    try:
        said = msgspec.json.decode(status or b"{}", type=dict[str, Any])
    except msgspec.MsgspecError:
        return status
    if said.get("online") is not True:
        return status
    return msgspec.json.encode({**said, "online": False, "why": "will"})
