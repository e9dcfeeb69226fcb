"""Declaring: tells the IOC by events of what was lost, and of room that runs out before anything is."""

import logging
from typing import Final

from agent.clock import NS_PER_S
from agent.model import Event
from agent.store.figures import Figures
from agent.store.parts import Parts

log = logging.getLogger(__name__)

DECLARE_S: Final = 60.0
DISK: Final = "disk"
LIMIT: Final = "outbox_limit"
"""Why room runs out: others fill the disk, or what is undelivered nears `outbox.max_bytes`."""
NEAR_SHARE: Final = 0.8
FAR_SHARE: Final = 0.7
_NEVER: Final = -(1 << 62)


class Declarer:
    """Losses: the first of an episode at once, more of them together once a minute. Low room: once an episode."""

    def __init__(self, parts: Parts, figures: Figures) -> None:
        self._parts = parts
        self._figures = figures
        self._not_before_ns = _NEVER
        self._low = {DISK: False, LIMIT: False}

    @property
    def urgent(self) -> bool:
        """Whether a loss waits that is the first of its episode."""
        return bool(self._parts.ledger.undeclared) and self._not_before_ns == _NEVER

    def declare(self) -> None:
        """Tell what is to be told now; what is told was on the card before."""
        self._losses()
        self.warn()

    def warn(self) -> None:
        """Tell that room runs out, once an episode."""
        figures, disk, limit = self._figures, self._parts.disk, self._parts.config.outbox.max_bytes
        free_mb, share = (disk.free_bytes or 0) // 1_000_000, figures.undelivered_bytes / limit
        if self._begins(DISK, low=disk.low):
            self._tell(DISK, f"Thẻ nhớ sắp đầy: còn {free_mb} MB", f"The disk is nearly full: {free_mb} MB left")
        near = max(share / NEAR_SHARE, (figures.undelivered_bytes + figures.coming_bytes) / limit)
        if self._begins(LIMIT, low=near > (FAR_SHARE / NEAR_SHARE if self._low[LIMIT] else 1.0)):
            percent = round(100 * share)
            vi = f"Dữ liệu chưa gửi chiếm {percent} % giới hạn của hộp gửi"
            self._tell(LIMIT, vi, f"What is undelivered takes {percent} % of the outbox's limit")

    def _losses(self) -> None:
        parts, now_ns = self._parts, self._parts.clock.mono_ns()
        if not parts.ledger.undeclared or now_ns < self._not_before_ns:
            return
        self._not_before_ns = now_ns + round(DECLARE_S * NS_PER_S)
        losses, parts.ledger.undeclared = parts.ledger.undeclared, []
        for loss in losses:
            log.warning("data lost (%s): batches %s, readings %s", loss.reason, list(loss.ranges), loss.readings)
            parts.append_event(
                Event(
                    type="data.lost",
                    severity="major",
                    mono_ns=now_ns,
                    message={"vi": "Có dữ liệu bị mất", "en": "Data were lost"},
                    ranges=loss.ranges,
                    reason=loss.reason,
                    readings=loss.readings,
                    held_s=loss.held_s,
                )
            )

    def _begins(self, reason: str, *, low: bool) -> bool:
        before, self._low[reason] = self._low[reason], low
        return low and not before

    def _tell(self, reason: str, vi: str, en: str) -> None:
        log.warning("outbox: %s", en)
        mono_ns, message = self._parts.clock.mono_ns(), {"vi": vi, "en": en}
        event = Event(type="disk.low", severity="major", mono_ns=mono_ns, message=message, reason=reason)
        self._parts.append_event(event)
