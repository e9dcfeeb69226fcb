"""The newest reading of each point that an instrument has sent, and what of it is news to whom. Pure.

Promises: a reading is given to a plan once; of several places for one point the preferred one counts while it is
fresh; a point that was sent before and stays away becomes `com`; nothing grows but with the number of points.
Must not know: frames, ports, clocks.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from drivers.api import Quality, Reading
from drivers.serial.fields import Found
from drivers.serial.profile import SerialPoint, SerialProfile

NS_PER_S = 1_000_000_000
MISSED_TIMES = 3
"""A point that its instrument sends every `every_s` may stay away for so many times that long."""


@dataclass(frozen=True, eq=False)
class SerialPlan:
    """The points that one read wants. Two plans are never equal, so each is told its own news."""

    profile: SerialProfile
    points: Sequence[SerialPoint]


@dataclass(slots=True)
class _Known:
    reading: Reading
    rank: int
    times: int


class Newest:
    """What is known of one instrument since `started_ns`. `patience_s`: how long a point may stay away at least."""

    def __init__(self, started_ns: int, patience_s: float) -> None:
        self._started_ns = started_ns
        self._patience_s = patience_s
        self._known: dict[str, _Known] = {}
        self._given: WeakKeyDictionary[SerialPlan, dict[str, int]] = WeakKeyDictionary()

    def hear(self, found: Iterable[Found], mono_ns: int) -> None:
        """Take in what one frame said, which arrived at `mono_ns`."""
        for one in found:
            point = one.point
            known = self._known.get(point.name)
            if one.empty and known is None and point.optional:
                continue
            if known is None or self._counts(one, known, mono_ns):
                reading = Reading(point.name, one.value, mono_ns, one.quality, one.status)
                self._known[point.name] = _Known(reading, one.rank, known.times + 1 if known else 1)

    def news(self, plan: SerialPlan, now_ns: int) -> list[Reading]:
        """What the plan has not been given yet, in its order; `com` for what stays away. Empty: nothing is new."""
        given = self._given.setdefault(plan, {})
        fresh = {p.name: k for p in plan.points if (k := self._known.get(p.name)) and given.get(p.name, 0) < k.times}
        if not fresh:
            return []
        given.update({name: known.times for name, known in fresh.items()})
        return [
            fresh[point.name].reading if point.name in fresh else Reading(point.name, None, now_ns, Quality.NO_ANSWER)
            for point in plan.points
            if point.name in fresh or self._stays_away(point, now_ns)
        ]

    def is_new(self, plan: SerialPlan) -> bool:
        """Has this plan been given nothing yet?"""
        return plan not in self._given

    def has_heard_a_cycle(self, plan: SerialPlan) -> bool:
        """Have all points of the plan come, or one of them twice, so that the instrument has said all it says?"""
        times = [known.times if (known := self._known.get(p.name)) else 0 for p in plan.points]
        return min(times, default=1) > 0 or max(times) > 1

    def _counts(self, one: Found, known: _Known, mono_ns: int) -> bool:
        """Shall it replace what is known? A value before none; then the preferred place, unless it is silent."""
        if mono_ns - known.reading.mono_ns > self._away_after_ns(one.point):
            return True
        if one.value is None:
            return known.reading.value is None or one.rank == known.rank
        return known.reading.value is None or one.rank <= known.rank

    def _stays_away(self, point: SerialPoint, now_ns: int) -> bool:
        known = self._known.get(point.name)
        if known is None and point.optional:
            return False
        since_ns = known.reading.mono_ns if known else self._started_ns
        return now_ns - since_ns > self._away_after_ns(point)

    def _away_after_ns(self, point: SerialPoint) -> int:
        return round(max(self._patience_s, MISSED_TIMES * point.every_s) * NS_PER_S)
