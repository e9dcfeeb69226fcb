"""Where each batch of one connection is, and whose turn it is. No I/O; time is passed in.

Promises:
* live goes first: a batch that was just sealed waits for no backlog, only for room in the window;
* the backlog goes oldest first and paced, and never takes the last quarter of the window;
* a replay shares the pace of the backlog: neither stands in the way of the other, or of live data;
* a batch that may be what ends connections is sent alone, and the rest flows (`agent.uplink.lanes.suspicion`).
"""

import asyncio
from typing import Final

from agent.model import Batch
from agent.uplink.formats import Lane
from agent.uplink.lanes.pacing import TokenBucket
from agent.uplink.lanes.queues import Backlog, InFlight, LiveQueue, Window
from agent.uplink.lanes.refusals import Refusals
from agent.uplink.lanes.route import Route
from agent.uplink.lanes.suspects import Suspects
from agent.uplink.lanes.unconfirmed import Unconfirmed
from agent.uplink.replay.replays import ReplayJob
from agent.waking import Alarm

REPLAY_EVERY: Final = 4
"""While there is a backlog, one of so many late batches belongs to a replay."""


class Traffic:
    """The lanes of one connection. `wake` is set when something may go, `read` when more should be read."""

    def __init__(self, route: Route, receive_maximum: int) -> None:
        now_ns = route.clock.mono_ns()
        self.live = LiveQueue()
        self.backlog = Backlog()
        self.window = Window(receive_maximum)
        self.unconfirmed = Unconfirmed(route.pace.resend_s, now_ns)
        self.refusals = Refusals(route.random, route.progress)
        self.suspects = Suspects(route.suspicion, route.source)
        self.bucket = TokenBucket(route.backfill_rate(), now_ns)
        self.wake = Alarm()
        self.read = asyncio.Event()
        self._route = route
        self._late_sent = 0

    def is_elsewhere(self, seq: int) -> bool:
        """Whether the backlog need not look after it."""
        return seq in self.live or seq in self.window or seq in self.unconfirmed or seq in self.suspects

    def is_quiet(self, now_ns: int) -> bool:
        """Whether everything is delivered, as far as is known here."""
        suspects = self.suspects.batch or self.suspects.hungry(now_ns)
        return self.backlog.done and not (self.live or self.window or self.unconfirmed or suspects)

    def rewind(self, seq: int) -> None:
        """The backlog shall find `seq` again, which is undelivered and in no other place."""
        self.backlog.rewind(seq)
        self.read.set()

    def spill(self) -> None:
        """What waits to go live will go with the backlog."""
        lowest = self.live.spill()
        if lowest is not None:
            self.rewind(lowest)

    def may_go_live(self) -> bool:
        """Whether there is something live, and room for it."""
        return bool(self.live) and self.window.has_room("live", 0)

    def next_late(self, now_ns: int) -> Backlog | ReplayJob | None:
        """Whose batch goes next on backfill, as one that went; None where none may go now."""
        if self.backfill_wait_s(now_ns):
            return None
        has_room = self.unconfirmed.has_room(self.window.backfill_readings)
        backlog = self.backlog if has_room and self._fits(self.backlog) else None
        job = self._route.replays.job
        if job and not (self._fits(job) and self._may_go_again(job.next, now_ns)):
            job = None
        if not (backlog or job):
            return None
        self._late_sent += 1
        its_turn = self._late_sent % REPLAY_EVERY == 0 or not backlog
        return job if job and its_turn else backlog

    def is_turn_of(self, suspect: Batch, now_ns: int) -> bool:
        """Whether a batch that must go alone is the only one that may go now."""
        in_flight, nothing_else = suspect.seq in self.window, self.backlog.done and not (self.live or self.window)
        turn = self.suspects.has_turn(in_flight=in_flight, nothing_else=nothing_else)
        return turn and (in_flight or not self.backfill_wait_s(now_ns))

    def backfill_wait_s(self, now_ns: int) -> float:
        """How long nothing late may go, in seconds."""
        return max(self.refusals.lane_wait_s("backfill", now_ns), self.bucket.wait_s(now_ns))

    def wait_s(self, now_ns: int) -> float:
        """How long something late that is there must wait, in seconds; 0 where there is nothing, or it need not."""
        late = self.backlog or self._route.replays.job
        return self.backfill_wait_s(now_ns) if late else 0.0

    @property
    def is_held(self) -> bool:
        """Whether something waits of which only a look tells whether it may go now."""
        waiting = self.live or self.backlog or self._route.replays.job
        return bool(waiting or self.refusals or self.suspects)

    def sent(self, sent: InFlight, now_ns: int) -> None:
        """A batch is on its way."""
        if sent.lane == "backfill":
            self.bucket.take(sent.batch.readings, now_ns)
        self.window.add(sent)

    def topic(self, batch: Batch, lane: Lane) -> str:
        """Where a batch goes."""
        return self._route.format.encode(batch, lane).topic

    def _may_go_again(self, batch: Batch, now_ns: int) -> bool:
        held = self.refusals.topic_wait_s(self.topic(batch, "backfill"), now_ns)
        return not held and batch.seq not in self.window  # of a replay that was cancelled, and was asked for again

    def _fits(self, late: Backlog | ReplayJob) -> bool:
        return late.has_next and self.window.has_room("backfill", len(late.next.payload))
