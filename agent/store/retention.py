"""Retention: what is let go, so that the file stays within its limit and archived batches no longer than they must.

Delivered batches go first, oldest first. What comes then is decided by the policy of the settings, and counted; a
disk that others have filled costs delivered batches only.
"""

import asyncio
from typing import Final

from agent.clock import ClockState
from agent.ranges import RangeSet
from agent.store.disk import SPARE_BYTES
from agent.store.draft import Draft
from agent.store.losses import Loss, merged
from agent.store.outbox import EvictedRow, Sizes, room_for
from agent.store.parts import Parts

FULL: Final = "outbox_full"
SLACK_BYTES: Final = 128 * 1024
SHRINK_ABOVE_BYTES: Final = 8 * 1024 * 1024
NONSENSE_DAYS: Final = 3_650
_DAY_MS: Final = 86_400_000


class Retention:
    """Keeps the outbox within `max_bytes` and `retention_days`. `full`: there is no room, and polling must stop.

    `incoming_bytes`: what the last commit wanted to have free. `refused` says that a commit did not fit although there
    should have been room: more is made the next time.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._extra_bytes = self.incoming_bytes = 0
        self.full = False

    async def make_room(self, draft: Draft, *, expire: bool) -> None:
        """Within the transaction: let go what has expired, and what must go so that the new rows fit."""
        settings, sizes = self._parts.config.outbox, await self._parts.outbox.sizes()
        blobs = [len(row.payload) for row in draft.rows] + [len(piece.records) for piece in draft.pieces]
        for bundle in draft.bundles:
            blobs += [len(bundle.body), *(0 for _ in bundle.rows)]
        self.incoming_bytes = incoming = room_for(blobs) + SLACK_BYTES + self._extra_bytes
        limit, free = settings.max_bytes, self._parts.disk.free_bytes
        here = limit if free is None else min(limit, sizes.file_bytes + max(0, free - SPARE_BYTES))
        kept = draft.kept
        if expire:
            await self._drop_expired(kept)
        await self._drop_delivered(kept, here - incoming)
        over = await self._over(limit - incoming) > 0
        self.full = over and settings.when_full == "stop_polling"
        if over and settings.when_full == "drop_oldest":
            await self._drop_undelivered(draft, limit - incoming)

    async def refused(self) -> bool:
        """A commit found no room; True where the file's own limit was the reason, and the next one makes more room."""
        limit, disk = self._parts.config.outbox.max_bytes, self._parts.disk
        await asyncio.to_thread(disk.look)
        disk_is_full = disk.free_bytes is not None and disk.free_bytes < SPARE_BYTES
        file_bytes = (await self._parts.outbox.sizes()).file_bytes
        if disk_is_full or file_bytes + self.incoming_bytes < limit or self._extra_bytes > limit // 8:
            return False
        self._extra_bytes = max(SLACK_BYTES, 2 * self._extra_bytes)
        return True

    def accepted(self) -> None:
        """A commit has found room."""
        self._extra_bytes = 0

    async def shrink(self, sizes: Sizes) -> None:
        """Give room back to the disk where much of the file is empty."""
        free = sizes.file_bytes - sizes.used_bytes
        if free > SHRINK_ABOVE_BYTES and free > sizes.file_bytes // 4:
            await self._parts.outbox.shrink()

    async def _over(self, target: int) -> int:
        return (await self._parts.outbox.sizes()).used_bytes - target

    async def _drop_expired(self, kept: RangeSet) -> None:
        """What seems far older than it can be was read while the clock was wrong: only its size counts."""
        clock = self._parts.clock
        if clock.state() is not ClockState.UNSYNC:
            before_ms = clock.wall_ms() - round(self._parts.config.outbox.retention_days * _DAY_MS)
            found = await self._parts.outbox.expired(before_ms - NONSENSE_DAYS * _DAY_MS, before_ms)
            await self._parts.outbox.delete_batches(seq for seq in found if seq not in kept)

    async def _drop_delivered(self, kept: RangeSet, target: int) -> None:
        outbox, high = self._parts.outbox, self._parts.ledger.stored_high
        while (over := await self._over(target)) > 0:
            delivered = await outbox.oldest(kept.missing(1, high), self._portion(over))
            if not delivered:
                return
            await outbox.delete_batches(row.seq for row in delivered)

    async def _drop_undelivered(self, draft: Draft, target: int) -> None:
        outbox, high = self._parts.outbox, self._parts.ledger.stored_high
        dropped: list[EvictedRow] = []
        while (over := await self._over(target)) > 0:
            ranges = draft.undelivered.overlap(1, high)
            gone = await outbox.oldest(ranges, self._portion(over), events=False)
            if not gone:  # events are small, and they declare what was lost: they go last
                gone = await outbox.oldest(ranges, self._portion(over))
            if not gone:
                break
            await outbox.delete_batches(row.seq for row in gone)
            for row in gone:
                draft.undelivered.discard(row.seq)
            dropped += gone
        if dropped:
            _count(draft, dropped)

    def _portion(self, over: int) -> int:
        """How much to let go at once: a little more than must be, so that the next commit need not."""
        return over + self._parts.config.outbox.max_bytes // 200


def _count(draft: Draft, dropped: list[EvictedRow]) -> None:
    readings = sum(row.readings for row in dropped)
    ranges = RangeSet((row.seq, row.seq) for row in dropped).ranges()
    draft.gone, draft.loss = dropped, Loss(reason=FULL, ranges=ranges, readings=readings)
    draft.card.stored -= readings
    draft.card.lost[FULL] = draft.card.lost.get(FULL, 0) + readings
    draft.card.undeclared = merged([*draft.card.undeclared, draft.loss])
