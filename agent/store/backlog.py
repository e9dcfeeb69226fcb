"""The backlog: what is undelivered, lowest number first, and what becomes of it.

Promises: what the card gives back as other bytes, or has forgotten, is never sent and is declared; where a look fails,
nothing is lost by that, and what waits is asked for again.
"""

import logging
import sqlite3
from collections.abc import Sequence
from itertools import islice

from agent.model import Batch, SeqRange
from agent.ranges import RangeSet
from agent.store.archive import Archive
from agent.store.committer import Committer
from agent.store.ledger import DAMAGED, FATES
from agent.store.losses import Loss
from agent.store.parts import Parts
from agent.store.records import RecordType, pack_ranges
from agent.store.sqlite_errors import is_damaged

log = logging.getLogger(__name__)


class Backlog:
    """The undelivered batches of one store, in its journal and in its file."""

    def __init__(self, parts: Parts, committer: Committer, archive: Archive) -> None:
        self._parts = parts
        self._committer = committer
        self._archive = archive

    async def pending(self, after: int, max_batches: int, max_bytes: int) -> Sequence[Batch]:
        """Undelivered batches with seq above `after`, lowest first; at least one where there is any."""
        ledger = self._parts.ledger
        while True:
            seqs = list(islice(ledger.undelivered.after(after), max_batches))
            on_card = [seq for seq in seqs if seq not in ledger.fresh]
            if not on_card:
                return self._archive.from_journal(seqs, max_bytes)
            ranges = ledger.undelivered.overlap(on_card[0], on_card[-1])
            try:
                found = await self._parts.outbox.read(ranges, len(on_card), max_bytes)
            except (sqlite3.Error, ValueError) as err:
                self._unreadable(err)
                return []
            if found.damaged:
                self._lose(found.damaged)
            if gaps := found.gaps_in(on_card):
                await self._committer.look_for(gaps)
            waiting = [batch for batch in found.batches if batch.seq in ledger.undelivered]
            if waiting:
                return waiting
            after = on_card[-1]

    def settle(self, ranges: Sequence[SeqRange], fate: str) -> list[SeqRange]:
        """These have met their fate; gives which of them were undelivered until now."""
        ledger = self._parts.ledger
        gone = ledger.settle(ranges, fate)
        if gone:
            self._parts.note(RecordType.SETTLED, FATES.index(fate), pack_ranges(gone))
            self._committer.replan()
        return gone

    def _lose(self, seqs: Sequence[int]) -> None:
        """The card gives back other bytes than were written: such a batch is never sent."""
        gone = RangeSet((seq, seq) for seq in seqs if seq in self._parts.ledger.undelivered).ranges()
        log.error("%s: batches %s are damaged; they are declared lost", self._parts.outbox.path, gone)
        self.settle(gone, DAMAGED)
        self._parts.declare_later(Loss(reason=DAMAGED, ranges=gone))

    def _unreadable(self, err: Exception) -> None:
        """A look into the file failed: what waits there is asked for again, in a new file where this one is broken."""
        if isinstance(err, sqlite3.Error) and is_damaged(err):
            self._parts.damaged(err)
        elif isinstance(err, sqlite3.Error):
            log.warning("%s cannot be read now: %s", self._parts.outbox.path, err)
