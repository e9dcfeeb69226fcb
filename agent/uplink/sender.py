"""One connection's lanes: takes batches from the store, sends them in order, settles what became of each.

Promises:
* live goes first: a batch that was just sealed waits for no backlog, only for room in the window;
* the backlog goes oldest first and paced, and never takes the last quarter of the window;
* a batch is marked delivered only by the word that counts (`agent.uplink.peer`), and dead only by a refusal for good;
* what is not delivered `resend_s` after its PUBACK is sent again, with the same bytes;
* while the IOC says that it is offline, nothing is sent.

Must not know: MQTT beyond reason codes, JSON, files. A replay that the IOC asks for will be one more `Backlog`, over
the archive instead of what is undelivered.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Final, Literal, Protocol

import msgspec

from agent.clock import NS_PER_S, Clock
from agent.model import Batch, BatchSource, SeqRange
from agent.supervise import Backoff
from agent.uplink.encoders import Encoder, Lane
from agent.uplink.errors import MessageRejected, UplinkDown
from agent.uplink.lanes import Backlog, LiveQueue, Window
from agent.uplink.mqtt import Limits
from agent.uplink.pacing import Pause, TokenBucket
from agent.uplink.peer import Peer
from agent.uplink.reasons import FIRST_PAUSE_S, Verdict, max_pause_s, reason_name, verdict
from agent.uplink.unconfirmed import Unconfirmed

log = logging.getLogger(__name__)

READ_BATCHES: Final = 50
READ_BYTES: Final = 256 * 1024
TICK_S: Final = 1.0
COME_UP_S: Final = 2.0
"""An IOC that has come up acknowledges within this time what it has stored before; the rest is sent again."""


class Sending(Protocol):
    """What the lanes need of a connection: `agent.uplink.mqtt.MqttSession`."""

    limits: Limits

    @property
    def in_flight(self) -> int: ...

    def send(
        self, topic: str, payload: bytes, *, qos: Literal[0, 1] = 1, retain: bool = False, expiry_s: int | None = None
    ) -> asyncio.Future[int]: ...


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How patient and how fast the lanes are. Without any PUBACK for `silence_s` the connection is given up."""

    resend_s: float = 60.0
    silence_s: float = 60.0
    backfill_readings_per_s: float = 20_000.0


class Progress(msgspec.Struct, kw_only=True):
    """What the lanes have done since the start of the process; `alarm` is a fault that a person must mend."""

    published: int = 0
    acked: int = 0
    rejected: dict[str, int] = {}
    dead: int = 0
    last_ack_ms: int | None = None
    alarm: str = ""


class Sender:
    """The lanes of one connection."""

    def __init__(
        self,
        session: Sending,
        source: BatchSource,
        encoder: Encoder,
        clock: Clock,
        peer: Peer,
        pace: Pace,
        random: Random,
        progress: Progress,
    ) -> None:
        now_ns = clock.mono_ns()
        self._session = session
        self._source = source
        self._encoder = encoder
        self._clock = clock
        self._peer = peer
        self._pace = pace
        self._progress = progress
        self._live = LiveQueue()
        self._backlog = Backlog()
        self._window = Window(session.limits.receive_maximum)
        self._unconfirmed = Unconfirmed(pace.resend_s, now_ns)
        self._bucket = TokenBucket(pace.backfill_readings_per_s, now_ns)
        self._pauses: dict[Lane, Pause] = {
            lane: Pause(Backoff(FIRST_PAUSE_S, max_pause_s(0x87), random)) for lane in ("live", "backfill")
        }
        self._answers: deque[tuple[int, int]] = deque()
        self._answered_ns = self._ticked_ns = self._swept_ns = now_ns
        self._wake = asyncio.Event()
        self._read = asyncio.Event()
        self._quiet = asyncio.Event()

    @property
    def in_flight(self) -> int:
        return len(self._window)

    async def run(self) -> None:
        """Send until the connection ends; raises `UplinkDown` (in a group), and whatever the store raises."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(), name="uplink lanes")
                tasks.create_task(self._read_ahead(), name="uplink backlog")
        finally:
            self._quiet.set()

    async def wait_quiet(self) -> None:
        """Wait until everything is delivered, or the connection has ended."""
        await self._quiet.wait()

    def offer(self, batch: Batch) -> None:
        """Take a batch that was just sealed. One that cannot go live now stays in the store for the backlog."""
        if self._is_elsewhere(batch.seq) or batch.seq in self._backlog:
            return
        runs = self._may_send() and not self._pauses["live"].wait_s(self._clock.mono_ns())
        if not (runs and self._live.offer(batch)):
            self._rewind(batch.seq)
        self._poke()

    def look_again(self, seq: int) -> None:
        """The store has batches from `seq` on that it did not have when it was asked."""
        self._rewind(seq)
        self._poke()

    def acknowledged(self, ranges: Sequence[SeqRange]) -> None:
        """The IOC has these."""
        self._source.mark_delivered(ranges)
        self._unconfirmed.confirm(ranges, self._clock.mono_ns())
        self._progress.last_ack_ms = self._clock.wall_ms()
        self._poke()

    def peer_changed(self, *, came_up: bool) -> None:
        """The IOC has said something about itself. What waits for one that is offline is not live any more."""
        if came_up:
            self._unconfirmed.hurry(self._clock.mono_ns(), COME_UP_S)
            for pause in self._pauses.values():
                pause.end()
        if not self._may_send():
            self._spill()
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
        while True:
            self._read.clear()
            if self._backlog.hungry and self._may_send():
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
            batch, lane = self._window.remove(seq)
            self._answered_ns = now_ns
            match verdict(code):
                case Verdict.ACCEPTED:
                    self._accepted(batch, lane, now_ns, delivered)
                case Verdict.DEAD:
                    self._dead(batch, code)
                case Verdict.FORBIDDEN | Verdict.BUSY | Verdict.NO_SUBSCRIBER:
                    self._refused(batch, lane, code, now_ns)
        self._deliver(delivered)

    def _accepted(self, batch: Batch, lane: Lane, now_ns: int, delivered: list[SeqRange]) -> None:
        self._progress.acked += 1
        self._pauses[lane].end()
        self._end_alarm(batch, lane)
        if self._peer.mode(now_ns) == "broker":
            delivered.append((batch.seq, batch.seq))
        elif self._source.is_undelivered(batch.seq):  # the IOC's ack can be faster than the PUBACK
            self._unconfirmed.add(batch, now_ns)

    def _dead(self, batch: Batch, code: int) -> None:
        name = reason_name(code)
        self._progress.dead += 1
        self._progress.rejected[name] = self._progress.rejected.get(name, 0) + 1
        log.error("batch %d can never be sent and is put aside: %s (0x%02X)", batch.seq, name, code)
        self._source.mark_dead(batch.seq)

    def _refused(self, batch: Batch, lane: Lane, code: int, now_ns: int) -> None:
        name = reason_name(code)
        self._progress.rejected[name] = self._progress.rejected.get(name, 0) + 1
        if verdict(code) is Verdict.FORBIDDEN:
            self._raise_alarm(f"{self._encoder.encode(batch, lane).topic}: {name} (0x{code:02X})")
        self._pauses[lane].begin(now_ns, max_pause_s(code))
        self._rewind(batch.seq)
        if lane == "live":
            self._spill()

    def _raise_alarm(self, alarm: str) -> None:
        if alarm != self._progress.alarm:
            log.error("the broker forbids us to publish on %s: see its access rules; the data is kept", alarm)
        self._progress.alarm = alarm

    def _end_alarm(self, batch: Batch, lane: Lane) -> None:
        alarm = self._progress.alarm
        if alarm and alarm.startswith(f"{self._encoder.encode(batch, lane).topic}:"):
            log.info("the broker lets us publish again: %s is over", alarm)
            self._progress.alarm = ""

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
            raise UplinkDown(f"no PUBACK within {self._pace.silence_s:g} s")
        if self._peer.mode(now_ns) == "broker":
            self._deliver([(seq, seq) for seq in self._unconfirmed.take_all()])
        due = self._unconfirmed.take_due(now_ns)
        if due is not None:
            self._rewind(due)
        elif self._backlog.done and now_ns - self._swept_ns > self._pace.resend_s * NS_PER_S:
            self._swept_ns = now_ns
            self._rewind(1)

    def _send_next(self) -> bool:
        """Send one batch, live first; False where nothing may go now."""
        now_ns = self._clock.mono_ns()
        if not self._may_send() or self._session.in_flight >= self._session.limits.receive_maximum:
            return False
        if self._live and self._window.has_room("live", 0):
            self._send(self._live.pop(), "live", now_ns)
        elif self._may_backfill(now_ns):
            self._send(self._backlog.pop(), "backfill", now_ns)
            if self._backlog.hungry:
                self._read.set()
        else:
            return False
        return True

    def _may_send(self) -> bool:
        return self._peer.online is not False

    def _may_backfill(self, now_ns: int) -> bool:
        return bool(
            self._backlog
            and self._window.has_room("backfill", len(self._backlog.next.payload))
            and self._unconfirmed.has_room
            and not self._backfill_wait_s(now_ns)
        )

    def _backfill_wait_s(self, now_ns: int) -> float:
        return max(self._pauses["backfill"].wait_s(now_ns), self._bucket.wait_s(now_ns))

    def _send(self, batch: Batch, lane: Lane, now_ns: int) -> None:
        if not self._source.is_undelivered(batch.seq):
            return
        message = self._encoder.encode(batch, lane)
        try:
            future = self._session.send(message.topic, message.payload, expiry_s=message.expiry_s)
        except MessageRejected as err:
            self._dead(batch, err.reason_code)
            return
        if lane == "backfill":
            self._bucket.take(batch.readings, now_ns)
        if not self._window:
            self._answered_ns = now_ns
        self._window.add(batch, lane)
        self._progress.published += 1
        future.add_done_callback(lambda done: self._answer(batch.seq, done))

    def _answer(self, seq: int, done: asyncio.Future[int]) -> None:
        """A PUBACK, or the end of the connection; then the batch stays undelivered."""
        if not done.cancelled() and done.exception() is None:
            self._answers.append((seq, done.result()))
            self._wake.set()

    def _wait_s(self) -> float:
        """How long nothing can happen by itself, in seconds."""
        wait_s = self._backfill_wait_s(self._clock.mono_ns()) if self._backlog else 0.0
        return min(wait_s, TICK_S) if wait_s else TICK_S

    def _is_elsewhere(self, seq: int) -> bool:
        return seq in self._live or seq in self._window or seq in self._unconfirmed

    def _is_quiet(self) -> bool:
        return self._backlog.done and not (self._live or self._window or self._unconfirmed)

    def _poke(self) -> None:
        self._quiet.clear()
        self._wake.set()
        self._read.set()
