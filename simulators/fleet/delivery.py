"""From published to delivered, for one gateway: PUBACKs, the IOC's acks, and what is published again. Pure.

1. Delivered is what the IOC acknowledges; what the broker acknowledges only where no IOC does (`Trust`).
2. An ack of another epoch, or of a number that was never used, delivers nothing.
3. What is not acknowledged in 60 s comes again; at an IOC that acknowledges nothing at all, one batch a minute.
"""

from collections.abc import Callable

from simulators.fleet.figures import Figures
from simulators.fleet.lanes import DEAD, Lanes, Sending
from simulators.fleet.outbox import Batch, Outbox
from simulators.fleet.payloads import Ack, IocState
from simulators.fleet.replays import Replays
from simulators.fleet.trust import Trust

RESEND_S = 60.0
AFTER_IOC_S = 2.0


class Delivery:
    """`on_dead` is told of a batch that the broker will never take."""

    def __init__(
        self,
        outbox: Outbox,
        lanes: Lanes,
        replays: Replays,
        trust: Trust,
        figures: Figures,
        on_dead: Callable[[Batch], None],
    ) -> None:
        self._outbox = outbox
        self._lanes = lanes
        self._replays = replays
        self._trust = trust
        self._figures = figures
        self._on_dead = on_dead
        self._awaiting: dict[int, tuple[Batch, float]] = {}
        self._progress_s = 0.0
        self._asked_s = 0.0
        self._ioc_up_s: float | None = None

    def rewind(self, now_s: float) -> None:
        """A new connection: everything that is not delivered is sent again."""
        self._trust.listens(now_s)
        self._awaiting.clear()
        for batch in self._outbox.undelivered.values():
            batch.in_flight = False

    def landed(self, sending: Sending, code: int, now_s: float) -> None:
        """The broker has answered a message with this reason code."""
        self._lanes.landed(sending, code, now_s)
        if code:
            self._figures.refused[f"0x{code:02X}"] += 1
        batch = sending.batch
        if batch is None:
            return
        batch.in_flight = False
        if sending.replayed:
            self._replays.landed(batch, accepted=code == 0 or code in DEAD)
        elif not batch.settled:
            self._answered(batch, code, now_s)

    def acked(self, ack: Ack, epoch: str, high: int, now_s: float) -> None:
        """The IOC has stored what `ack` names; `high` is the highest number that there is."""
        if ack.epoch != epoch:
            return
        if max(ack.cumulative, *(last for _, last in ack.selective), 0) > high:
            self._figures.not_understood += 1
            return
        stored = self._outbox.up_to(ack.cumulative)
        for first, last in ack.selective:
            stored += self._outbox.within(first, last)
        for batch in stored:
            if batch.sent_s is not None:
                self._progress_s = now_s
                self._heard(batch, now_s)

    def ioc_said(self, state: IocState, now_s: float) -> None:
        """The state of the IOC has changed."""
        if self._trust.said(state):
            self._ioc_up_s = now_s + AFTER_IOC_S

    def tick(self, now_s: float) -> None:
        """Call it about once a second: what is due is delivered, or queued again."""
        if self._trust.puback_counts(now_s):
            for batch, _ in list(self._awaiting.values()):
                self._heard(batch, now_s)
        elif self._ioc_up_s is not None and now_s >= self._ioc_up_s:
            self._ioc_up_s = None
            self._again(list(self._awaiting))
        elif not self._trust.ioc_offline:
            self._again(self._due(now_s))

    def _answered(self, batch: Batch, code: int, now_s: float) -> None:
        if code == 0:
            self._awaiting[batch.seq] = (batch, now_s)
            if self._trust.puback_counts(now_s):
                self._heard(batch, now_s)
        elif code in DEAD:
            self._on_dead(batch)
        else:
            self._lanes.put_late(batch)

    def _heard(self, batch: Batch, now_s: float) -> None:
        """Delivered; or not heard at all, where that is the fault."""
        awaited = self._awaiting.pop(batch.seq, None) is not None
        if batch.deaf and awaited:
            batch.deaf = False
            self._figures.faults["lost_ack"] += 1
            self._lanes.put_late(batch)
            return
        if self._outbox.deliver(batch):
            self._figures.acked(now_s - (batch.sent_s or now_s))

    def _due(self, now_s: float) -> list[int]:
        old: list[int] = []
        for seq, (_, since_s) in self._awaiting.items():
            if now_s - since_s < RESEND_S:
                break
            old.append(seq)
        if not old or now_s - self._progress_s < RESEND_S:
            return old
        if now_s - self._asked_s < RESEND_S:
            return []
        self._asked_s = now_s
        return [min(old)]

    def _again(self, numbers: list[int]) -> None:
        for seq in numbers:
            batch, _ = self._awaiting.pop(seq)
            if not batch.settled:
                self._lanes.put_late(batch)
