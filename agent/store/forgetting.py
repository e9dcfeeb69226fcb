"""Forgetting: batches that somebody gives up for good, and files that were set aside and nobody needs."""

import asyncio
import sqlite3
from collections.abc import Sequence

import msgspec

from agent.model import SeqRange
from agent.ranges import RangeSet
from agent.store.backlog import Backlog
from agent.store.committer import Committer
from agent.store.damage.renewal import delete_files, spare_files
from agent.store.ledger import FORGOTTEN
from agent.store.losses import Loss
from agent.store.parts import Parts, StoreError


class Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    """What was given up: `batches` left the file, `undelivered` of them with `readings` that are lost by that."""

    batches: int
    undelivered: int
    readings: int


async def forget(parts: Parts, committer: Committer, backlog: Backlog, ranges: Sequence[SeqRange]) -> Forgotten:
    """Take batches out of the file; the undelivered ones count as lost, and are declared.

    Everything is on the card already. Raises `StoreError` where that cannot be written; what was counted then stays
    counted, and is not sent.
    """
    ledger, outbox = parts.ledger, parts.outbox
    named = RangeSet((max(first, 1), min(last, ledger.high)) for first, last in ranges).ranges()
    try:
        batches, _ = await outbox.readings_of(named)
        counted, found, readings = list[SeqRange](), 0, 0
        while counted != (waiting := [part for one in named for part in ledger.undelivered.overlap(*one)]):
            counted = waiting  # some may arrive meanwhile
            found, readings = await outbox.readings_of(counted)
    except sqlite3.Error as err:
        raise refused(parts) from err
    gone = RangeSet(backlog.settle(named, FORGOTTEN))
    if gone:
        known = readings if found == gone.count else None  # of those in a file that was set aside nothing is known
        parts.declare_later(Loss(reason=FORGOTTEN, ranges=gone.ranges(), readings=known))
    if not await committer.forget(named):
        raise refused(parts)
    return Forgotten(batches=batches, undelivered=gone.count, readings=readings)


async def forget_aside(parts: Parts) -> list[str]:
    """Delete the files that were set aside, but for those that are being salvaged; gives their names."""
    files = spare_files(parts.outbox.path, [salvage.name for salvage in parts.ledger.salvages])
    await asyncio.to_thread(delete_files, files)
    return [file.name for file in files]


def refused(parts: Parts) -> StoreError:
    """The card does not take it now."""
    return StoreError(f"{parts.outbox.path}: cannot be written now; see the log, then try again")
