"""What becomes of a batch that was sent: by the PUBACK's reason code, by the IOC's word, or by the end of a connection.

Promises: a batch is marked delivered only by the word that counts (`downlink.peer`), and dead only by a refusal for
good. Must not know: how anything is sent.
"""

import logging
from collections.abc import Sequence

from agent.model import SeqRange
from agent.uplink.errors import UplinkDown
from agent.uplink.lanes.queues import InFlight
from agent.uplink.lanes.route import Route
from agent.uplink.lanes.traffic import Traffic
from agent.uplink.reasons import TOO_LARGE, Verdict, reason_name, verdict

log = logging.getLogger(__name__)


class Outcomes:
    """Settles the batches of one connection."""

    def __init__(self, route: Route, traffic: Traffic) -> None:
        self._route = route
        self._traffic = traffic
        self._source, self._progress = route.source, route.progress
        self._delivered: list[SeqRange] = []

    def answered(self, seq: int, code: int, now_ns: int) -> None:
        """The broker has answered; `settle` follows."""
        sent = self._traffic.window.remove(seq)
        self._traffic.suspects.answered(seq)
        match verdict(code):
            case Verdict.ACCEPTED:
                self._accepted(sent, now_ns)
            case Verdict.DEAD:
                self.dead(sent, code)
            case Verdict.FORBIDDEN | Verdict.BUSY | Verdict.NO_SUBSCRIBER:
                self._refused(sent, code, now_ns)

    def settle(self) -> None:
        """Mark delivered what the answers say, all at once."""
        self._route.replays.settle()
        delivered, self._delivered = self._delivered, []
        self._deliver(delivered)

    def acknowledged(self, ranges: Sequence[SeqRange], now_ns: int) -> None:
        """The IOC has these."""
        self._deliver(ranges)
        self._traffic.unconfirmed.confirm(ranges, now_ns)

    def nobody_acknowledges(self) -> None:
        """There is no IOC that acknowledges after all: what the broker has is delivered."""
        self._deliver([(seq, seq) for seq in self._traffic.unconfirmed.take_all()])

    def dead(self, sent: InFlight, code: int) -> None:
        """It can never be sent."""
        seq = sent.batch.seq
        self._traffic.refusals.count(code)
        log.error("batch %d can never be sent and is put aside: %s (0x%02X)", seq, reason_name(code), code)
        if sent.job:
            sent.job.passed(seq)
        else:
            self._progress.dead += 1
            self._source.mark_dead(seq)

    def ended(self, down: UplinkDown, answered: set[int], now_ns: int) -> None:
        """Remember what was in flight, but for what was `answered`; a batch for which brokers leave is put aside."""
        waiting = [seq for seq in self._traffic.window.seqs() if seq not in answered]
        refused = self._traffic.suspects.ended(waiting, down, now_ns)
        if refused is not None:
            self.dead(self._traffic.window.remove(refused), down.code or TOO_LARGE)

    def _accepted(self, sent: InFlight, now_ns: int) -> None:
        batch = sent.batch
        self._progress.acked += 1
        self._traffic.refusals.accepted(self._traffic.topic(batch, sent.lane), sent.lane)
        if sent.job:
            sent.job.arrived(batch.seq)
        elif self._route.peer.mode(now_ns) == "broker":
            self._delivered.append((batch.seq, batch.seq))
        elif self._source.is_undelivered(batch.seq):  # the IOC's ack can be faster than the PUBACK
            self._traffic.unconfirmed.add(batch, now_ns)

    def _refused(self, sent: InFlight, code: int, now_ns: int) -> None:
        seq, lane = sent.batch.seq, sent.lane
        self._traffic.refusals.refused(self._traffic.topic(sent.batch, lane), seq, lane, code, now_ns)
        if sent.job:
            sent.job.returned(seq)
        elif verdict(code) is not Verdict.FORBIDDEN:
            self._traffic.rewind(seq)
            if lane == "live":
                self._traffic.spill()

    def _deliver(self, ranges: Sequence[SeqRange]) -> None:
        if ranges:
            self._source.mark_delivered(ranges)
            self._progress.last_ack_ms = self._route.clock.wall_ms()
