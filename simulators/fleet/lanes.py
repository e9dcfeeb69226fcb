"""What leaves next: live before late, within the broker's window, the backlog oldest first and paced. Pure.

1. Never more in flight than the window; what is late, at most three quarters of it.
2. A topic that the broker refuses is paused, longer each time; the others flow on.
3. While there is a replay, the backlog has three of four turns.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from simulators.fleet.faults import FaultName
from simulators.fleet.outbox import Batch, Lane
from simulators.fleet.pace import Bucket
from simulators.fleet.replays import Replays

MAX_WINDOW = 20
NO_SUBSCRIBERS = 0x10
FORBIDDEN = frozenset((0x87, 0x90))
DEAD = frozenset((0x95, 0x99))
_LIVE: tuple[Lane, ...] = ("event", "result", "data")


@dataclass(slots=True, eq=False)
class Sending:
    """One PUBLISH: `topic` is what stands behind `up/`. Without a batch nobody waits for it."""

    topic: str
    payload: bytes
    retain: bool = False
    batch: Batch | None = None
    late: bool = False
    replayed: bool = False
    fault: FaultName | None = None


@dataclass(slots=True)
class _Pause:
    until_s: float
    wait_s: float


class Lanes:
    """The queues of one gateway."""

    def __init__(self, bucket: Bucket, replays: Replays) -> None:
        self.bucket = bucket
        self.in_flight = 0
        self.forbidden: dict[str, int] = {}
        """The topics that a person must allow at the broker, with the reason code."""
        self._window = MAX_WINDOW
        self._late_in_flight = 0
        self._replays = replays
        self._turn = 0
        self._retained: dict[str, Sending] = {}
        self._live: dict[Lane, deque[Sending]] = {lane: deque() for lane in _LIVE}
        self._late: dict[Lane, list[tuple[int, Batch]]] = {lane: [] for lane in _LIVE}
        self._paused: dict[str, _Pause] = {}

    def open(self, receive_maximum: int, undelivered: Iterable[Batch]) -> None:
        """A new connection: nothing is in flight, and what is not delivered is late."""
        self._window = min(MAX_WINDOW, receive_maximum)
        self.in_flight = self._late_in_flight = 0
        self._retained.clear()
        self._paused.clear()
        for queue in self._live.values():
            queue.clear()
        for lane, heap in self._late.items():
            heap[:] = [(batch.seq, batch) for batch in undelivered if batch.lane == lane]
            heapify(heap)
        self._replays.rewind()

    def put_retained(self, sending: Sending) -> None:
        """Births and status go before everything else; of one topic the newest."""
        self._retained[sending.topic] = sending

    def put_live(self, sending: Sending) -> None:
        """What nobody waits for, because it is a fault, goes with the data."""
        self._live[sending.batch.lane if sending.batch else "data"].append(sending)

    def put_late(self, batch: Batch) -> None:
        heappush(self._late[batch.lane], (batch.seq, batch))

    @property
    def backlog(self) -> int:
        """How many batches wait to be sent again."""
        return sum(len(heap) for heap in self._late.values())

    @property
    def empty(self) -> bool:
        """Nothing is in flight, and nothing waits but what is late."""
        return not (self.in_flight or self._retained or any(self._live.values()))

    def take(self, now_s: float, *, only_retained: bool) -> Sending | None:
        """What leaves now; it counts as in flight."""
        if self.in_flight >= self._window:
            return None
        sending = self._next_retained(now_s)
        if sending is None and not only_retained:
            sending = self._next_live(now_s) or self._next_late(now_s)
        if sending is not None:
            self.in_flight += 1
            self._late_in_flight += sending.late
        return sending

    def landed(self, sending: Sending, code: int, now_s: float) -> None:
        """The broker has answered."""
        self.in_flight -= 1
        self._late_in_flight -= sending.late
        if code == 0 or code in DEAD or (sending.retain and code == NO_SUBSCRIBERS):
            self._paused.pop(sending.topic, None)
            self.forbidden.pop(sending.topic, None)
            return
        self._pause(sending.topic, code, now_s)
        if code in FORBIDDEN:
            self.forbidden[sending.topic] = code
        if sending.retain:
            self._retained.setdefault(sending.topic, sending)

    def _pause(self, topic: str, code: int, now_s: float) -> None:
        """All that was in flight is refused together, which counts once."""
        before = self._paused.get(topic)
        if before is not None and now_s < before.until_s:
            return
        longest_s = 10.0 if code == NO_SUBSCRIBERS else 60.0 if code in FORBIDDEN else 30.0
        wait_s = min(longest_s, before.wait_s * 2 if before else 1.0)
        self._paused[topic] = _Pause(now_s + wait_s, wait_s)

    def _flows(self, topic: str, now_s: float) -> bool:
        pause = self._paused.get(topic)
        return pause is None or now_s >= pause.until_s

    def _next_retained(self, now_s: float) -> Sending | None:
        topic = next((topic for topic in self._retained if self._flows(topic, now_s)), None)
        return self._retained.pop(topic) if topic is not None else None

    def _next_live(self, now_s: float) -> Sending | None:
        for lane in _LIVE:
            queue = self._live[lane]
            while queue and queue[0].batch is not None and queue[0].batch.settled:
                queue.popleft()
            if queue and self._flows(lane, now_s):
                return queue.popleft()
        return None

    def _next_late(self, now_s: float) -> Sending | None:
        """The backlog, or every fourth time a replay; each where the other has nothing."""
        if self._replays.idle and not any(self._late.values()):
            return None
        if self._late_in_flight >= self._window * 3 // 4 or not self.bucket.allows(now_s):
            return None
        self._turn = (self._turn + 1) % 4
        first, second = self._next_of_backlog, self._next_of_replay
        if self._turn == 0:
            first, second = second, first
        sending = first(now_s) or second(now_s)
        if sending is not None and sending.batch is not None:
            self.bucket.take(sending.batch.readings)
        return sending

    def _next_of_backlog(self, now_s: float) -> Sending | None:
        flowing = [heap for lane, heap in self._late.items() if _head(heap) and self._flows(_late_topic(lane), now_s)]
        if not flowing:
            return None
        _, batch = heappop(min(flowing, key=lambda heap: heap[0][0]))
        return Sending(_late_topic(batch.lane), batch.payload, batch=batch, late=True)

    def _next_of_replay(self, now_s: float) -> Sending | None:
        batch = self._replays.peek()
        if batch is None or not self._flows(_late_topic(batch.lane), now_s):
            return None
        self._replays.taken(batch)
        return Sending(_late_topic(batch.lane), batch.payload, batch=batch, late=True, replayed=True)


def _head(heap: list[tuple[int, Batch]]) -> bool:
    """Whether there is anything left, past what was settled meanwhile."""
    while heap and heap[0][1].settled:
        heappop(heap)
    return bool(heap)


def _late_topic(lane: Lane) -> str:
    return "backfill" if lane == "data" else lane
