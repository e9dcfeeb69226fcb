"""The uplink: connect for ever, say who we are, send what is sealed, hear what has arrived.

Promises: nothing is marked delivered but by the word that counts; whatever was in flight when a connection ends is
sent again on the next one; the retained status never says online for a gateway that has left; what the IOC has asked
for is answered, also after a restart.

Reading order: `run`, `_connection`, `_served`, `_serve`. The lanes are in `lanes.sender`, what is heard goes through
`hearing`, what we say of ourselves through `sayings`.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from math import inf
from pathlib import Path
from random import Random
from typing import Any, Final

from agent.clock import NS_PER_S, Clock, described
from agent.health import hardware
from agent.model import Batch, BatchSource, Event
from agent.settings import Settings
from agent.supervise import Backoff, Episode, Pulse
from agent.uplink.downlink.messages import Replay
from agent.uplink.downlink.peer import Peer
from agent.uplink.errors import MessageRejected, NotTheTime, Renewed, UplinkDown, UplinkRefused
from agent.uplink.faults import Fault
from agent.uplink.formats import Format, Message
from agent.uplink.formats.ocg1 import Ocg1
from agent.uplink.hearing.hearing import Hearing
from agent.uplink.hearing.inbox import Inbox
from agent.uplink.lanes.payload_limit import PayloadLimit
from agent.uplink.lanes.progress import Pace, Progress
from agent.uplink.lanes.route import Route
from agent.uplink.lanes.sender import Sender
from agent.uplink.lanes.suspicion import Suspicion
from agent.uplink.mqtt import MqttOptions, MqttSession, Will, broker_address, connect
from agent.uplink.notices import Notices
from agent.uplink.pictures import PictureSender, Shelf
from agent.uplink.reasons import TAKEN_OVER
from agent.uplink.remembered import Remembered
from agent.uplink.replay.replays import Replays
from agent.uplink.sayings import Sayings
from agent.uplink.state import Tuning, UplinkState

log = logging.getLogger(__name__)

STABLE_S: Final = 5.0
"""A connection that held so long was a good one: the next attempt after it comes with the shortest delay."""
REFUSED_FIRST_S, REFUSED_MAX_S = 1.0, 60.0
TAKEN_OVER_S: Final = 60.0
BEAT_S: Final = 5.0
ALIVE_S: Final = 60.0
OFFLINE_S: Final = 2.0
PAUSE_S: Final = 5.0
IOC_ACK_S: Final = 1.5
"""The IOC acknowledges what it has stored at least each second (contract, delivery)."""
REPLAYS_FILE: Final = "replays.json"


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
        self._retry_delays = retry_delays
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
        self.pictures = PictureSender(shelf, self._format) if shelf else None
        if self.pictures:
            self._hearing.on_state = self.pictures.poke
        self._broker = broker_address(uplink)
        self._episode = Episode("uplink", clock)
        path, cost = Path(settings.gateway.data_dir) / REPLAYS_FILE, "a replay may not survive a restart"
        self._asked_file: Remembered[list[Replay]] = Remembered(path, list[Replay], [], cost)
        self._asked = asyncio.Event()
        self._replays.on_asked = self._replay_asked
        self._session: MqttSession | None = None
        self._ready = asyncio.Event()
        self._introduced, self._redescribed = asyncio.Event(), asyncio.Event()
        self._health: Message | None = None
        self._since_ms: int | None = None
        self._error = ""
        self._fault: Fault | None = None
        self._pulse = Pulse(clock, ALIVE_S)
        self._stopping = False

    async def run(self) -> None:
        """Connect and send, for ever; returns after `drain`. Raises only what the store raises."""
        self._sayings.hardware = hardware()
        for request in await asyncio.to_thread(self._asked_file.read):
            self._replays.ask(request, self._source.epoch)
        self._source.allow_rows(allowed=False)  # it may be another IOC
        await self._route.payload_limit.recall()
        delays, refusals = self._retry_delays(), self._refusal_delays()
        while not self._stopping:
            started_ns = self._clock.mono_ns()
            down = await self._connection()
            if self._clock.mono_ns() - started_ns > STABLE_S * NS_PER_S:
                delays, refusals = self._retry_delays(), self._refusal_delays()
            if not self._stopping:
                await self._wait(down, delays, refusals)

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
        self._format.describe(settings, commands)
        self._sayings.describe(settings)
        self._introduced.clear()
        self._redescribed.set()

    async def introduced(self) -> str:
        """Wait until the broker has answered to status and births; gives why it did not take one of them, else ""."""
        await self._introduced.wait()
        return self._sayings.refused

    @property
    def is_introduced(self) -> bool:
        """Whether there is a connection on which the broker has answered to status and births."""
        return self._session is not None and self._introduced.is_set()

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
            error=self._error,
            fault=self._fault,
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
                    self._introduced.clear()
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
        while True:
            self._pulse.beat(BEAT_S)
            await asyncio.wait({session.closed}, timeout=BEAT_S)
            if session.closed.done():
                raise session.closed.result()

    async def _serve(self, session: MqttSession) -> None:
        """Say who we are; when our own status has come back, so has the state of the IOC: send."""
        await session.subscribe(tuple(self._format.subscriptions), timeout_s=self._settings.uplink.connect_timeout_s)
        await self._introduce(session)
        echo = self._hearing.presence.echo
        try:
            async with asyncio.timeout(self._tuning.barrier_s):
                await echo.wait()
        except TimeoutError:
            log.warning("our own status does not come back: may %s be read?", self._sayings.status("connect").topic)
            echo.set()
        self._error, self._fault = "", None
        if not self._episode.recovered():
            log.info("connected to %s", self._broker)
        self._send_health(session)
        self._hearing.sender = sender = Sender(session, self._route)
        self._ready.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(sender.run(), name="uplink sender")
                tasks.create_task(self._keep_replays(), name="uplink replays")
                tasks.create_task(self._keep_introduced(session), name="uplink births")
                tasks.create_task(self._route.payload_limit.keep(), name="uplink limit")
                if self.pictures:
                    may_send = partial(_is_there, self._peer, self._settings.uplink.protocol)
                    tasks.create_task(self.pictures.run(session, may_send), name="uplink pictures")
        finally:
            self._hearing.sender = None

    async def _introduce(self, session: MqttSession) -> None:
        self._redescribed.clear()
        await self._sayings.announce(session)
        if not self._redescribed.is_set():
            self._introduced.set()

    async def _keep_introduced(self, session: MqttSession) -> None:
        """Say again who we are, where that has changed."""
        while True:
            await self._redescribed.wait()
            await self._introduce(session)

    async def _listen(self, session: MqttSession) -> None:
        async def say_online() -> None:
            if not self._stopping:
                log.info("a word of before says that we are offline: saying that we are not")
                await self._sayings.say(session, self._sayings.status("connect"))

        await self._hearing.listen(self._sayings.moment, say_online)

    def _replay_asked(self) -> None:
        self._asked.set()
        if self._hearing.sender:
            self._hearing.sender.replay_asked()

    async def _keep_replays(self) -> None:
        """Remember over a restart what has no result yet."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            await asyncio.to_thread(self._asked_file.write, self._replays.requests)

    def _send_health(self, session: MqttSession) -> None:
        if self._health is None:
            return
        try:
            session.send(self._health.topic, self._health.payload, qos=0)
        except (UplinkDown, MessageRejected):
            self._inbox.ignore("health")
        self._health = None

    async def _wait(self, down: UplinkDown, delays: Iterator[float], refusals: Iterator[float]) -> None:
        if isinstance(down, Renewed):
            return
        if not self._episode.failed(down.reason) and _code(down.fault) != _code(self._fault):
            log.warning("uplink: now %s", down.reason)
        self._error, self._fault = down.reason, down.fault
        if down.code == TAKEN_OVER:
            self._report_takeover()
            delay_s = TAKEN_OVER_S
        else:
            delay_s = next(refusals if isinstance(down, UplinkRefused) else delays)
        self._pulse.beat(delay_s)
        await asyncio.sleep(delay_s)

    def _report_takeover(self) -> None:
        gateway = self._settings.gateway.id
        log.error("another client has connected as %s: two gateways with one id, or somebody has its key", gateway)
        said = {"vi": f"Thiết bị khác đã kết nối với mã {gateway}", "en": f"Another client connected as {gateway}"}
        now_ns = self._clock.mono_ns()
        self.notices.event(Event(type="security.takeover", severity="critical", mono_ns=now_ns, message=said))

    def _refusal_delays(self) -> Iterator[float]:
        return Backoff(REFUSED_FIRST_S, REFUSED_MAX_S, self._random).delays()

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


def _code(fault: Fault | None) -> str:
    return fault.code if fault else ""


def _is_there(peer: Peer, protocol: str) -> bool:
    """Is there somebody for pictures? On MQTT 3.1.1 a PUBACK does not say so: there the IOC must have said it."""
    return peer.online is True or (peer.online is None and protocol == "5")


def _flat(group: BaseExceptionGroup[UplinkDown]) -> Iterator[UplinkDown]:
    for err in group.exceptions:
        if isinstance(err, BaseExceptionGroup):
            yield from _flat(err)
        else:
            yield err
