"""How one gateway seals what it has to say: a number, the envelope, the bytes that never change. Pure."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, NamedTuple

from simulators.fleet import payloads
from simulators.fleet.outbox import Batch, Lane, Outbox
from simulators.fleet.payloads import Clock, Envelope, Event, Identity, Result, Scan

SKEW_MS = 10 * 365 * 86_400_000
"""How far behind a clock is that was never set."""


class Now(NamedTuple):
    """One moment on both clocks."""

    mono_s: float
    wall_ms: int


class Sealer:
    """`seq` is the highest number that was used, `sealed_s` when."""

    def __init__(self, who: Identity, outbox: Outbox, clock: Callable[[], Now], random: Random) -> None:
        self.seq = 0
        self.sealed_s = clock().mono_s
        self._who = who
        self._outbox = outbox
        self._clock = clock
        self._random = random

    def scan(self, scan: Scan, *, unsync: bool = False) -> Batch:
        """A reading. While the clock is not set its times are those of that clock, as `sealed_ms` is."""
        time_ms = scan.time_ms
        if unsync:
            time_ms -= SKEW_MS
            scan = Scan(scan.device, time_ms, scan.values, scan.quality)
        return self._seal("data", time_ms, scan.device, len(scan.values), unsync=unsync, scans=[scan])

    def event(self, kind: str, severity: payloads.Severity, text: str, **more: Any) -> Batch:
        """An event; `more` are the optional fields of its kind."""
        time_ms = self._clock().wall_ms
        event = Event(payloads.ulid(time_ms, self._random), kind, severity, time_ms, {"en": text}, **more)
        return self._seal("event", time_ms, event.device or "", event=event)

    def loss(self, batches: Sequence[Batch], reason: str, text: str) -> Batch:
        """The event that declares what is lost: only by it the IOC can tell a loss from a gap."""
        ranges = payloads.ranges_of([batch.seq for batch in batches])
        readings = sum(batch.readings for batch in batches)
        return self.event("data.lost", "major", text, ranges=ranges, reason=reason, readings=readings)

    def result(self, result: Result) -> Batch:
        """What became of a request."""
        return self._seal("result", result.time_ms, "", result=result)

    def _seal(
        self, lane: Lane, time_ms: int, device: str, readings: int = 0, *, unsync: bool = False, **content: Any
    ) -> Batch:
        now = self._clock()
        self.seq += 1
        self.sealed_s = now.mono_s
        who, low = self._who, self._outbox.low(self.seq)
        clock: Clock = "unsync" if unsync else "sync"
        sealed_ms = now.wall_ms - (SKEW_MS if unsync else 0)
        envelope = Envelope(1, who.gateway, who.epoch, self.seq, sealed_ms, low, who.config, clock, **content)
        batch = Batch(self.seq, lane, payloads.packed(envelope), time_ms, now.mono_s, readings, device)
        self._outbox.add(batch)
        return batch
