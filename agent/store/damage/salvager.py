"""The salvager: brings over, in the background, what can still be read of an outbox file that was set aside.

What is undelivered comes first, then as much of the archive as there is room for. Each portion and how far it got are
one commit, so an end at any moment neither loses nor doubles a batch. What cannot be read is looked for again for as
long as `patience` says, then declared lost; the file stays aside.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from agent.model import Event
from agent.ranges import RangeSet
from agent.store.committer import Committer
from agent.store.damage.damaged_file import Chunk, SavedRow, highest_up_to, read_chunk, reads_through
from agent.store.damage.patience import PAUSES_S, Patience
from agent.store.damage.renewal import delete_files, spare_files
from agent.store.damage.salvage import Salvage
from agent.store.outbox import OutboxRow
from agent.store.parts import Parts
from agent.store.recovery import Orphan
from agent.store.sealer import Sealer

log = logging.getLogger(__name__)

PORTION_BATCHES: Final = 128
PORTION_BYTES: Final = 1024 * 1024
ARCHIVE_FILL: Final = 0.9
"""The archive is brought over until the file is so full."""
ARCHIVE_LOOKS: Final = 3
"""So often a portion of the archive is read again because not all of it can be read; then others must do without."""
AGAIN_S: Final = 1.0


class Salvager:
    """Works through the ledger's salvages: what is undelivered in all of them first, then the archives."""

    def __init__(self, parts: Parts, committer: Committer, sealer: Sealer) -> None:
        self.on_brought: Callable[[int], None] | None = None
        self._parts = parts
        self._committer = committer
        self._sealer = sealer
        self._patience = Patience(parts.clock)
        self._archive_looks = 0

    async def run(self) -> None:
        """Bring over what there is, for ever."""
        while True:
            if self._parts.ledger.salvages:
                await asyncio.sleep(0 if await self.step() else AGAIN_S)  # a step may need no wait of its own
            else:
                self._parts.salvage_wake.clear()
                await self._parts.salvage_wake.wait()

    async def step(self) -> bool:
        """Bring over one portion; False where the card cannot be written now, or nothing is to be done now."""
        salvages = self._parts.ledger.salvages
        for salvage in salvages:
            if salvage.wanted:
                return await self._bring_wanted(salvage)
        for salvage in salvages:
            if salvage.unread and self._patience.is_due(salvage):
                await self._look_again(salvage)
                return True
        for salvage in salvages:
            if not salvage.unread:
                return await self._bring_rest(salvage)
        return False

    async def _bring_wanted(self, salvage: Salvage) -> bool:
        chunk = await self._read(salvage, salvage.wanted[0])
        found = ((row.seq, row.readings) for row in chunk.rows)
        after = salvage.looked_for(chunk.reached, found, chunk.unreadable)
        self._patience.looked(salvage.name, passing=chunk.passing)
        lowest = self._parts.ledger.high + 1 if salvage.epoch else salvage.wanted[0][0]
        if salvage.epoch:
            done = await self._sealer.seal_orphans([_orphan(row) for row in chunk.rows], after)
        else:
            rows = [OutboxRow(row.head(), row.payload) for row in chunk.rows]
            done = await self._committer.commit_salvaged(rows, after)
        if done and chunk.rows and self.on_brought is not None:
            self.on_brought(lowest)
        return done

    async def _look_again(self, salvage: Salvage) -> None:
        again = self._patience.again(salvage)
        if again is None:
            again = not await asyncio.to_thread(reads_through, self._path(salvage))
            if again:
                self._patience.silent(salvage.name)
        if again and salvage.looks == len(PAUSES_S):
            count = RangeSet(salvage.unread).count
            log.warning("%s: %d batches cannot be read now; they are looked for again", salvage.name, count)
        self._patience.begin(salvage.name)
        self._parts.ledger.salvage_went_on(salvage.looking_again() if again else salvage.given_up())

    async def _bring_rest(self, salvage: Salvage) -> bool:
        if self._must_give_up(salvage):
            self._give_up(salvage)
            return True
        if salvage.archive and self._has_room():
            return await self._bring_archive(salvage)
        await self._conclude(salvage)
        return True

    async def _read(self, salvage: Salvage, wanted: tuple[int, int]) -> Chunk:
        return await asyncio.to_thread(read_chunk, self._path(salvage), wanted, PORTION_BATCHES, PORTION_BYTES)

    def _path(self, salvage: Salvage) -> Path:
        return self._parts.outbox.path.with_name(salvage.name)

    def _must_give_up(self, salvage: Salvage) -> bool:
        """Whether the account still waits for what is missing; numbers of another epoch are not numbers of ours."""
        if salvage.expected:
            return True
        undelivered = self._parts.ledger.undelivered
        return not salvage.epoch and any(undelivered.overlap(*part) for part in salvage.missing)

    def _give_up(self, salvage: Salvage) -> None:
        ledger = self._parts.ledger
        if not salvage.epoch:
            ledger.give_up(salvage.missing, salvage.expected, salvage.reason)
        ledger.salvage_went_on(msgspec.structs.replace(salvage, expected=0))
        self._parts.commit_wake.set()

    def _has_room(self) -> bool:
        return self._committer.figures.sizes.used_bytes < ARCHIVE_FILL * self._parts.config.outbox.max_bytes

    async def _bring_archive(self, salvage: Salvage) -> bool:
        ledger = self._parts.ledger
        last = await asyncio.to_thread(highest_up_to, self._path(salvage), salvage.archive)
        first = max(1, last - PORTION_BATCHES + 1)
        rows, whole = await self._read_archive(salvage, first, last)
        if not whole and self._archive_looks < ARCHIVE_LOOKS:
            self._archive_looks += 1
            return False
        brought = RangeSet([*ledger.undelivered.ranges(), *(r for s in ledger.unsettled.values() for r in s.ranges())])
        rows = [row for row in rows if row.seq not in brought]
        after = msgspec.structs.replace(salvage, archive=first - 1, archived=salvage.archived + len(rows))
        if not rows:
            ledger.salvage_went_on(after)
            return True
        return await self._committer.commit_salvaged([OutboxRow(row.head(), row.payload) for row in rows], after)

    async def _read_archive(self, salvage: Salvage, first: int, last: int) -> tuple[list[SavedRow], bool]:
        """The rows of a range, and whether all of it could be read."""
        rows: list[SavedRow] = []
        whole, at = True, first
        while at <= last:
            chunk = await self._read(salvage, (at, last))
            rows += chunk.rows
            whole, at = whole and not chunk.unreadable, chunk.reached + 1
        return rows, whole

    async def _conclude(self, salvage: Salvage) -> None:
        """Tell the IOC and the log what was saved and what was not."""
        parts = self._parts
        parts.ledger.salvages.remove(salvage)
        parts.ledger.changed = True
        needed = [salvage.name, *(other.name for other in parts.ledger.salvages)]
        with suppress(OSError):  # the card may refuse; they are deleted after the next salvage
            await asyncio.to_thread(delete_files, spare_files(parts.outbox.path, needed))
        lost = RangeSet(salvage.missing).count
        log.warning(
            "%s: %d undelivered batches (%d readings) and %d of the archive saved, %d batches cannot be read",
            *(salvage.name, salvage.saved, salvage.readings, salvage.archived, lost),
        )
        parts.append_event(
            Event(
                type="store.corrupt",
                severity="major" if lost else "minor",
                mono_ns=parts.clock.mono_ns(),
                message={
                    "vi": f"{salvage.name}: cứu được {salvage.saved} gói chưa gửi, {lost} gói không đọc được",
                    "en": f"{salvage.name}: {salvage.saved} undelivered batches saved, {lost} cannot be read",
                },
                ranges=salvage.missing,
                reason=salvage.reason,
                readings=salvage.readings,
            )
        )


def _orphan(row: SavedRow) -> Orphan:
    return Orphan(row.kind, row.readings, row.first_ms, row.last_ms, row.payload)
