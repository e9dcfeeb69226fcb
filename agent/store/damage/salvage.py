"""What is still to be brought over from an outbox file that was set aside, and what became of it so far. Pure."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from agent.model import SeqRange
from agent.ranges import RangeSet

CORRUPT: Final = "store_corrupt"
RESTORED: Final = "store_restored"
"""Why a file was set aside: it is damaged, or it is a copy and may have been used elsewhere."""


class Salvage(msgspec.Struct, frozen=True, kw_only=True):
    """One file that was set aside. It goes onto the card with the batches that were brought over, so none comes twice.

    `wanted`: undelivered batches that were not looked for yet. `unread`: those that could not be read so far, and
    `looks`: how often they were looked for again. `missing`: those that are given up. `archive`: delivered ones up to
    here may follow. `expected`: readings that those wanted and unread hold together. `epoch`: where it is another
    than the outbox's, the batches go out again under new numbers. `saved`, `readings`: batches and readings brought
    over.
    """

    name: str
    reason: str
    wanted: Sequence[SeqRange]
    epoch: str = ""
    archive: int = 0
    expected: int = 0
    saved: int = 0
    readings: int = 0
    archived: int = 0
    missing: Sequence[SeqRange] = ()
    unread: Sequence[SeqRange] = ()
    looks: int = 0

    @property
    def open(self) -> list[SeqRange]:
        """Undelivered batches that may still be found."""
        return [*self.wanted, *self.unread]

    def looked_for(
        self, reached: int, found: Iterable[tuple[int, int]], unreadable: Iterable[SeqRange] = ()
    ) -> "Salvage":
        """After a look at what is wanted up to `reached`: `found` are numbers and readings of those that are there.

        `unreadable`: where nothing could be read; what else was not found is not there.
        """
        rows = dict(found)
        wanted = RangeSet(self.wanted)
        looked = RangeSet(wanted.discard(0, reached))
        for seq in rows:
            looked.discard(seq)
        readings = sum(rows.values())
        unread = [part for place in unreadable for part in looked.discard(*place)]
        return msgspec.structs.replace(
            self,
            wanted=wanted.ranges(),
            unread=RangeSet([*self.unread, *unread]).ranges(),
            missing=RangeSet([*self.missing, *looked.ranges()]).ranges(),
            saved=self.saved + len(rows),
            readings=self.readings + readings,
            expected=max(0, self.expected - readings),
        )

    def looking_again(self) -> "Salvage":
        """What could not be read is looked for once more."""
        return msgspec.structs.replace(self, wanted=self.unread, unread=(), looks=self.looks + 1)

    def given_up(self) -> "Salvage":
        """What could not be read so far is not looked for any more."""
        missing = RangeSet([*self.missing, *self.unread]).ranges()
        return msgspec.structs.replace(self, missing=missing, unread=())
