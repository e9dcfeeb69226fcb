"""The committer: brings onto the card what may not be lost in a power cut, and keeps the file within its limits.

Every commit writes all sealed batches that are not on the card yet, which batches are undelivered, and the ledger's
picture, in one transaction. While the line is up there is one commit each `archive_interval`, the checkpoint: the
journal goes on in a new file and the old ones are deleted. A commit that fails is tried again; nothing is forgotten.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from agent.clock import NS_PER_S
from agent.model import SeqRange
from agent.ranges import RangeSet
from agent.store.damage.renewal import renew, swap
from agent.store.damage.salvage import Salvage
from agent.store.declaring import Declarer
from agent.store.draft import Built, Draft
from agent.store.figures import Figures
from agent.store.ledger import Card
from agent.store.outbox import MAX_EVICTED, OutboxRow, RawPiece, is_damaged, is_full
from agent.store.parts import Parts
from agent.store.retention import Retention
from agent.supervise import Episode

log = logging.getLogger(__name__)

RESERVE_AHEAD: Final = 300
"""Numbers reserved ahead: so many batches still leave while the card fails, and are declared after a power cut."""
RETRY_S: Final = 1.0
SETTLE_S: Final = 1.0
RAW_INTERVAL_S: Final = 3.0
CHUNK_BYTES: Final = 4 * 1024 * 1024
SEGMENT_BYTES: Final = 16 * 1024 * 1024
_NEVER: Final = -(1 << 62)


class Committer:
    """The one writer of the outbox file."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lock = asyncio.Lock()
        self._episode = Episode("outbox", parts.clock)
        self._duration_s = 0.0
        self._busy_since_ns: int | None = None
        self._retry_ns = self._settle_ns = _NEVER
        self._checkpoint_ns = parts.clock.mono_ns() + self._archive_ns
        self._sealed_at_checkpoint = parts.ledger.high
        self._chunk_bytes = min(CHUNK_BYTES, parts.config.outbox.max_bytes // 8)
        self._ahead = RESERVE_AHEAD
        self._on_card: list[tuple[int, int]] | None = None
        self._retention = Retention(parts)
        self.figures = Figures(parts)
        self._declarer = Declarer(parts, self.figures)

    @property
    def full(self) -> bool:
        """Whether the file has no room left and the policy is to stop polling."""
        return self._retention.full

    @property
    def failures(self) -> int:
        """How many commits have failed since the start."""
        return self._episode.count

    @property
    def failing(self) -> bool:
        return self._episode.failing

    def busy_s(self) -> float:
        """For how long the commit has lasted that is under way."""
        since_ns = self._busy_since_ns
        return 0.0 if since_ns is None else (self._parts.clock.mono_ns() - since_ns) / NS_PER_S

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
        if self._parts.damage_seen:
            await self.renew()
        elif self._checkpoint_due_ns() <= now_ns:
            await self.checkpoint()
        elif self._commit_due_ns() <= now_ns:
            await self.commit()
        else:
            async with self._lock:
                await self._guarded(self._settle)

    def due_ns(self) -> int | None:
        """When there is something to do next, on the monotonic clock; None where nothing waits."""
        times = [self._checkpoint_due_ns(), self._commit_due_ns()]
        if self._parts.damage_seen:
            times.append(_NEVER)
        if any(self._parts.ledger.unsettled.values()):
            times.append(self._settle_ns + round(SETTLE_S * NS_PER_S))
        due_ns = min(times)
        return max(due_ns, self._retry_ns) if due_ns < -_NEVER else None

    async def commit(self, *, everything: bool = False, final: bool = False) -> bool:
        """Bring all that is due onto the card, with `everything` also what is not due yet; False where it failed."""
        async with self._lock:
            return await self._guarded(lambda: self._commit((), everything=everything, final=final))

    async def commit_salvaged(self, rows: Sequence[OutboxRow], after: Salvage) -> bool:
        """Bring over batches of the file that was set aside first, and how far that is now; False where it failed."""
        async with self._lock:
            return await self._guarded(lambda: self._commit(rows, salvage=after))

    async def commit_orphans(self, build: Callable[[], Sequence[Built]], after: Salvage) -> bool:
        """Accept and number batches of a lost epoch, with how far that is now; False where it failed."""
        ledger = self._parts.ledger
        async with self._lock:
            built = build()
            for batch in built:
                ledger.take_over(batch.head)
            rows = [OutboxRow(b.head, b.payload) for b in built]
            done = await self._guarded(lambda: self._commit(rows, salvage=after))
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
            if built and not await self._guarded(lambda: self._commit(rows)):
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
                    if not await self._guarded(partial(self._commit, (), forget=part)):
                        return False
        return True

    async def opening(self, batches: Sequence[OutboxRow]) -> None:
        """The first commit of a process, before anything is accepted; raises `sqlite3.Error`."""
        async with self._lock:
            try:
                await self._attempted(lambda: self._commit(batches))
            except sqlite3.Error as err:
                if not is_damaged(err) or not await self._renewed(batches):
                    raise
                await self._attempted(lambda: self._commit(()))

    def put_off(self, err: Exception) -> None:
        """The first commit failed: it is made as soon as the card can be written."""
        self._episode.failed(f"{self._parts.outbox.path}: {err}")
        self._retry_ns = self._parts.clock.mono_ns() + round(RETRY_S * NS_PER_S)

    async def renew(self) -> bool:
        """Where the file was found to be damaged, set it aside and go on with a new one; False where that failed."""
        async with self._lock:
            return self._parts.damage_seen and await self._renewed()

    async def checkpoint(self) -> bool:
        """Go on in a new segment, archive what the old ones hold, delete them; False where it failed."""
        ledger = self._parts.ledger
        high = ledger.high
        self._ahead = max(RESERVE_AHEAD, 2 * (high - self._sealed_at_checkpoint))
        self._sealed_at_checkpoint = high
        rotated = self._rotate()
        async with self._lock:
            done = await self._guarded(lambda: self._commit((), checkpoint=True))
            while done and ledger.stored_high < high:
                done = await self._guarded(lambda: self._commit(()))
            if done and not self._freed_journal(rotated=rotated):
                done = await self._guarded(lambda: self._commit(()))
            if done:
                await self._guarded(lambda: self._retention.shrink(self.figures.sizes))
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
        self._checkpoint_ns = parts.clock.mono_ns() + self._archive_ns
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
        draft = self._draft(built, everything=everything, final=final)
        if salvage is not None:
            draft.card.salvages = [salvage if s.name == salvage.name else s for s in draft.card.salvages]
        await self._reserve(draft.card)
        ranges = draft.undelivered.ranges()
        try:
            async with parts.outbox.transaction():
                await parts.outbox.delete_unsealed(draft.cursor)
                await self._retention.make_room(draft, expire=checkpoint)
                await parts.outbox.write_batches(draft.rows)
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
        self._duration_s = (parts.clock.mono_ns() - started_ns) / NS_PER_S
        self._retention.accepted()
        await self.figures.look()
        parts.seal_wake.set()
        if not final:
            self._declarer.declare()

    def _draft(self, built: Sequence[OutboxRow], *, everything: bool, final: bool) -> Draft:
        parts, ledger = self._parts, self._parts.ledger
        rows = [*self._fresh_rows(limited=not built), *built]
        stored_high = max([ledger.stored_high, *(row.head.seq for row in rows)])
        card = ledger.picture(position=parts.journal.end, stored_high=stored_high, held_s=parts.config.held_s)
        if final:
            card.reserved = ledger.high
        elif ledger.reserved - ledger.high < self._ahead:
            card.reserved = ledger.high + 2 * self._ahead
        pieces: list[RawPiece] = []
        unsaved_ns = ledger.oldest_unsaved_ns
        # An event that waits may declare a loss, of which this picture says no more.
        due = everything or ledger.waiting_events or self._raw_due_ns() <= parts.clock.mono_ns()
        if unsaved_ns is not None and due:
            start = max(ledger.saved, ledger.cursor)
            pieces = [RawPiece(at, ledger.boot_id, data) for at, data in parts.journal.slices(start)]
            ledger.oldest_unsaved_ns = None
        ledger.changed = False
        undelivered = RangeSet(ledger.undelivered.ranges())
        return Draft(card, undelivered, rows, pieces, ledger.cursor, unsaved_ns if pieces else None)

    def _fresh_rows(self, *, limited: bool) -> list[OutboxRow]:
        rows: list[OutboxRow] = []
        size = 0
        for fresh in self._parts.ledger.fresh.values():
            rows.append(OutboxRow(fresh.head, self._parts.journal.read(fresh.position, fresh.size)))
            size += fresh.size
            if limited and size >= self._chunk_bytes:
                break
        return rows

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
        parts, path = self._parts, self._parts.outbox.path
        try:
            await _to_the_end(renew(parts, batches))
        except (sqlite3.Error, OSError) as err:
            self._episode.failed(f"{path}: it is damaged, and a new one cannot be made: {err}")
            self._retry_ns = parts.clock.mono_ns() + round(RETRY_S * NS_PER_S)
            return False
        finally:
            self._on_card = None
            self.figures.forget()
        self._retry_ns = _NEVER
        return True

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
        self._settle_ns = parts.clock.mono_ns()

    async def _guarded(self, work: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Do `work` to its end even when cancelled; False where SQLite or the disk refused."""
        self._busy_since_ns = self._parts.clock.mono_ns()
        try:
            if self._parts.outbox.closed:
                self._parts.outbox = await swap(self._parts.outbox, self._parts.config.outbox.max_bytes)
            await self._attempted(work)
        except (sqlite3.Error, OSError) as err:
            damaged = is_damaged(err)
            self._episode.failed(f"{self._parts.outbox.path}: {err}{' (the file is damaged)' if damaged else ''}")
            self._retry_ns = self._parts.clock.mono_ns() + round(RETRY_S * NS_PER_S)
            if is_full(err):
                self._declarer.warn()
            if damaged:  # whoever called takes back first what is not on the card
                self._parts.damage_seen, self._retry_ns = True, _NEVER
                self._parts.commit_wake.set()
            return False
        finally:
            self._busy_since_ns = None
        self._episode.recovered()
        self._retry_ns = _NEVER
        return True

    async def _attempted(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Do `work`, again where room could be made for it; raises `sqlite3.Error` or OSError."""
        while True:
            try:
                return await _to_the_end(work())
            except (sqlite3.Error, OSError) as err:
                if not is_full(err) or not await self._made_room():
                    raise

    async def _made_room(self) -> bool:
        return await self._retention.refused() or await asyncio.to_thread(self._parts.disk.give_up_reserve)

    @property
    def _archive_ns(self) -> int:
        return round(self._parts.config.outbox.archive_interval_s * NS_PER_S)

    def _checkpoint_due_ns(self) -> int:
        parts = self._parts
        if parts.checkpoint_asked or parts.journal.segment_bytes > SEGMENT_BYTES:
            return _NEVER
        return self._checkpoint_ns if parts.ledger.changed or parts.ledger.fresh else -_NEVER

    def _commit_due_ns(self) -> int:
        ledger, interval_s = self._parts.ledger, self._parts.config.outbox.commit_interval_s
        if ledger.reserved - ledger.high < self._ahead // 4:
            return _NEVER
        if self._declarer.urgent:
            return _NEVER
        due_ns = self._raw_due_ns()
        head = next(iter(ledger.unsafe.values()), None)
        return due_ns if head is None else min(due_ns, head.oldest_mono_ns + self._in_time_ns(interval_s))

    def _raw_due_ns(self) -> int:
        oldest_ns = self._parts.ledger.oldest_unsaved_ns
        interval_s = self._parts.config.outbox.commit_interval_s or RAW_INTERVAL_S
        return -_NEVER if oldest_ns is None else oldest_ns + self._in_time_ns(interval_s)

    def _in_time_ns(self, interval_s: float) -> int:
        """Begin early enough that the commit is done when `interval_s` have passed."""
        lead_s = min(interval_s / 2, 0.05 + 2 * self._duration_s)
        return round((interval_s - lead_s) * NS_PER_S)


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await `work`; a cancellation waits until it is done, so that a commit is known to be made or not."""
    task = asyncio.create_task(work, name="outbox-commit")
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is not None:
            log.warning("outbox: the last commit failed: %s", task.exception())
        raise
