"""The committer: brings onto the card what may not be lost in a power cut, and keeps the file within its limits.

Every commit writes all sealed batches that are not on the card yet, which batches are undelivered, and the ledger's
picture, in one transaction. While the line is up there is one commit each `archive_interval`, the checkpoint: the
journal goes on in a new file and the old ones are deleted. A commit that fails is tried again; nothing is forgotten.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial

from agent.model import SeqRange
from agent.ranges import RangeSet
from agent.store.attempts import Attempts
from agent.store.damage.salvage import Salvage
from agent.store.declaring import Declarer
from agent.store.draft import Built, draw_up
from agent.store.figures import Figures
from agent.store.ledger import Card
from agent.store.outbox import MAX_EVICTED, OutboxRow
from agent.store.parts import Parts
from agent.store.retention import Retention
from agent.store.sqlite_errors import is_damaged, not_there
from agent.store.timetable import Timetable


class Committer:
    """The one writer of the outbox file."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lock = asyncio.Lock()
        self._on_card: list[tuple[int, int]] | None = None
        self._timetable = Timetable(parts)
        self._retention = Retention(parts)
        self._attempts = Attempts(parts, self._timetable, self._retention)
        self.figures = Figures(parts)
        self._declarer = Declarer(parts, self.figures)
        self._attempts.on_full = self._declarer.warn

    @property
    def full(self) -> bool:
        """Whether the file has no room left and the policy is to stop polling."""
        return self._retention.full

    @property
    def failures(self) -> int:
        """How many commits have failed since the start."""
        return self._attempts.failures

    def busy_s(self) -> float:
        """For how long the commit has lasted that is under way."""
        return self._attempts.busy_s()

    async def run(self) -> None:
        """Commit what is due, for ever."""
        while True:
            await self.commit_due()
            await self._parts.wait(self._parts.commit_wake, self.due_ns())

    async def commit_due(self) -> None:
        """Do what is due now."""
        now_ns = self._parts.clock.mono_ns()
        due_ns = self.due_ns()
        if due_ns is None or due_ns > now_ns:
            return
        if self._parts.damage_seen and not await self.renew():
            return
        if self._timetable.checkpoint_ns() <= now_ns:
            await self.checkpoint()
        elif self._timetable.commit_ns(urgent=self._declarer.urgent) <= now_ns:
            await self.commit()
        else:
            async with self._lock:
                await self._attempts.guarded(self._settle)

    def replan(self) -> None:
        """Something has changed: sleep until what is due now."""
        self._parts.move(self._parts.commit_wake, self.due_ns())

    def due_ns(self) -> int | None:
        """When there is something to do next, on the monotonic clock; None where nothing waits."""
        return self._timetable.due_ns(urgent=self._declarer.urgent)

    async def commit(self, *, everything: bool = False, final: bool = False) -> bool:
        """Bring all that is due onto the card, with `everything` also what is not due yet; False where it failed."""
        async with self._lock:
            return await self._attempts.guarded(lambda: self._commit((), everything=everything, final=final))

    async def commit_salvaged(self, rows: Sequence[OutboxRow], after: Salvage) -> bool:
        """Bring over batches of the file that was set aside first, and how far that is now; False where it failed."""
        async with self._lock:
            return await self._attempts.guarded(lambda: self._commit(rows, salvage=after))

    async def commit_orphans(self, build: Callable[[], Sequence[Built]], after: Salvage) -> bool:
        """Accept and number batches of a lost epoch, with how far that is now; False where it failed."""
        ledger = self._parts.ledger
        async with self._lock:
            built = build()
            for batch in built:
                ledger.take_over(batch.head)
            rows = [OutboxRow(b.head, b.payload) for b in built]
            done = await self._attempts.guarded(lambda: self._commit(rows, salvage=after))
            for batch in () if done else reversed(built):
                ledger.hand_back(batch.head, batch.before)
            return done

    async def commit_built(self, build: Callable[[], Sequence[Built]]) -> Sequence[Built]:
        """Number batches and bring them onto the card before anyone has seen them; none where it failed."""
        async with self._lock:
            built = build()
            for batch in built:
                self._parts.ledger.seal(batch.head)
                if batch.unsynced:
                    self._parts.ledger.unsynced.add(batch.head.seq)
            rows = [OutboxRow(b.head, b.payload) for b in built]
            if built and not await self._attempts.guarded(lambda: self._commit(rows)):
                for batch in reversed(built):
                    self._parts.ledger.unseal(batch.head, batch.before)
                return ()
            return built

    async def forget(self, ranges: Iterable[SeqRange]) -> bool:
        """Take batches that are not undelivered out of the file, some in each commit; False where one failed."""
        for first, last in ranges:
            for at in range(first, last + 1, MAX_EVICTED):
                part = (at, min(last, at + MAX_EVICTED - 1))
                async with self._lock:
                    if not await self._attempts.guarded(partial(self._commit, (), forget=part)):
                        return False
        return True

    async def look_for(self, seqs: Sequence[int]) -> None:
        """A look into the file did not find these. Where no commit explains it the file is damaged, and is set aside.

        While another file is being salvaged, what is undelivered may be in that one.
        """
        parts, ledger = self._parts, self._parts.ledger
        async with self._lock:
            if ledger.salvages or parts.damage_seen:
                return
            due = RangeSet((seq, seq) for seq in seqs if seq in ledger.undelivered and seq <= ledger.stored_high)
            with suppress(sqlite3.Error):
                there, _ = await parts.outbox.readings_of(due.ranges())
                due = RangeSet(part for one in due.ranges() for part in ledger.undelivered.overlap(*one))
                if there < due.count:
                    parts.damaged(not_there(seqs[0], seqs[-1]))

    async def opening(self, batches: Sequence[OutboxRow]) -> None:
        """The first commit of a process, before anything is accepted; raises `sqlite3.Error`."""
        async with self._lock:
            try:
                await self._attempts.attempted(lambda: self._commit(batches))
            except sqlite3.Error as err:
                if not is_damaged(err) or not await self._renewed(batches):
                    raise
                await self._attempts.attempted(lambda: self._commit(()))

    def put_off(self, err: Exception) -> None:
        """The first commit failed: it is made as soon as the card can be written."""
        self._attempts.put_off(err)

    async def renew(self) -> bool:
        """Where the file was found to be damaged, set it aside and go on with a new one; False where that failed."""
        async with self._lock:
            return self._parts.damage_seen and await self._renewed()

    async def checkpoint(self) -> bool:
        """Go on in a new segment, archive what the old ones hold, delete them; False where it failed."""
        ledger = self._parts.ledger
        high = ledger.high
        self._timetable.begin_checkpoint()
        rotated = self._rotate()
        async with self._lock:
            done = await self._attempts.guarded(lambda: self._commit((), checkpoint=True))
            before = -1
            while done and before < ledger.stored_high < high:
                before = ledger.stored_high
                done = await self._attempts.guarded(lambda: self._commit(()))
            if done and not self._freed_journal(rotated=rotated):
                done = await self._attempts.guarded(lambda: self._commit(()))
            if done:
                await self._attempts.guarded(lambda: self._retention.shrink(self.figures.sizes))
        return done

    def _rotate(self) -> bool:
        """Begin a new segment; False where the RAM disk has no room for it."""
        parts = self._parts
        try:
            with parts.journal.rotated():
                parts.begin_segment()
        except OSError as err:
            parts.journal_episode.failed(err)
            return False
        return True

    def _freed_journal(self, *, rotated: bool) -> bool:
        """Delete what is not needed any more; False where the segment that is written had to go too."""
        parts, ledger = self._parts, self._parts.ledger
        parts.checkpoint_asked = False
        self._timetable.checkpoint_made()
        fresh = next(iter(ledger.fresh.values()), None)
        if not ledger.waiting and not ledger.waiting_events:
            ledger.sealed_all(parts.journal.end)
        parts.journal.drop_before(min(ledger.cursor, parts.journal.end if fresh is None else fresh.position))
        if rotated:
            parts.journal_episode.recovered()
        elif fresh is None and ledger.cursor == parts.journal.end:
            parts.journal.start_over()  # a full RAM disk: the segment itself is the only room there is
            with suppress(OSError):
                parts.journal.begin()
            ledger.sealed_all(parts.journal.end)
            return False
        return True

    async def _commit(
        self,
        built: Sequence[OutboxRow],
        *,
        everything: bool = False,
        checkpoint: bool = False,
        final: bool = False,
        salvage: Salvage | None = None,
        forget: SeqRange | None = None,
    ) -> None:
        parts, ledger = self._parts, self._parts.ledger
        started_ns = parts.clock.mono_ns()
        await self._settle()
        # An event that waits may declare a loss, of which this picture says no more.
        raw = bool(everything or ledger.waiting_events) or self._timetable.raw_ns() <= parts.clock.mono_ns()
        draft = draw_up(parts, built, ahead=self._timetable.ahead, raw=raw, final=final)
        if salvage is not None:
            draft.card.salvages = [salvage if s.name == salvage.name else s for s in draft.card.salvages]
        ranges = draft.undelivered.ranges()
        try:
            await asyncio.to_thread(draft.bundle)
            await self._reserve(draft.card)
            async with parts.outbox.transaction():
                await parts.outbox.delete_unsealed(draft.cursor)
                await self._retention.make_room(draft, expire=checkpoint)
                await parts.outbox.write_batches(draft.rows)
                await parts.outbox.write_bundles(draft.bundles)
                await parts.outbox.write_unsealed(draft.pieces)
                if forget is not None:
                    await parts.outbox.delete_ranges(draft.kept.missing(*forget))
                ranges = draft.undelivered.ranges()
                await parts.outbox.write_picture(draft.card, ranges, changed=ranges != self._on_card)
        except BaseException:
            self._on_card = None
            ledger.changed = True
            if draft.unsaved_ns is not None:
                ledger.oldest_unsaved_ns = draft.unsaved_ns
            raise
        self._on_card = ranges
        ledger.reserved = draft.card.reserved
        if salvage is not None:
            ledger.salvage_went_on(salvage)
        ledger.committed(draft.card.stored_high)
        ledger.evict(draft.gone, draft.loss)
        if draft.pieces:
            ledger.saved = draft.card.position
        self._timetable.committed(started_ns)
        self._retention.accepted()
        await self.figures.look(self._retention.incoming_bytes)
        parts.seal_wake.set()
        if not final:
            self._declarer.declare()

    async def _reserve(self, card: Card) -> None:
        """Make the numbers durable that this commit reserves, before it says so itself."""
        numbers, file = self._parts.numbers, self._parts.outbox.identity
        bound = numbers.bound_of(card.epoch)
        if bound == card.reserved and numbers.is_of(card.epoch, file):
            return
        try:
            await asyncio.to_thread(numbers.write, card.epoch, card.reserved, [file])
        except OSError:
            if not bound:
                raise
            card.reserved = min(card.reserved, max(bound, self._parts.ledger.reserved))

    async def _renewed(self, batches: Sequence[OutboxRow] = ()) -> bool:
        """Set the file aside and go on with a new one that has `batches`; False where the disk refused."""
        try:
            return await self._attempts.renewed(batches)
        finally:
            self._on_card = None
            self.figures.forget()

    async def _settle(self) -> None:
        """Count the readings of batches on the card that arrived, or were refused, since the last time."""
        parts, ledger = self._parts, self._parts.ledger
        absent = ledger.absent.ranges()
        for fate, waiting in ledger.unsettled.items():
            countable = RangeSet(waiting.ranges())
            for first, last in absent:
                countable.discard(first, last)
            ranges = countable.ranges()
            if ranges:
                batches, readings = await parts.outbox.readings_of(ranges)
                ledger.settled(fate, ranges, batches, readings)
        self._timetable.settled()
