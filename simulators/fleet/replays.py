"""What the IOC has asked for again: one replay after the other, each with its result. Pure.

A replay by numbers names what is not kept any more. What is not delivered yet comes in any case: it is not sent twice.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from simulators.fleet.outbox import Batch
from simulators.fleet.payloads import ReplayRequest, Result, SeqRange, ranges_of

MAX_WAITING = 8
MAX_RANGES = 500


@dataclass(slots=True)
class _Replay:
    """One request under way."""

    id: str
    to_send: deque[Batch]
    sent: dict[int, Batch] = field(default_factory=dict)
    landed: dict[int, Batch] = field(default_factory=dict)
    coming: list[int] = field(default_factory=list)
    missing: list[SeqRange] = field(default_factory=list)


class Replays:
    """`answer` takes each result; its time is the caller's."""

    def __init__(self, epoch: str, kept: Callable[[], Iterable[Batch]], answer: Callable[[Result], None]) -> None:
        self._epoch = epoch
        self._kept = kept
        self._answer = answer
        self._waiting: deque[ReplayRequest] = deque()
        self._current: _Replay | None = None

    @property
    def idle(self) -> bool:
        return self._current is None and not self._waiting

    def ask(self, request: ReplayRequest) -> None:
        """Take a request up, or refuse it with a result."""
        if request.cancel:
            self._cancel(request.id)
        elif self._knows(request.id):
            return
        elif (request.ranges is None or request.epoch is None) and (request.from_ms is None or request.to_ms is None):
            self._refuse(request.id, "neither ranges of an epoch nor from_ms and to_ms")
        elif len(self._waiting) >= MAX_WAITING:
            self._refuse(request.id, f"{MAX_WAITING} replays wait already")
        else:
            self._waiting.append(request)

    def peek(self) -> Batch | None:
        """What the replay whose turn it is sends next."""
        while self._current is None and self._waiting:
            self._current = self._found(self._waiting.popleft())
            self._finish()
        current = self._current
        return current.to_send[0] if current is not None and current.to_send else None

    def taken(self, batch: Batch) -> None:
        """What `peek` gave is on its way."""
        if self._current is not None:
            self._current.sent[batch.seq] = self._current.to_send.popleft()

    def landed(self, batch: Batch, *, accepted: bool) -> None:
        """The broker has answered; what it did not take is sent again."""
        current = self._current
        if current is None or current.sent.pop(batch.seq, None) is None:
            return
        if accepted:
            current.landed[batch.seq] = batch
            self._finish()
        else:
            current.to_send.appendleft(batch)

    def rewind(self) -> None:
        """A new connection: what was on its way is sent again."""
        if self._current is not None:
            self._current.to_send.extendleft(reversed(self._current.sent.values()))
            self._current.sent.clear()

    def _knows(self, identifier: str) -> bool:
        current = self._current is not None and self._current.id == identifier
        return current or any(one.id == identifier for one in self._waiting)

    def _found(self, request: ReplayRequest) -> _Replay:
        if request.ranges is None:
            batches = [batch for batch in self._kept() if _meant(request, batch)]
            missing: list[SeqRange] = []
        else:
            ours = request.ranges if request.epoch == self._epoch else []
            batches = [batch for batch in self._kept() if any(a <= batch.seq <= b for a, b in ours)]
            missing = _without(request.ranges, [batch.seq for batch in batches])
        coming = [batch.seq for batch in batches if not batch.settled]
        return _Replay(request.id, deque(one for one in batches if one.settled), coming=coming, missing=missing)

    def _finish(self, error: str | None = None) -> None:
        """Say what became of the current one, where nothing of it is left to do."""
        current = self._current
        if current is None or (error is None and (current.to_send or current.sent)):
            return
        self._current = None
        sent = ranges_of(sorted([*current.landed, *current.coming]))
        readings = sum(batch.readings for batch in current.landed.values())
        ok, missing = error is None, current.missing[:MAX_RANGES]
        self._answer(Result(current.id, 0, ok, error, readings, sent[:MAX_RANGES], missing))

    def _cancel(self, identifier: str) -> None:
        if self._current is not None and self._current.id == identifier:
            self._finish("cancelled")
        elif any(one.id == identifier for one in self._waiting):
            self._waiting = deque(one for one in self._waiting if one.id != identifier)
            self._refuse(identifier, "cancelled")

    def _refuse(self, identifier: str, error: str) -> None:
        self._answer(Result(identifier, 0, ok=False, error=error))


def _meant(request: ReplayRequest, batch: Batch) -> bool:
    """By time and device; a message without a device belongs to the gateway itself."""
    from_ms, to_ms, devices = request.from_ms or 0, request.to_ms or 0, request.devices
    return from_ms <= batch.time_ms < to_ms and (devices is None or batch.device in devices)


def _without(ranges: Iterable[SeqRange], numbers: Iterable[int]) -> list[SeqRange]:
    """What is left of `ranges` when the ascending `numbers` are taken out."""
    left: list[SeqRange] = []
    numbers = list(numbers)
    for first, last in sorted(ranges):
        start = first
        for number in numbers:
            if start <= number <= last:
                if start < number:
                    left.append((start, number - 1))
                start = number + 1
        if start <= last:
            left.append((start, last))
    return left
