"""The uplink: connect for ever, say who we are, send what is sealed, hear what has arrived.

Promises: nothing is marked delivered but by the word that counts; whatever was in flight when a connection ends is
sent again on the next one; the retained status never says online for a gateway that has left; what the IOC has asked
for is answered, also after a restart.

Reading order: `run`, `_connection`, `_served`, `_serve`. The lanes are in `lanes.sender`, what is heard goes through
`hearing`, what we say of ourselves through `introduction` and `sayings`; why there is no connection is in `outages`.
"""

import asyncio
import gc
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import inf
from pathlib import Path
from random import Random
from typing import Any, Final

from agent.clock import Clock, described
from agent.health import hardware
from agent.model import Batch, BatchSource
from agent.settings import Settings
from agent.supervise import Pulse
from agent.uplink.downlink.peer import Peer
from agent.uplink.errors import MessageRejected, NotTheTime, Renewed, UplinkDown
from agent.uplink.formats import Format, Message
from agent.uplink.formats.ocg1 import Ocg1
from agent.uplink.hearing.hearing import Hearing
from agent.uplink.hearing.inbox import Inbox
from agent.uplink.introduction import Introduction
from agent.uplink.lanes.payload_limit import PayloadLimit
from agent.uplink.lanes.progress import Pace, Progress
from agent.uplink.lanes.route import Route
from agent.uplink.lanes.sender import Sender
from agent.uplink.lanes.suspicion import Suspicion
from agent.uplink.mqtt import MqttOptions, MqttSession, Will, broker_address, connect
from agent.uplink.notices import Notices
from agent.uplink.outages import Outages
from agent.uplink.pictures import PictureSender, Shelf
from agent.uplink.replay.asked_before import AskedBefore
from agent.uplink.replay.replays import Replays
from agent.uplink.sayings import Sayings
from agent.uplink.state import Tuning, UplinkState

log = logging.getLogger(__name__)

ALIVE_S: Final = 60.0
OFFLINE_S: Final = 2.0
PAUSE_S: Final = 5.0
IOC_ACK_S: Final = 1.5
"""The IOC acknowledges what it has stored at least each second (contract, delivery)."""


class Publisher:
    """The uplink to one IOC: a source of batches, a format, and the connection between them."""

    def __init__(
        self,
        settings: Settings,
        source: BatchSource,
        clock: Clock,
        retry_delays: Callable[[], Iterator[float]],
        *,
        format_: Format | None = None,
        random: Random | None = None,
        tuning: Tuning | None = None,
        shelf: Shelf | None = None,
    ) -> None:
        uplink = settings.uplink
        self._settings = settings
        self._source = source
        self._clock = clock
        self._random = random or Random()
        self._tuning = tuning or Tuning()
        self._format = format_ or Ocg1(settings)
        self._peer = Peer(uplink.ack, uplink.protocol, self._tuning.decide_s)
        self._progress = Progress()
        self.notices = Notices()
        self._replays = Replays(clock.mono_ns, self.notices)
        self._route = self._make_route()
        self._inbox = Inbox()
        self._hearing = Hearing(self._route, self._inbox, self.notices)
        self._sayings = Sayings(settings, source, self._format, clock, self.notices)
        self._introduction = Introduction(self._format, self._sayings)
        self.pictures = PictureSender(shelf, self._format) if shelf else None
        if self.pictures:
            self._hearing.on_state = self.pictures.poke
        self._broker = broker_address(uplink)
        self._outages = Outages(settings.gateway.id, retry_delays, clock, self.notices, self._random)
        self._asked_before = AskedBefore(self._replays, Path(settings.gateway.data_dir))
        self._replays.on_asked = self._replay_asked
        self._session: MqttSession | None = None
        self._ready = asyncio.Event()
        self._health: Message | None = None
        self._since_ms: int | None = None
        self._pulse = Pulse(clock, ALIVE_S)
        self._stopping = False

    async def run(self) -> None:
        """Connect and send, for ever; returns after `drain`. Raises only what the store raises."""
        self._sayings.hardware = hardware()
        self._source.allow_rows(allowed=False)  # it may be another IOC
        await self._asked_before.recall(self._source.epoch)
        await self._route.payload_limit.recall()
        while not self._stopping:
            started_ns = self._clock.mono_ns()
            down = (await self._connection()).bare()
            gc.collect(1)  # what is left of it is a ring, and old objects are hardly ever looked through
            if not self._stopping:
                await self._outages.wait(down, self._clock.mono_ns() - started_ns, self._pulse)

    def on_sealed(self, batch: Batch) -> None:
        """Send a batch live. Without a connection it stays in the store, and goes with the backlog."""
        if self._hearing.sender:
            self._hearing.sender.offer(batch)

    def on_salvaged(self, seq: int) -> None:
        """Undelivered batches are there again that could not be read before, none of them below `seq`."""
        if self._hearing.sender:
            self._hearing.sender.look_again(seq)

    async def publish_health(self, figures: dict[str, Any]) -> None:
        """Say how the gateway is, with QoS 0. Without a connection the newest waits for one, older ones are dropped."""
        if self._health is not None:
            self._inbox.ignore("health")
        self._health = self._sayings.health(figures)
        if self._session and self._hearing.sender:
            self._send_health(self._session)

    def describe(self, settings: Settings, commands: Sequence[str]) -> None:
        """Say this configuration from now on, also on the connection that there is; its uplink is the same."""
        self._introduction.describe(settings, commands)

    async def introduced(self) -> str:
        """Wait until the broker has answered to status and births; gives why it did not take one of them, else ""."""
        return await self._introduction.answer()

    @property
    def is_introduced(self) -> bool:
        """Whether there is a connection on which the broker has answered to status and births."""
        return self._session is not None and self._introduction.made

    async def drain(self, most_s: float = inf) -> None:
        """Deliver what waits, for at most `drain_s` and `most_s`; then say that we go offline, and disconnect."""
        self._stopping = True
        session = self._session
        if session is None:
            return
        drain_s = min(self._settings.uplink.drain_s, most_s)
        try:
            async with asyncio.timeout(drain_s):
                await self._ready.wait()
                if self._hearing.sender and self._peer.online is not False:
                    await self._hearing.sender.wait_quiet()
        except TimeoutError:
            log.info("not everything was delivered in %g s: the rest is kept", drain_s)
        try:
            await self._sayings.say(session, self._sayings.status("stop"), OFFLINE_S)
        except UplinkDown as err:
            log.info("the status could not be said at the end: %s", err)
        await session.disconnect(with_will=False)

    def state(self) -> UplinkState:
        """How the uplink is now."""
        return UplinkState(
            connected=self._session is not None,
            broker=self._broker,
            error=self._outages.error,
            fault=self._outages.fault,
            alarm=self._progress.alarm,
            since_ms=self._since_ms,
            connection=self._sayings.connection,
            ack=self._peer.mode(self._clock.mono_ns()),
            ioc_online=self._peer.online,
            in_flight=self._hearing.sender.in_flight if self._hearing.sender else 0,
            published=self._progress.published,
            acked=self._progress.acked,
            rejected=dict(self._progress.rejected),
            dead=self._progress.dead,
            last_ack_ms=self._progress.last_ack_ms,
            ignored=dict(self._inbox.ignored),
            replays=[request.id for request in self._replays.requests],
        )

    def figures(self) -> dict[str, Any]:
        """What health says of the uplink: what the broker forbids and refuses."""
        progress = self._progress
        return {"alarms": list(progress.alarms.values()), "rejected": dict(progress.rejected)}

    def is_alive(self) -> bool:
        """Whether the loops of `run` and of its lanes turn. A broker that is away is no reason to restart."""
        sender = self._hearing.sender
        return self._pulse.is_alive() and (sender is None or sender.is_alive())

    async def _connection(self) -> UplinkDown:
        """One connection from CONNECT to its end; returns why it ended."""
        self._pulse.beat(self._settings.uplink.connect_timeout_s)
        if self._sayings.connection == 0 or self._since_ms is not None:
            self._sayings.connection = self._source.new_connection()  # a number that nobody has seen is used again
            self._since_ms = None
        try:
            async with connect(self._options(), self._inbox.receive) as session:
                self._opened(session)
                try:
                    return await self._served(session)
                finally:
                    self._session = None
                    self._introduction.unmake()
                    self._ready.set()
                    self._inbox.clear()  # what an earlier connection said is not news on the next
        except NotTheTime as err:
            return err.told(described(self._clock))
        except UplinkDown as err:
            return err

    def _opened(self, session: MqttSession) -> None:
        self._session = session
        self._since_ms = self._clock.wall_ms()
        self._hearing.presence.connected()
        self._ready.clear()
        self._peer.connected(self._clock.mono_ns())

    async def _served(self, session: MqttSession) -> UplinkDown:
        downs: list[UplinkDown] = []
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._until_closed(session), name="uplink connection")
                tasks.create_task(self._listen(session), name="uplink downlink")
                tasks.create_task(self._renew(session), name="uplink certificates")
                tasks.create_task(self._serve(session), name="uplink session")
        except* UplinkDown as group:
            downs.extend(_flat(group))
        return session.closed.result() if session.closed.done() else downs[0]

    async def _renew(self, session: MqttSession) -> None:
        """When certificates, key or password on disk are new and good: leave in order, to connect again with them."""
        await session.renewed(self._tuning.renewal_s)
        async with session.paused(PAUSE_S):
            if self._peer.mode(self._clock.mono_ns()) == "ioc":
                await asyncio.sleep(IOC_ACK_S)  # what it has stored need not go again
            if not self._stopping:
                log.info("certificates, key or password on disk are new and good: connecting again with them")
                await session.disconnect(with_will=False, why=Renewed("certificates on disk were renewed"))

    async def _until_closed(self, session: MqttSession) -> None:
        """Whether the lanes turn meanwhile says the sender; from the end of the connection on we have to."""
        self._pulse.rest()
        try:
            raise await asyncio.shield(session.closed)
        finally:
            self._pulse.beat()

    async def _serve(self, session: MqttSession) -> None:
        """Say who we are; when our own status has come back, so has the state of the IOC: send."""
        await session.subscribe(tuple(self._format.subscriptions), timeout_s=self._settings.uplink.connect_timeout_s)
        await self._introduction.make(session)
        echo = self._hearing.presence.echo
        try:
            async with asyncio.timeout(self._tuning.barrier_s):
                await echo.wait()
        except TimeoutError:
            log.warning("our own status does not come back: may %s be read?", self._sayings.status("connect").topic)
            echo.set()
        if not self._outages.over():
            log.info("connected to %s", self._broker)
        self._send_health(session)
        self._hearing.sender = sender = Sender(session, self._route)
        self._ready.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(sender.run(), name="uplink sender")
                tasks.create_task(self._asked_before.keep(), name="uplink replays")
                tasks.create_task(self._introduction.keep(session), name="uplink births")
                tasks.create_task(self._route.payload_limit.keep(), name="uplink limit")
                if self.pictures:
                    may_send = partial(_is_there, self._peer, self._settings.uplink.protocol)
                    tasks.create_task(self.pictures.run(session, may_send), name="uplink pictures")
        finally:
            self._hearing.sender = None

    async def _listen(self, session: MqttSession) -> None:
        async def say_online() -> None:
            if not self._stopping:
                log.info("a word of before says that we are offline: saying that we are not")
                await self._sayings.say(session, self._sayings.status("connect"))

        await self._hearing.listen(self._sayings.moment, say_online)

    def _replay_asked(self) -> None:
        self._asked_before.changed()
        if self._hearing.sender:
            self._hearing.sender.replay_asked()

    def _send_health(self, session: MqttSession) -> None:
        if self._health is None:
            return
        try:
            session.send(self._health.topic, self._health.payload, qos=0)
        except (UplinkDown, MessageRejected):
            self._inbox.ignore("health")
        self._health = None

    def _make_route(self) -> Route:
        uplink = self._settings.uplink
        return Route(
            source=self._source,
            format=self._format,
            clock=self._clock,
            peer=self._peer,
            replays=self._replays,
            pace=Pace(
                resend_s=uplink.resend_s,
                silence_s=self._tuning.silence_s,
                backfill_readings_per_s=uplink.backfill_readings_per_s,
            ),
            progress=self._progress,
            random=self._random,
            suspicion=Suspicion(),
            payload_limit=PayloadLimit(self._source, Path(self._settings.gateway.data_dir)),
        )

    def _options(self) -> MqttOptions:
        will = self._sayings.status("will")
        return MqttOptions.of(self._settings, Will(will.topic, will.payload), tuple(self._format.frequent))


def _is_there(peer: Peer, protocol: str) -> bool:
    """Is there somebody for pictures? On MQTT 3.1.1 a PUBACK does not say so: there the IOC must have said it."""
    return peer.online is True or (peer.online is None and protocol == "5")


def _flat(group: BaseExceptionGroup[UplinkDown]) -> Iterator[UplinkDown]:
    for err in group.exceptions:
        if isinstance(err, BaseExceptionGroup):
            yield from _flat(err)
        else:
            yield err
