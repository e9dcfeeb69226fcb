"""An overview of an outbox, the same from the running store and from a file that nobody has open."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from agent.model import Account
from agent.ranges import RangeSet
from agent.store.damage.renewal import aside_files
from agent.store.damage.salvage import Salvage
from agent.store.inspection.outbox_file import OutboxFile
from agent.store.inspection.verification import left_over


class Aside(msgspec.Struct, frozen=True):
    """A file that was set aside, or belongs to one."""

    name: str
    bytes: int


class Salvaging(msgspec.Struct, frozen=True, kw_only=True):
    """What is still being brought over from a file that was set aside; in batches, `readings` are those saved."""

    name: str
    reason: str
    wanted: int
    saved: int
    readings: int
    missing: int


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """`undelivered`, `low`, `high`, `dead`: batches and their numbers. `bytes`: the length of the file.

    `in_journal`: readings that were only in the journal when the file was written; a running store knows of them.
    `oldest_s`: how long ago the oldest undelivered batch was sealed.
    """

    epoch: str
    account: Account
    undelivered: int
    low: int
    high: int
    oldest_s: float
    dead: int
    bytes: int
    in_journal: int = 0
    aside: Sequence[Aside] = ()
    salvages: Sequence[Salvaging] = ()


def overview_of(file: OutboxFile, now_ms: int) -> Overview:
    """What a file says; raises `Damaged` where it cannot be believed."""
    census = file.census()
    undelivered, card = RangeSet(census.picture.undelivered), census.picture.card
    if card is None:
        return Overview(
            epoch="", account=Account(), undelivered=0, low=1, high=0, oldest_s=0.0, dead=0, bytes=file.bytes()
        )
    account = Account(
        accepted=card.accepted,
        delivered=card.delivered,
        stored=card.stored + census.unsealed,
        waiting=census.unsealed,
        lost=card.lost,
    )
    oldest_s = 0.0 if census.oldest_ms is None else max(0.0, (now_ms - census.oldest_ms) / 1000)
    return Overview(
        epoch=card.epoch,
        account=account,
        undelivered=undelivered.count,
        low=card.high + 1 if undelivered.first is None else undelivered.first,
        high=card.high,
        oldest_s=round(oldest_s, 1),
        dead=card.dead,
        bytes=file.bytes(),
        in_journal=left_over(census, card),
        aside=files_aside(file.path),
        salvages=salvaging(card.salvages),
    )


def files_aside(path: Path) -> list[Aside]:
    """The files beside `path` that were set aside."""
    found = []
    for file in aside_files(path):
        with suppress(FileNotFoundError):
            found.append(Aside(file.name, file.stat().st_size))
    return found


def salvaging(salvages: Iterable[Salvage]) -> list[Salvaging]:
    """Salvages as people want to see them."""
    return [
        Salvaging(
            name=salvage.name,
            reason=salvage.reason,
            wanted=RangeSet(salvage.open).count,
            saved=salvage.saved,
            readings=salvage.readings,
            missing=RangeSet(salvage.missing).count,
        )
        for salvage in salvages
    ]
