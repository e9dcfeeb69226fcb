"""Sealed batches, delivered or not, for as long as they are kept: a look at the journal and at the outbox file.

What was sealed a moment ago is in the journal only; everything up to `stored_high` is in the file. Changes nothing.
"""

import logging
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import islice

from agent.model import Batch, SeqRange
from agent.ranges import RangeSet
from agent.store.parts import Parts
from agent.store.sqlite_errors import is_damaged

log = logging.getLogger(__name__)


class Archive:
    """The reading side of one store; whether a batch has arrived makes no difference here."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def window(self, from_ms: int, to_ms: int) -> list[SeqRange] | None:
        """Numbers of all batches that can have readings of that time, `to_ms` excluded, and maybe of some others.

        None where the card cannot be read now.
        """
        heads = [fresh.head for fresh in self._parts.ledger.fresh.values()]
        found = RangeSet((one.seq, one.seq) for one in heads if one.last_ms >= from_ms and one.first_ms < to_ms)
        at = (from_ms, 0)
        try:
            while rows := await self._parts.outbox.window(at, to_ms):
                for _, seq in rows:
                    found.add(seq)
                at = rows[-1]
        except sqlite3.Error as err:
            self._failed(err)
            return None
        return found.ranges()

    async def read(self, ranges: Sequence[SeqRange], max_batches: int, max_bytes: int) -> Sequence[Batch] | None:
        """Batches of `ranges`, lowest first, at least one where there is any; None where the card cannot be read now.

        What is gone, or damaged, is passed over.
        """
        ledger, outbox = self._parts.ledger, self._parts.outbox
        wanted, looked_up_to = RangeSet(ranges), -1
        while looked_up_to != ledger.stored_high:  # meanwhile more may have gone from the journal onto the card
            looked_up_to = ledger.stored_high
            try:
                found = await outbox.read(wanted.overlap(1, looked_up_to), max_batches, max_bytes)
            except (sqlite3.Error, ValueError) as err:
                self._failed(err)
                return None
            if found.damaged:
                log.warning("%s: batches %s are damaged and cannot be sent again", outbox.path, found.damaged)
            if found.batches:
                return found.batches
            if found.damaged:
                wanted.discard(1, found.damaged[-1])
                looked_up_to = -1
        return self.from_journal(islice((seq for seq in ledger.fresh if seq in wanted), max_batches), max_bytes)

    def from_journal(self, seqs: Iterable[int], max_bytes: int) -> list[Batch]:
        """These batches, which are all in the journal; at least one where there is any."""
        found: list[Batch] = []
        size = 0
        for seq in seqs:
            fresh = self._parts.ledger.fresh[seq]
            size += fresh.size
            if found and size > max_bytes:
                break
            head, payload = fresh.head, self._parts.journal.read(fresh.position, fresh.size)
            found.append(
                Batch(
                    seq=seq,
                    kind=head.kind,
                    payload=payload,
                    readings=head.readings,
                    sealed_ms=head.sealed_ms,
                    sealed_mono_ns=head.sealed_mono_ns,
                )
            )
        return found

    def _failed(self, err: Exception) -> None:
        if isinstance(err, sqlite3.Error) and is_damaged(err):
            self._parts.damaged(err)
        else:
            log.warning("%s cannot be read now: %s", self._parts.outbox.path, err)
