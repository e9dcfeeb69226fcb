"""Replays: what the IOC asks to be sent again, from the archive, by number or by time. Pure; reading is the caller's.

Promises:
* every request is answered once with a result: what was sent, what of it is not here any more, or why nothing was;
* a batch is sent again with the same bytes and under the same number, so the IOC knows it for what it is;
* requests go one after the other; at most `MAX_WAITING` wait, and a few batches are read ahead, however much is asked;
* a batch that the way never lets through holds up no replay, and ends no connection for ever;
* a request survives the connection: what was not acknowledged by the broker goes again on the next one.

What is still undelivered is left to the backlog, which sends it in any case. Times are those that the batches say.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from agent.model import Batch, Result, SeqRange
from agent.packing import plain
from agent.ranges import RangeSet
from agent.uplink.downlink.messages import Replay
from agent.uplink.notices import Notices

MAX_WAITING: Final = 8
MAX_ANSWERED: Final = 100
READ_AHEAD: Final = 10
MAX_RANGES: Final = 500
"""How many ranges a result names at the most, the lowest first: it must fit into one message."""
CUTS: Final = 20
"""A batch that was the first on its way at so many ends in a row may be what ends them: it is missing then."""
CANCELLED: Final = "cancelled"


class _Timed(msgspec.Struct):
    time_ms: int
    device: str | None = None


class _Content(msgspec.Struct):
    """What of a batch's JSON says when it was, and of which device."""

    scans: list[_Timed] = []
    event: _Timed | None = None
    snapshot: _Timed | None = None
    result: _Timed | None = None

    def parts(self) -> list[_Timed]:
        single = (self.event, self.snapshot, self.result)
        return self.scans or [one for one in single if one is not None]


class ReplayJob:
    """One request on its way. `left`: numbers that were not read yet."""

    def __init__(self, request: Replay, ranges: Sequence[SeqRange]) -> None:
        self.request = request
        self.left = RangeSet(ranges)
        self._asked = RangeSet(request.ranges)
        self._ready: deque[Batch] = deque()
        self._flying: dict[int, Batch] = {}
        self._cut_at: int | None = None
        self._cuts = 0
        self._sent = RangeSet()
        self._readings = 0

    @property
    def has_next(self) -> bool:
        return bool(self._ready)

    @property
    def next(self) -> Batch:
        return self._ready[0]

    @property
    def hungry(self) -> bool:
        """Whether more should be read from the archive."""
        return bool(self.left) and len(self._ready) < READ_AHEAD

    @property
    def done(self) -> bool:
        """Whether the broker has everything that was asked for."""
        return not (self.left or self._ready or self._flying)

    def meant(self, batches: Sequence[Batch]) -> list[Batch]:
        """Those that have what was asked for. Unpacks each; any thread may call it."""
        return [batch for batch in batches if self.request.ranges or holds(batch.payload, self.request)]

    def take(self, batches: Sequence[Batch], meant: Sequence[Batch]) -> None:
        """Take in what the archive gave for `left`, and what of it is meant; no batches: there is nothing more."""
        if batches:
            self.left.discard(0, batches[-1].seq)
        else:
            self.left = RangeSet()
        self._ready.extend(meant)

    def pop(self) -> Batch:
        """The next batch; it is on its way until `arrived`, `returned` or `passed`."""
        batch = self._ready.popleft()
        self._flying[batch.seq] = batch
        return batch

    def arrived(self, seq: int) -> None:
        """The broker has it, or the backlog sends it in any case."""
        batch = self._flying.pop(seq)
        self._sent.add(seq)
        self._readings += batch.readings

    def returned(self, seq: int) -> None:
        """The broker cannot take it now: it goes again."""
        self._ready.appendleft(self._flying.pop(seq))

    def passed(self, seq: int) -> None:
        """The broker will never take it."""
        del self._flying[seq]

    def interrupted(self) -> None:
        """The connection has ended: what was on its way goes again, but for one at which it ended `CUTS` times."""
        first = min(self._flying, default=None)
        self._cuts = self._cuts + 1 if first == self._cut_at else 1
        self._cut_at = first
        if first is not None and self._cuts >= CUTS:
            self.passed(first)
        self._ready.extendleft(reversed(self._flying.values()))
        self._flying.clear()

    def result(self, mono_ns: int, error: str | None = None) -> Result:
        """What became of it."""
        missing = [gap for first, last in self._asked.ranges() for gap in self._sent.missing(first, last)]
        return Result(
            id=self.request.id,
            mono_ns=mono_ns,
            ok=error is None,
            error=error,
            readings=self._readings,
            ranges=self._sent.ranges()[:MAX_RANGES],
            missing=[] if error else missing[:MAX_RANGES],
        )


class Replays:
    """The requests of the IOC, in the order in which they came. `notices.result` takes what became of each."""

    def __init__(self, mono_ns: Callable[[], int], notices: Notices) -> None:
        self.on_asked: Callable[[], None] = lambda: None
        self._mono_ns = mono_ns
        self._notices = notices
        self._waiting: deque[Replay] = deque()
        self._answered: deque[str] = deque(maxlen=MAX_ANSWERED)
        self.job: ReplayJob | None = None

    @property
    def requests(self) -> list[Replay]:
        """What has no result yet, oldest first."""
        return [*([self.job.request] if self.job else ()), *self._waiting]

    @property
    def waiting(self) -> Replay | None:
        """The request that comes next, where none is on its way."""
        return self._waiting[0] if self._waiting and self.job is None else None

    @property
    def wants_reading(self) -> bool:
        """Whether something should be read from the archive."""
        return self.waiting is not None or (self.job is not None and self.job.hungry)

    def ask(self, request: Replay, epoch: str) -> bool:
        """Take a request of the IOC, or its wish to cancel one; False where there is nothing to do about it."""
        known = any(request.id == one.id for one in self.requests)
        if request.cancel:
            return known and self._cancel(request.id)
        if known or request.id in self._answered:
            return False
        if refusal := self._refusal(request, epoch):
            self._answer(Result(id=request.id, mono_ns=self._mono_ns(), ok=False, error=refusal))
        else:
            self._waiting.append(request)
            self.on_asked()
        return True

    def begin(self, ranges: Sequence[SeqRange]) -> None:
        """Begin with the request that is `waiting`; `ranges` are the numbers that it may mean."""
        self.job = ReplayJob(self._waiting.popleft(), ranges)

    def settle(self) -> None:
        """Answer the request that is on its way, where it is done."""
        if self.job is not None and self.job.done:
            self._end(self.job, None)

    def _cancel(self, request_id: str) -> bool:
        if self.job is not None and self.job.request.id == request_id:
            self._end(self.job, CANCELLED)
            return True
        self._waiting = deque(one for one in self._waiting if one.id != request_id)
        self._answer(Result(id=request_id, mono_ns=self._mono_ns(), ok=False, error=CANCELLED))
        return True

    def _end(self, job: ReplayJob, error: str | None) -> None:
        self.job = None
        self._answer(job.result(self._mono_ns(), error))
        self.on_asked()

    def _answer(self, result: Result) -> None:
        self._answered.append(result.id)
        self._notices.result(result)

    def _refusal(self, request: Replay, epoch: str) -> str | None:
        if request.ranges:
            if request.epoch != epoch:
                return f"the epoch here is {epoch}: batches of {request.epoch or 'no epoch'} are not kept"
            if any(first > last for first, last in request.ranges):
                return "a range ends before it begins"
        elif request.from_ms is None or request.to_ms is None:
            return "say ranges with their epoch, or from_ms and to_ms"
        elif request.from_ms >= request.to_ms:
            return "from_ms must be before to_ms, which is not meant itself"
        if len(self.requests) >= MAX_WAITING:
            return f"{MAX_WAITING} replays wait already: ask again when one of them has its result"
        return None


def holds(payload: bytes, request: Replay) -> bool:
    """Whether a batch has anything of the time and the devices that a request means; True where that cannot be told."""
    if request.from_ms is None or request.to_ms is None:
        return True
    try:
        content = msgspec.json.decode(plain(payload), type=_Content)
    except (ValueError, msgspec.MsgspecError):
        return True
    return any(
        request.from_ms <= part.time_ms < request.to_ms and (not request.devices or part.device in request.devices)
        for part in content.parts()
    )
