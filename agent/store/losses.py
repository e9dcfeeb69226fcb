"""Losses that the IOC is to be told of: what, how much, why. Pure."""

from collections.abc import Iterable, Sequence

import msgspec

from agent.model import SeqRange
from agent.ranges import RangeSet


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """What was lost and why, to be declared to the IOC. `held_s`: how long back it may have held readings."""

    reason: str
    ranges: Sequence[SeqRange] = ()
    readings: int | None = None
    held_s: float | None = None


def merged(losses: Iterable[Loss]) -> list[Loss]:
    """One loss for each reason."""
    by_reason: dict[str, list[Loss]] = {}
    for loss in losses:
        by_reason.setdefault(loss.reason, []).append(loss)
    return [
        Loss(
            reason=reason,
            ranges=RangeSet(r for loss in same for r in loss.ranges).ranges(),
            readings=_sum([loss.readings for loss in same]),
            held_s=max((loss.held_s for loss in same if loss.held_s is not None), default=None),
        )
        for reason, same in by_reason.items()
    ]


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
