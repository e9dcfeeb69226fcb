"""The store: the only place where undelivered data lives. Its invariants, each with a test of the same words:

1. A reading survives kill -9 from the moment it was read.
2. What is undelivered `commit_interval` after it was read survives a power cut.
3. A number is durable as reserved before it is used.
4. No number is ever used twice with other bytes.
5. Batches are handed on in the order of their numbers.
6. A batch never changes: a resend has the same bytes.
7. Marking delivered touches what was named and nothing else.
8. accepted = delivered + stored + lost, after every end and every opening.
9. What may have been lost is declared, with its numbers and a reason.
10. The file does not exceed its limit by more than 5 %; what goes is decided by the named policy and counted.
11. A failing card stops no reading, and what was read reaches it when it works again.
12. A corrupt file is set aside and the agent runs on.
13. Readings of an unsynchronised clock wait, and are stamped with the right time when it is known.
14. A batch leaves at least once; again only where the end came before the mark, and then under the same number.
15. An older file is brought up to date with every row; a newer one is refused by name.

Readings go into the journal (RAM disk) at once, leave as sealed batches, and go onto the card when they are not
delivered in time (`outbox.py`). Uplinks see `agent.model.BatchSource`; nothing here knows of MQTT or of devices.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from agent.clock import NS_PER_S
from agent.model import Account, Batch, Event, Result, Scan, SeqRange, Snapshot
from agent.store.archive import Archive
from agent.store.backlog import Backlog
from agent.store.committer import Committer
from agent.store.damage.salvage import Salvage
from agent.store.damage.salvager import Salvager
from agent.store.forgetting import Forgotten, forget, forget_aside, refused
from agent.store.inspection.overview import Overview, files_aside, salvaging
from agent.store.ledger import DELIVERED, REJECTED
from agent.store.losses import Loss
from agent.store.outbox import UPLINK
from agent.store.parts import MIN_PAYLOAD_BYTES, Parts, StoreConfig, StoreError, set_aside_event
from agent.store.records import RecordType
from agent.store.recovery import Recovered
from agent.store.sealer import Sealer
from agent.store.sealing import FRAGMENT_BYTES, scan_fragments

log = logging.getLogger(__name__)

JOURNAL_FULL: Final = "journal_full"
STUCK_S: Final = 120.0


class StoreStats(msgspec.Struct, frozen=True, kw_only=True):
    """What `status` and health say of the outbox. `undelivered`, `dead`: batches; `dropped`: readings lost."""

    undelivered: int
    low: int
    high: int
    oldest_s: float
    bytes: int
    dead: int
    dropped: int


class Store:
    """The open store. Satisfies `agent.model.BatchSource`. Made by `open_store` only."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._ledger = parts.ledger
        self._archive = Archive(parts)
        self._committer = Committer(parts)
        self._backlog = Backlog(parts, self._committer, self._archive)
        self._sealer = Sealer(parts, self._committer)
        self._salvager = Salvager(parts, self._committer, self._sealer)
        self._rows_allowed = dict[str, bool]()

    @property
    def epoch(self) -> str:
        """16 hex digits, made with the outbox file."""
        return self._ledger.epoch

    @property
    def boot(self) -> int:
        """How many boots the outbox has seen, from 1."""
        return self._ledger.boot

    @property
    def high(self) -> int:
        """Highest sequence number used so far; 0 for none."""
        return self._ledger.high

    @property
    def low(self) -> int:
        """Lowest undelivered sequence number; the next one to be used where there is none."""
        return self._ledger.low

    @property
    def ram_disk(self) -> bool:
        """Whether the journal is on a RAM disk; where not, each batch is committed before it is handed on."""
        return self._parts.ram_disk

    @property
    def full(self) -> bool:
        """With `when_full = "stop_polling"`: whether polling must stop until something is delivered."""
        return self._committer.full

    @property
    def commit_failures(self) -> int:
        """How many commits have failed since the start."""
        return self._committer.failures

    @property
    def on_sealed(self) -> Callable[[Batch], None] | None:
        """Called with each batch when it may be sent, in the order of numbers."""
        return self._sealer.on_sealed

    @on_sealed.setter
    def on_sealed(self, callback: Callable[[Batch], None] | None) -> None:
        self._sealer.on_sealed = callback

    @property
    def on_salvaged(self) -> Callable[[int], None] | None:
        """Called when undelivered batches are there again: with a number below which there are no new ones."""
        return self._salvager.on_brought

    @on_salvaged.setter
    def on_salvaged(self, callback: Callable[[int], None] | None) -> None:
        self._salvager.on_brought = callback

    def append(self, scan: Scan) -> None:
        """Accept what was read: when this returns, it survives kill -9. Never raises for a disk; losses are counted."""
        parts, ledger = self._parts, self._ledger
        if not scan.readings:
            return
        for fragment in scan_fragments(scan, min(FRAGMENT_BYTES, parts.max_payload_bytes // 2)):
            first = ledger.oldest_waiting_ns is None or ledger.oldest_unsaved_ns is None
            end = parts.journal.end
            try:
                parts.journal.write(RecordType.SCAN, fragment.readings, scan.mono_ns, fragment.body)
            except OSError as err:
                self._journal_full(fragment.readings, err)
                continue
            ledger.accept(fragment.readings, scan.mono_ns)
            if first:
                self._committer.replan()
            if first or self._sealer.is_nearly_due(scan.mono_ns) or self._sealer.much_waits_since(end):
                self._sealer.replan()

    def append_event(self, event: Event) -> None:
        """Accept an event; it is sealed at once."""
        self._parts.append_event(event)

    def append_snapshot(self, snapshot: Snapshot) -> bool:
        """Accept what is known of a picture; it is sealed at once. False where the journal cannot be written."""
        return self._parts.append_snapshot(snapshot)

    def append_result(self, result: Result) -> None:
        """Accept what became of a command; it is sealed at once."""
        self._parts.append_result(result)

    def new_connection(self) -> int:
        """Number of this connection, from 1 in each boot; never given twice in one boot."""
        self._ledger.connection += 1
        self._parts.note(RecordType.CONNECTION, self._ledger.connection, b"")
        return self._ledger.connection

    def is_undelivered(self, seq: int) -> bool:
        """Whether the batch still waits for its acknowledgement."""
        return seq in self._ledger.undelivered

    def mark_delivered(self, ranges: Sequence[SeqRange]) -> None:
        """These have arrived. Numbers that are unknown or delivered already are passed over."""
        self._backlog.settle(ranges, DELIVERED)

    def mark_dead(self, seq: int) -> None:
        """The broker refuses this batch for what it is: counted as lost, kept in the archive, not sent again."""
        self._backlog.settle([(seq, seq)], REJECTED)

    def limit_payload(self, max_bytes: int | None) -> None:
        """Seal batches of at most `max_bytes` from now on; None for the configured limit, which is never exceeded."""
        most = self._parts.config.max_payload_bytes
        self._parts.max_payload_bytes = most if max_bytes is None else min(most, max(max_bytes, MIN_PAYLOAD_BYTES))

    def allow_rows(self, *, allowed: bool, uplink: str = UPLINK) -> None:
        """Seal batches in rows from now on, where each uplink that has said anything says that they are read."""
        self._rows_allowed[uplink] = allowed
        self._parts.rows = all(self._rows_allowed.values())

    async def change(self, config: StoreConfig) -> None:
        """Go by another configuration from now on; gateway, folders and `max_bytes` are those of the opening.

        What was accepted before belongs to the births of before: it is sealed first, as far as the card allows.
        """
        await self._sealer.change(config)

    async def forget(self, ranges: Sequence[SeqRange]) -> Forgotten:
        """Give batches up for good: they leave the file; the undelivered ones count as lost, and are declared.

        Raises `StoreError` where the card cannot be written. What was counted then stays counted, and is not sent.
        """
        if not await self._all_onto_card():
            raise refused(self._parts)
        return await forget(self._parts, self._committer, self._backlog, ranges)

    async def forget_aside(self) -> list[str]:
        """Delete the files that were set aside, but for those that are being salvaged; gives their names."""
        return await forget_aside(self._parts)

    async def pending(self, after: int, max_batches: int, max_bytes: int) -> Sequence[Batch]:
        """Undelivered batches with seq above `after`, lowest first; at least one where there is any."""
        return await self._backlog.pending(after, max_batches, max_bytes)

    async def window(self, from_ms: int, to_ms: int) -> Sequence[SeqRange] | None:
        """Numbers of all batches that can have readings of that time, `to_ms` excluded, and maybe of some others.

        None where the card cannot be read now. Times are those that the batches say.
        """
        return await self._archive.window(from_ms, to_ms)

    async def sealed(self, ranges: Sequence[SeqRange], max_batches: int, max_bytes: int) -> Sequence[Batch] | None:
        """Batches of `ranges` that are still kept, delivered or not, lowest first; at least one where there is any.

        None where the card cannot be read now.
        """
        return await self._archive.read(ranges, max_batches, max_bytes)

    def account(self) -> Account:
        """Where every reading is. Deliveries of batches on the card are counted within about a second."""
        return self._ledger.account()

    def stats(self) -> StoreStats:
        """Figures for `status` and health; the file's as of the last commit."""
        ledger = self._ledger
        return StoreStats(
            undelivered=ledger.undelivered.count,
            low=ledger.low,
            high=ledger.high,
            oldest_s=self._oldest_s(),
            bytes=self._committer.figures.sizes.file_bytes,
            dead=ledger.dead,
            dropped=sum(ledger.lost.values()),
        )

    def overview(self) -> Overview:
        """What `oc-agent outbox status` shows."""
        stats, path = self.stats(), self._parts.outbox.path
        return Overview(
            epoch=self.epoch,
            account=self.account(),
            undelivered=stats.undelivered,
            low=stats.low,
            high=stats.high,
            oldest_s=stats.oldest_s,
            dead=stats.dead,
            bytes=stats.bytes,
            aside=files_aside(path),
            salvages=salvaging(self._ledger.salvages),
        )

    def is_alive(self) -> bool:
        """Whether sealing and committing make progress; a slow card, and one that fails, are no reason to say no."""
        return self._sealer.overdue_s() < STUCK_S and self._committer.busy_s() < STUCK_S

    async def run(self) -> None:
        """Seal, commit and archive what is due, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sealer.run(), name="store-sealer")
            tasks.create_task(self._committer.run(), name="store-committer")
            tasks.create_task(self._salvager.run(), name="store-salvager")

    async def step(self) -> None:
        """Do once what `run` would do now, by the clock."""
        await self._sealer.seal_due()
        await self._committer.commit_due()
        await self._salvager.step()

    async def flush(self) -> bool:
        """Seal what waits and bring everything undelivered onto the card; False where the card cannot be written.

        A process that holds the file is not waited for.
        """
        async with self._parts.outbox.impatient():
            return await self._flushed()

    async def begin(self, found: Recovered, aside: Salvage | None) -> None:
        """Make the recovered state durable, salvage what is left, say what was lost."""
        if found.loss is not None:
            self._ledger.undeclared.append(found.loss)
        try:
            await self._committer.opening(found.batches)
        except (sqlite3.Error, OSError) as err:
            if found.brings_something or aside is not None:
                raise
            self._committer.put_off(err)  # all that is known is on the card or in the journal already: read on
            return
        if not await self._sealer.salvage(found):
            where = self._parts.outbox.path
            raise StoreError(f"{where}: cannot be written; see the log, free the disk or replace the card")
        for segment in found.stale:
            segment.path.unlink(missing_ok=True)
        if aside is not None:
            self._parts.append_event(set_aside_event(aside.name, aside.reason, self._parts.clock.mono_ns()))

    async def end(self) -> None:
        """Leave everything on the card, and the journal where something has to wait on."""
        async with self._parts.outbox.impatient():
            done = await self._flushed() and await self._committer.commit(everything=True, final=True)
        ledger = self._ledger
        if not done:
            why = f"{self._parts.outbox.path} could not be written, or another process holds it"
            log.error("%s; what is missing stays in the journal until the next start, unless the power goes", why)
        self._parts.journal.close(delete=done and not ledger.waiting and not ledger.waiting_events)

    async def _flushed(self) -> bool:
        await self._sealer.seal(scans=True)
        return await self._all_onto_card()

    async def _all_onto_card(self) -> bool:
        high = self._ledger.high
        done = await self._committer.commit(everything=True)
        if not done and await self._committer.renew():
            done = await self._committer.commit(everything=True)
        before = -1
        while done and before < self._ledger.stored_high < high:
            before = self._ledger.stored_high
            done = await self._committer.commit(everything=True)
        return done and self._ledger.stored_high >= high

    def _journal_full(self, readings: int, err: OSError) -> None:
        self._ledger.lose(JOURNAL_FULL, readings)
        self._parts.declare_later(Loss(reason=JOURNAL_FULL, readings=readings))
        self._parts.journal_failed(err)

    def _oldest_s(self) -> float:
        ledger, clock = self._ledger, self._parts.clock
        head, oldest = next(iter(ledger.unsafe.values()), None), self._committer.figures.oldest
        if oldest is not None and ledger.low <= ledger.stored_high:
            return round(max(0.0, (clock.wall_ms() - oldest[1]) / 1000), 1)
        return 0.0 if head is None else round((clock.mono_ns() - head.sealed_mono_ns) / NS_PER_S, 1)
