"""Retention: what is let go, so that the file stays within its limit and archived batches no longer than they must.

Delivered batches go first, oldest first; what comes then is decided by the policy of the settings, and counted.
"""

from typing import Final

from agent.clock import ClockState
from agent.store.draft import Draft
from agent.store.ledger import Loss, merged
from agent.store.outbox import Sizes
from agent.store.parts import Parts
from agent.store.ranges import RangeSet

FULL: Final = "outbox_full"
SLACK_BYTES: Final = 128 * 1024
SHRINK_ABOVE_BYTES: Final = 8 * 1024 * 1024
_DAY_MS: Final = 86_400_000


class Retention:
    """Keeps the outbox within `max_bytes` and `retention_days`. `full`: there is no room, and polling must stop."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.full = False

    async def make_room(self, draft: Draft, *, expire: bool) -> None:
        """Within the transaction: let go what has expired, and what must go so that the new rows fit."""
        outbox, settings, high = self._parts.outbox, self._parts.config.outbox, self._parts.ledger.stored_high
        incoming = sum(len(row.payload) for row in draft.rows) + sum(len(piece.records) for piece in draft.pieces)
        before_ms = self._expired_before_ms() if expire else 0
        target = settings.max_bytes - incoming - SLACK_BYTES
        over = (await outbox.sizes()).used_bytes - target
        kept = RangeSet([*draft.undelivered.ranges(), *(r for s in draft.card.unsettled.values() for r in s)])
        while over > 0 or before_ms:
            room = over + settings.max_bytes // 200 if over > 0 else 0
            delivered = await outbox.oldest(kept.missing(1, high), room, before_ms)
            if not delivered:
                break
            await outbox.delete_batches(row.seq for row in delivered)
            over, before_ms = (await outbox.sizes()).used_bytes - target, 0
        self.full = over > 0 and settings.when_full == "stop_polling"
        if over > 0 and settings.when_full == "drop_oldest":
            await self._drop_undelivered(draft, high, over)

    async def _drop_undelivered(self, draft: Draft, high: int, need: int) -> None:
        outbox = self._parts.outbox
        ranges = draft.undelivered.overlap(1, high)
        draft.gone = await outbox.oldest(ranges, need, 0, events=False)
        if not draft.gone:  # events are small, and they declare what was lost: they go last
            draft.gone = await outbox.oldest(ranges, need, 0)
        await outbox.delete_batches(row.seq for row in draft.gone)
        readings = sum(row.readings for row in draft.gone)
        for row in draft.gone:
            draft.undelivered.discard(row.seq)
        ranges = RangeSet((row.seq, row.seq) for row in draft.gone).ranges()
        draft.loss = Loss(reason=FULL, ranges=ranges, readings=readings)
        draft.card.stored -= readings
        draft.card.lost[FULL] = draft.card.lost.get(FULL, 0) + readings
        draft.card.undeclared = merged([*draft.card.undeclared, draft.loss])

    async def shrink(self, sizes: Sizes) -> None:
        """Give room back to the disk where much of the file is empty."""
        free = sizes.file_bytes - sizes.used_bytes
        if free > SHRINK_ABOVE_BYTES and free > sizes.file_bytes // 4:
            await self._parts.outbox.shrink()

    def _expired_before_ms(self) -> int:
        """Batches sealed before this are too old to keep; 0 where the clock is not to be believed."""
        clock = self._parts.clock
        if clock.state() is ClockState.UNSYNC:
            return 0
        return clock.wall_ms() - round(self._parts.config.outbox.retention_days * _DAY_MS)
