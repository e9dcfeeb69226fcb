"""One connection's sending: takes batches from the store, sends those whose turn it is, hands on what becomes of each.

Promises:
* what is not delivered `resend_s` after its PUBACK is sent again, with the same bytes;
* while the IOC says that it is offline, nothing is sent;
* whose turn it is says `lanes.traffic`, what became of it `lanes.outcomes`, each with its promises.

Must not know: MQTT beyond reason codes, JSON, files.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final, Literal, Protocol

from agent.clock import NS_PER_S
from agent.model import Batch, SeqRange
from agent.supervise import Pulse
from agent.uplink.errors import MessageRejected, UplinkDown
from agent.uplink.formats import Lane
from agent.uplink.lanes.outcomes import Outcomes
from agent.uplink.lanes.queues import InFlight
from agent.uplink.lanes.route import Route
from agent.uplink.lanes.traffic import Traffic
from agent.uplink.mqtt import Limits
from agent.uplink.replay.reader import ReplayReader
from agent.uplink.replay.replays import ReplayJob

READ_BATCHES: Final = 50
READ_BYTES: Final = 256 * 1024
TICK_S: Final = 1.0
COME_UP_S: Final = 2.0
"""An IOC that has come up acknowledges within this time what it has stored before; the rest is sent again."""

STUCK_S: Final = 120.0
"""A card may take seconds, and the store patience; this is longer than either."""


class Sending(Protocol):
    """What the lanes need of a connection: `agent.uplink.mqtt.MqttSession`."""

    limits: Limits

    @property
    def in_flight(self) -> int: ...

    def send(
        self, topic: str, payload: bytes, *, qos: Literal[0, 1] = 1, retain: bool = False, expiry_s: int | None = None
    ) -> asyncio.Future[int]: ...


class Sender:
    """The lanes of one connection, at work."""

    def __init__(self, session: Sending, route: Route) -> None:
        self._session = session
        self._route = route
        self._source, self._clock = route.source, route.clock
        self._traffic = Traffic(route, session.limits.receive_maximum)
        self._outcomes = Outcomes(route, self._traffic)
        self._reader = ReplayReader(route.source, route.replays, route.may_send)
        self._answers: deque[tuple[int, int]] = deque()
        self._answered_ns = self._ticked_ns = self._swept_ns = self._clock.mono_ns()
        self._turning, self._reading = Pulse(route.clock, STUCK_S), Pulse(route.clock, STUCK_S)
        self._quiet = asyncio.Event()
        self._down: UplinkDown | None = None
        self._say_what_is_taken()

    @property
    def in_flight(self) -> int:
        return len(self._traffic.window)

    def is_alive(self) -> bool:
        """Whether the lanes turn, and the backlog is read; also where nothing may be sent."""
        return self._turning.is_alive() and self._reading.is_alive()

    async def run(self) -> None:
        """Send until the connection ends; raises `UplinkDown` (in a group), and whatever the store raises."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(), name="uplink lanes")
                tasks.create_task(self._read_ahead(), name="uplink backlog")
                tasks.create_task(self._reader.run(self._traffic.wake.set), name="uplink replay")
        finally:
            if self._down:
                self._outcomes.ended(self._down, {seq for seq, _ in self._answers}, self._clock.mono_ns())
            if self._route.replays.job is not None:
                self._route.replays.job.interrupted()
            self._quiet.set()

    async def wait_quiet(self) -> None:
        """Wait until everything is delivered, or the connection has ended."""
        await self._quiet.wait()

    def offer(self, batch: Batch) -> None:
        """Take a batch that was just sealed. One that cannot go live now stays in the store for the backlog."""
        traffic = self._traffic
        if traffic.is_elsewhere(batch.seq) or batch.seq in traffic.backlog:
            return
        runs = self._route.may_send() and not traffic.refusals.lane_wait_s("live", self._clock.mono_ns())
        if not (runs and traffic.live.offer(batch)):
            traffic.rewind(batch.seq)
        self._quiet.clear()
        traffic.wake.set()

    def look_again(self, seq: int) -> None:
        """The store has batches from `seq` on that it did not have when it was asked."""
        self._traffic.rewind(seq)
        self._poke()

    def replay_asked(self) -> None:
        """There is something new among the replays."""
        self._poke()

    def acknowledged(self, ranges: Sequence[SeqRange]) -> None:
        """The IOC has these."""
        self._outcomes.acknowledged(ranges, self._clock.mono_ns())
        self._poke()

    def peer_changed(self, *, came_up: bool) -> None:
        """The IOC has said something about itself. What waits for one that is offline is not live any more."""
        now_ns, traffic = self._clock.mono_ns(), self._traffic
        if came_up:
            traffic.unconfirmed.hurry(now_ns, COME_UP_S)
            traffic.refusals.lift()
        if not self._route.may_send():
            traffic.spill()
        traffic.bucket.set_rate(self._route.backfill_rate(), now_ns)
        self._say_what_is_taken()
        self._poke()

    async def _pump(self) -> None:
        traffic = self._traffic
        while True:
            traffic.wake.clear()
            self._turning.beat()
            self._settle()
            self._tick()
            while self._send_next():
                pass
            if traffic.is_quiet(self._clock.mono_ns()):
                self._quiet.set()
            else:
                self._quiet.clear()
            wait_s = self._wait_s(self._clock.mono_ns())
            self._turning.beat(wait_s)
            await traffic.wake.wait(wait_s)

    async def _read_ahead(self) -> None:
        """Read the backlog, some batches ahead, and what is to be sent alone."""
        traffic, backlog, suspects = self._traffic, self._traffic.backlog, self._traffic.suspects
        while True:
            traffic.read.clear()
            self._reading.beat()
            now_ns = self._clock.mono_ns()
            if suspects.hungry(now_ns) and self._route.may_send():
                none_any_more = await suspects.read(now_ns)
                if none_any_more is not None:
                    traffic.rewind(none_any_more)
                traffic.wake.set()
            elif backlog.hungry and self._route.may_send():
                generation = backlog.generation
                batches = await self._source.pending(backlog.cursor, READ_BATCHES, READ_BYTES)
                backlog.take(batches, generation, traffic.is_elsewhere)
                traffic.wake.set()
            else:
                self._reading.rest()
                await traffic.read.wait()

    def _settle(self) -> None:
        """Do what the PUBACKs say."""
        now_ns = self._clock.mono_ns()
        while self._answers:
            self._answered_ns = now_ns
            self._outcomes.answered(*self._answers.popleft(), now_ns)
        self._outcomes.settle()
        if self._traffic.suspects.hungry(now_ns):
            self._traffic.read.set()

    def _wait_s(self, now_ns: int) -> float:
        """How long nothing becomes due by time, in seconds; a tick at least, but for what waits for its pace."""
        traffic, pace = self._traffic, self._route.pace
        if wait_s := traffic.wait_s(now_ns):
            return min(wait_s, TICK_S)
        if traffic.is_held or (traffic.unconfirmed and self._route.peer.mode(now_ns) != "ioc"):
            return TICK_S
        dues_ns = [self._swept_ns + round(pace.resend_s * NS_PER_S)]
        if traffic.window:
            dues_ns.append(self._answered_ns + round(pace.silence_s * NS_PER_S))
        if (due_ns := traffic.unconfirmed.due_ns) is not None:
            dues_ns.append(due_ns)
        return max((min(dues_ns) - now_ns) / NS_PER_S, TICK_S)

    def _tick(self) -> None:
        """Once a second at most: what has become due by time."""
        now_ns, traffic, pace = self._clock.mono_ns(), self._traffic, self._route.pace
        if now_ns - self._ticked_ns < TICK_S * NS_PER_S:
            return
        self._ticked_ns = now_ns
        if traffic.window and now_ns - self._answered_ns > pace.silence_s * NS_PER_S:
            self._down = UplinkDown(f"no PUBACK within {pace.silence_s:g} s")
            self._down.in_flight = self._session.in_flight
            raise self._down
        if self._route.peer.mode(now_ns) == "broker":
            self._outcomes.nobody_acknowledges()
        due = traffic.unconfirmed.take_due(now_ns)
        again = [seq for seq in (due, traffic.refusals.released(now_ns)) if seq is not None]
        if again:
            traffic.rewind(min(again))
        elif traffic.backlog.done and now_ns - self._swept_ns > pace.resend_s * NS_PER_S:
            self._swept_ns = now_ns
            traffic.rewind(1)

    def _send_next(self) -> bool:
        """Send one batch; False where nothing may go now."""
        now_ns, traffic = self._clock.mono_ns(), self._traffic
        if not self._route.may_send() or self._session.in_flight >= self._session.limits.receive_maximum:
            return False
        if (suspect := traffic.suspects.batch) and traffic.is_turn_of(suspect, now_ns):
            return self._send_alone(suspect, now_ns)
        if traffic.may_go_live():
            self._send(traffic.live.pop(), "live", now_ns)
            return True
        late = traffic.next_late(now_ns)
        if late is None:
            return False
        if isinstance(late, ReplayJob):
            self._send_again(late, now_ns)
            hungry = self._reader.wake
        else:
            self._send(late.pop(), "backfill", now_ns)
            hungry = traffic.read
        if late.hungry:
            hungry.set()
        return True

    def _send_alone(self, suspect: Batch, now_ns: int) -> bool:
        """Send a suspect when nothing else is in flight; nothing else goes until it is answered."""
        if self._traffic.window or self._session.in_flight:
            return False
        self._send(suspect, "backfill", now_ns)
        if suspect.seq in self._traffic.window:
            self._traffic.suspects.sent()
        else:
            self._traffic.suspects.answered(suspect.seq)  # it is delivered, dead, or passed over
        return True

    def _send_again(self, job: ReplayJob, now_ns: int) -> None:
        batch = job.pop()
        if self._source.is_undelivered(batch.seq):
            job.arrived(batch.seq)  # it goes with the backlog
        else:
            self._publish(InFlight(batch, "backfill", job), now_ns)

    def _send(self, batch: Batch, lane: Lane, now_ns: int) -> None:
        if not self._source.is_undelivered(batch.seq):
            return
        topic, refusals = self._traffic.topic(batch, lane), self._traffic.refusals
        if refusals.topic_wait_s(topic, now_ns):
            refusals.pass_over(topic, batch.seq)
        else:
            self._publish(InFlight(batch, lane), now_ns)

    def _publish(self, sent: InFlight, now_ns: int) -> None:
        message = self._route.format.encode(sent.batch, sent.lane)
        try:
            future = self._session.send(message.topic, message.payload, expiry_s=message.expiry_s)
        except MessageRejected as err:
            self._outcomes.dead(sent, err.reason_code)
            return
        if not self._traffic.window:
            self._answered_ns = now_ns
        self._traffic.sent(sent, now_ns)
        self._route.progress.published += 1
        seq = sent.batch.seq
        future.add_done_callback(lambda done: self._answer(seq, done))

    def _answer(self, seq: int, done: asyncio.Future[int]) -> None:
        """A PUBACK, or the end of the connection; then the batch stays undelivered."""
        if done.cancelled():
            return
        err = done.exception()
        if err is None:
            self._answers.append((seq, done.result()))
            self._traffic.wake.set()
        elif isinstance(err, UplinkDown):
            self._down = err

    def _say_what_is_taken(self) -> None:
        """Let the store seal what the broker and the IOC take. What is sealed already is sent as it is."""
        self._source.allow_rows(allowed=self._route.peer.reads_rows)
        longest = max(self._route.format.frequent, key=len, default="")
        self._route.payload_limit.set(self._session.limits.max_payload_bytes(longest), self._route.peer.max_bytes)

    def _poke(self) -> None:
        self._quiet.clear()
        self._traffic.wake.set()
        self._traffic.read.set()
        self._reader.wake.set()
