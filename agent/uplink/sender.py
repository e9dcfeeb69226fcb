"""One connection's lanes: takes batches from the store, sends them in order, settles what became of each.

Promises:
* live goes first: a batch that was just sealed waits for no backlog, only for room in the window;
* the backlog goes oldest first and paced, and never takes the last quarter of the window;
* a replay shares the pace of the backlog: neither stands in the way of the other, or of live data;
* a batch is marked delivered only by the word that counts (`agent.uplink.peer`), and dead only by a refusal for good;
* what is not delivered `resend_s` after its PUBACK is sent again, with the same bytes;
* while the IOC says that it is offline, nothing is sent;
* a batch that may be what ends connections is sent alone, and the rest flows (`agent.uplink.suspicion`).

Must not know: MQTT beyond reason codes, JSON, files.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Final, Literal, NamedTuple, Protocol

from agent.clock import NS_PER_S, Clock
from agent.model import Batch, BatchSource, SeqRange
from agent.uplink.errors import MessageRejected, UplinkDown
from agent.uplink.formats import Format, Lane
from agent.uplink.lanes import Backlog, InFlight, LiveQueue, Window
from agent.uplink.mqtt import Limits
from agent.uplink.pacing import TokenBucket
from agent.uplink.peer import Peer
from agent.uplink.progress import Pace, Progress
from agent.uplink.reasons import TOO_LARGE, Verdict, reason_name, verdict
from agent.uplink.refusals import Refusals
from agent.uplink.replaying import ReplayJob, Replays
from agent.uplink.rereading import ReplayReader
from agent.uplink.suspects import Suspects
from agent.uplink.suspicion import Suspicion
from agent.uplink.unconfirmed import Unconfirmed

log = logging.getLogger(__name__)

READ_BATCHES: Final = 50
READ_BYTES: Final = 256 * 1024
TICK_S: Final = 1.0
COME_UP_S: Final = 2.0
"""An IOC that has come up acknowledges within this time what it has stored before; the rest is sent again."""
REPLAY_EVERY: Final = 4
"""While there is a backlog, one of so many late batches belongs to a replay."""


class Sending(Protocol):
    """What the lanes need of a connection: `agent.uplink.mqtt.MqttSession`."""

    limits: Limits

    @property
    def in_flight(self) -> int: ...

    def send(
        self, topic: str, payload: bytes, *, qos: Literal[0, 1] = 1, retain: bool = False, expiry_s: int | None = None
    ) -> asyncio.Future[int]: ...


class Route(NamedTuple):
    """What all connections of one uplink share: where batches come from, how they are said, and to whom."""

    source: BatchSource
    format: Format
    clock: Clock
    peer: Peer
    replays: Replays
    pace: Pace
    progress: Progress
    random: Random
    suspicion: Suspicion


class Sender:
    """The lanes of one connection."""

    def __init__(self, session: Sending, route: Route) -> None:
        now_ns = route.clock.mono_ns()
        self._session = session
        self._source, self._format, self._clock, self._peer = route.source, route.format, route.clock, route.peer
        self._replays, self._pace, self._progress = route.replays, route.pace, route.progress
        self._live = LiveQueue()
        self._backlog = Backlog()
        self._window = Window(session.limits.receive_maximum)
        self._unconfirmed = Unconfirmed(self._pace.resend_s, now_ns)
        self._bucket = TokenBucket(self._backfill_rate(), now_ns)
        self._refusals = Refusals(route.random, self._progress)
        self._late_sent = 0
        self._answers: deque[tuple[int, int]] = deque()
        self._answered_ns = self._ticked_ns = self._swept_ns = now_ns
        self._wake = asyncio.Event()
        self._read = asyncio.Event()
        self._reader = ReplayReader(self._source, self._replays, self._may_send)
        self._quiet = asyncio.Event()
        self._suspects = Suspects(route.suspicion, route.source)
        self._down: UplinkDown | None = None
        self._limit_payload()

    @property
    def in_flight(self) -> int:
        return len(self._window)

    async def run(self) -> None:
        """Send until the connection ends; raises `UplinkDown` (in a group), and whatever the store raises."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(), name="uplink lanes")
                tasks.create_task(self._read_ahead(), name="uplink backlog")
                tasks.create_task(self._reader.run(self._wake.set), name="uplink replay")
        finally:
            if self._down:
                self._ended(self._down)
            if self._replays.job is not None:
                self._replays.job.interrupted()
            self._quiet.set()

    async def wait_quiet(self) -> None:
        """Wait until everything is delivered, or the connection has ended."""
        await self._quiet.wait()

    def offer(self, batch: Batch) -> None:
        """Take a batch that was just sealed. One that cannot go live now stays in the store for the backlog."""
        if self._is_elsewhere(batch.seq) or batch.seq in self._backlog:
            return
        runs = self._may_send() and not self._refusals.lane_wait_s("live", self._clock.mono_ns())
        if not (runs and self._live.offer(batch)):
            self._rewind(batch.seq)
        self._poke()

    def look_again(self, seq: int) -> None:
        """The store has batches from `seq` on that it did not have when it was asked."""
        self._rewind(seq)
        self._poke()

    def replay_asked(self) -> None:
        """There is something new among the replays."""
        self._poke()

    def acknowledged(self, ranges: Sequence[SeqRange]) -> None:
        """The IOC has these."""
        self._source.mark_delivered(ranges)
        self._unconfirmed.confirm(ranges, self._clock.mono_ns())
        self._progress.last_ack_ms = self._clock.wall_ms()
        self._poke()

    def peer_changed(self, *, came_up: bool) -> None:
        """The IOC has said something about itself. What waits for one that is offline is not live any more."""
        now_ns = self._clock.mono_ns()
        if came_up:
            self._unconfirmed.hurry(now_ns, COME_UP_S)
            self._refusals.lift()
        if not self._may_send():
            self._spill()
        self._bucket.set_rate(self._backfill_rate(), now_ns)
        self._limit_payload()
        self._poke()

    async def _pump(self) -> None:
        while True:
            self._wake.clear()
            self._settle()
            self._tick()
            while self._send_next():
                pass
            if self._is_quiet():
                self._quiet.set()
            else:
                self._quiet.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._wait_s()):
                    await self._wake.wait()

    async def _read_ahead(self) -> None:
        """Read the backlog, some batches ahead, and what is to be sent alone."""
        while True:
            self._read.clear()
            now_ns = self._clock.mono_ns()
            if self._suspects.hungry(now_ns) and self._may_send():
                none_any_more = await self._suspects.read(now_ns)
                if none_any_more is not None:
                    self._rewind(none_any_more)
                self._wake.set()
            elif self._backlog.hungry and self._may_send():
                generation = self._backlog.generation
                batches = await self._source.pending(self._backlog.cursor, READ_BATCHES, READ_BYTES)
                self._backlog.take(batches, generation, self._is_elsewhere)
                self._wake.set()
            else:
                await self._read.wait()

    def _settle(self) -> None:
        """Do what the PUBACKs say."""
        now_ns = self._clock.mono_ns()
        delivered: list[SeqRange] = []
        while self._answers:
            seq, code = self._answers.popleft()
            sent = self._window.remove(seq)
            self._answered_ns = now_ns
            self._suspects.answered(seq)
            match verdict(code):
                case Verdict.ACCEPTED:
                    self._accepted(sent, now_ns, delivered)
                case Verdict.DEAD:
                    self._dead(sent, code)
                case Verdict.FORBIDDEN | Verdict.BUSY | Verdict.NO_SUBSCRIBER:
                    self._refused(sent, code, now_ns)
        self._replays.settle()
        self._deliver(delivered)
        if self._suspects.hungry(now_ns):
            self._read.set()

    def _accepted(self, sent: InFlight, now_ns: int, delivered: list[SeqRange]) -> None:
        batch = sent.batch
        self._progress.acked += 1
        self._refusals.accepted(self._topic(batch, sent.lane), sent.lane)
        if sent.job:
            sent.job.arrived(batch.seq)
        elif self._peer.mode(now_ns) == "broker":
            delivered.append((batch.seq, batch.seq))
        elif self._source.is_undelivered(batch.seq):  # the IOC's ack can be faster than the PUBACK
            self._unconfirmed.add(batch, now_ns)

    def _dead(self, sent: InFlight, code: int) -> None:
        seq = sent.batch.seq
        self._refusals.count(code)
        log.error("batch %d can never be sent and is put aside: %s (0x%02X)", seq, reason_name(code), code)
        if sent.job:
            sent.job.passed(seq)
        else:
            self._progress.dead += 1
            self._source.mark_dead(seq)

    def _refused(self, sent: InFlight, code: int, now_ns: int) -> None:
        seq, lane = sent.batch.seq, sent.lane
        self._refusals.refused(self._topic(sent.batch, lane), seq, lane, code, now_ns)
        if sent.job:
            sent.job.returned(seq)
        elif verdict(code) is not Verdict.FORBIDDEN:
            self._rewind(seq)
            if lane == "live":
                self._spill()

    def _deliver(self, ranges: Sequence[SeqRange]) -> None:
        if ranges:
            self._source.mark_delivered(ranges)
            self._progress.last_ack_ms = self._clock.wall_ms()

    def _spill(self) -> None:
        """What waits to go live will go with the backlog."""
        lowest = self._live.spill()
        if lowest is not None:
            self._rewind(lowest)

    def _rewind(self, seq: int) -> None:
        self._backlog.rewind(seq)
        self._read.set()

    def _tick(self) -> None:
        """Once a second: what has become due by time."""
        now_ns = self._clock.mono_ns()
        if now_ns - self._ticked_ns < TICK_S * NS_PER_S:
            return
        self._ticked_ns = now_ns
        if self._window and now_ns - self._answered_ns > self._pace.silence_s * NS_PER_S:
            self._down = UplinkDown(f"no PUBACK within {self._pace.silence_s:g} s")
            self._down.in_flight = self._session.in_flight
            raise self._down
        if self._peer.mode(now_ns) == "broker":
            self._deliver([(seq, seq) for seq in self._unconfirmed.take_all()])
        due = self._unconfirmed.take_due(now_ns)
        again = [seq for seq in (due, self._refusals.released(now_ns)) if seq is not None]
        if again:
            self._rewind(min(again))
        elif self._backlog.done and now_ns - self._swept_ns > self._pace.resend_s * NS_PER_S:
            self._swept_ns = now_ns
            self._rewind(1)

    def _send_next(self) -> bool:
        """Send one batch, live first; False where nothing may go now."""
        now_ns = self._clock.mono_ns()
        if not self._may_send() or self._session.in_flight >= self._session.limits.receive_maximum:
            return False
        if (suspect := self._suspects.batch) and self._is_turn_of(suspect, now_ns):
            return self._send_alone(suspect, now_ns)
        if self._live and self._window.has_room("live", 0):
            self._send(self._live.pop(), "live", now_ns)
            return True
        late = self._next_late(now_ns)
        if late is None:
            return False
        self._late_sent += 1
        if isinstance(late, ReplayJob):
            self._send_again(late, now_ns)
            hungry = self._reader.wake
        else:
            self._send(late.pop(), "backfill", now_ns)
            hungry = self._read
        if late.hungry:
            hungry.set()
        return True

    def _is_turn_of(self, suspect: Batch, now_ns: int) -> bool:
        in_flight, nothing_else = suspect.seq in self._window, self._backlog.done and not (self._live or self._window)
        turn = self._suspects.has_turn(in_flight=in_flight, nothing_else=nothing_else)
        return turn and (in_flight or not self._backfill_wait_s(now_ns))

    def _send_alone(self, suspect: Batch, now_ns: int) -> bool:
        """Send a suspect when nothing else is in flight; nothing else goes until it is answered."""
        if self._window or self._session.in_flight:
            return False
        self._send(suspect, "backfill", now_ns)
        if suspect.seq in self._window:
            self._suspects.sent()
        else:
            self._suspects.answered(suspect.seq)  # it is delivered, dead, or passed over
        return True

    def _next_late(self, now_ns: int) -> Backlog | ReplayJob | None:
        """Whose batch goes next on backfill; None where none may go now."""
        if self._backfill_wait_s(now_ns):
            return None
        has_room = self._unconfirmed.has_room(self._window.backfill_readings)
        backlog = self._backlog if has_room and self._fits(self._backlog) else None
        job = self._replays.job
        if job and not (self._fits(job) and self._may_go_again(job.next, now_ns)):
            job = None
        if backlog and job:
            return job if self._late_sent % REPLAY_EVERY == 0 else backlog
        return backlog or job or None

    def _may_go_again(self, batch: Batch, now_ns: int) -> bool:
        held = self._refusals.topic_wait_s(self._topic(batch, "backfill"), now_ns)
        return not held and batch.seq not in self._window  # of a replay that was cancelled, and was asked for again

    def _fits(self, late: Backlog | ReplayJob) -> bool:
        return late.has_next and self._window.has_room("backfill", len(late.next.payload))

    def _may_send(self) -> bool:
        return self._peer.online is not False

    def _backfill_wait_s(self, now_ns: int) -> float:
        return max(self._refusals.lane_wait_s("backfill", now_ns), self._bucket.wait_s(now_ns))

    def _backfill_rate(self) -> float:
        """In readings a second: what the configuration says, and no more than the IOC wants."""
        state = self._peer.state
        wanted = state.backfill_readings_per_s if state else None
        return min(self._pace.backfill_readings_per_s, wanted or self._pace.backfill_readings_per_s)

    def _send_again(self, job: ReplayJob, now_ns: int) -> None:
        batch = job.pop()
        if self._source.is_undelivered(batch.seq):
            job.arrived(batch.seq)  # it goes with the backlog
        else:
            self._publish(InFlight(batch, "backfill", job), now_ns)

    def _send(self, batch: Batch, lane: Lane, now_ns: int) -> None:
        if not self._source.is_undelivered(batch.seq):
            return
        topic = self._topic(batch, lane)
        if self._refusals.topic_wait_s(topic, now_ns):
            self._refusals.pass_over(topic, batch.seq)
        else:
            self._publish(InFlight(batch, lane), now_ns)

    def _publish(self, sent: InFlight, now_ns: int) -> None:
        message = self._format.encode(sent.batch, sent.lane)
        if self._peer.max_bytes is not None and len(message.payload) > self._peer.max_bytes:
            self._dead(sent, TOO_LARGE)
            return
        try:
            future = self._session.send(message.topic, message.payload, expiry_s=message.expiry_s)
        except MessageRejected as err:
            self._dead(sent, err.reason_code)
            return
        if sent.lane == "backfill":
            self._bucket.take(sent.batch.readings, now_ns)
        if not self._window:
            self._answered_ns = now_ns
        self._window.add(sent)
        self._progress.published += 1
        seq = sent.batch.seq
        future.add_done_callback(lambda done: self._answer(seq, done))

    def _answer(self, seq: int, done: asyncio.Future[int]) -> None:
        """A PUBACK, or the end of the connection; then the batch stays undelivered."""
        if done.cancelled():
            return
        err = done.exception()
        if err is None:
            self._answers.append((seq, done.result()))
            self._wake.set()
        elif isinstance(err, UplinkDown):
            self._down = err

    def _ended(self, down: UplinkDown) -> None:
        """Remember what was in flight; a batch for which the broker ends connections is put aside."""
        answered = {seq for seq, _ in self._answers}
        waiting = [seq for seq in self._window.seqs() if seq not in answered]
        refused = self._suspects.ended(waiting, down, self._clock.mono_ns())
        if refused is not None:
            self._dead(self._window.remove(refused), down.code or TOO_LARGE)

    def _limit_payload(self) -> None:
        """Let the store seal no more than the broker and the IOC take."""
        longest = max(self._format.frequent, key=len)
        limits = [self._session.limits.max_payload_bytes(longest), self._peer.max_bytes]
        self._source.limit_payload(min((most for most in limits if most is not None), default=None))

    def _wait_s(self) -> float:
        """How long nothing can happen by itself, in seconds."""
        late = self._backlog or self._replays.job
        wait_s = self._backfill_wait_s(self._clock.mono_ns()) if late else 0.0
        return min(wait_s, TICK_S) if wait_s else TICK_S

    def _topic(self, batch: Batch, lane: Lane) -> str:
        return self._format.encode(batch, lane).topic

    def _is_elsewhere(self, seq: int) -> bool:
        return seq in self._live or seq in self._window or seq in self._unconfirmed or seq in self._suspects

    def _is_quiet(self) -> bool:
        suspects = self._suspects.batch or self._suspects.hungry(self._clock.mono_ns())
        return self._backlog.done and not (self._live or self._window or self._unconfirmed or suspects)

    def _poke(self) -> None:
        self._quiet.clear()
        self._wake.set()
        self._read.set()
        self._reader.wake.set()
