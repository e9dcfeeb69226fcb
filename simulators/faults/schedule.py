"""Which faults are there now. Pure but for the waiting: times are asked for, never read.

Promises: the same seed and the same faults give the same occurrences; a fault that is added begins from now on; what
was healed does not come back. Asking costs next to nothing where there is none.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from random import Random

from simulators.faults.catalogue import FOREVER, Place
from simulators.faults.fault import EVERYTHING, Fault


class Occurrences:
    """When one fault is there: the windows [begin, end) in seconds, drawn as time goes on."""

    def __init__(self, fault: Fault, random: Random) -> None:
        self.fault = fault
        self._random = random
        first = fault.from_s + (random.expovariate(1 / fault.every_s) if fault.every_s else 0.0)
        self.begin_s, self.end_s = first, first + fault.for_s

    def at(self, elapsed_s: float) -> bool:
        """Whether it is there; ask with times that do not go back."""
        while self.fault.every_s and elapsed_s >= self.end_s:
            self.begin_s = self.end_s + self._random.expovariate(1 / self.fault.every_s)
            self.end_s = self.begin_s + self.fault.for_s
        return self.begin_s <= elapsed_s < self.end_s

    def was_missed(self, since_s: float, elapsed_s: float) -> bool:
        """Whether it is a moment that has passed since somebody looked last: on a busy machine 50 ms are nothing."""
        return self.fault.kind.moment and since_s < self.begin_s <= elapsed_s

    def next_change_s(self, elapsed_s: float) -> float:
        """When it begins or ends next, after `elapsed_s`."""
        return next((t for t in (self.begin_s, self.end_s) if t > elapsed_s), FOREVER)


class Follower:
    """Who acts on what begins and ends: the number of the change that it looks at, and of the last that it has met."""

    looks_at = met = -1
    looked_s = -1.0


class Schedule:
    """All faults of a run. Devices and lines ask it, testers change it while it runs."""

    def __init__(self, faults: Iterable[Fault] = (), seed: int = 0) -> None:
        self._seed = seed
        self._count = 0
        self._occurrences: list[Occurrences] = []
        self._changed = asyncio.Event()
        self._changes = 0
        self._met = asyncio.Event()
        self._followers: list[Follower] = []
        for fault in faults:
            self._add(fault)

    def __bool__(self) -> bool:
        return bool(self._occurrences)

    @property
    def faults(self) -> Sequence[Fault]:
        return [one.fault for one in self._occurrences]

    def add(self, fault: Fault) -> None:
        """From now on this one too; its times are those of the run."""
        self._add(fault)
        self._tell()

    def heal(self, name: str = EVERYTHING, on: str = EVERYTHING) -> int:
        """Forget those of this name and on this device or link; gives how many."""
        before = len(self._occurrences)
        self._occurrences = [
            one
            for one in self._occurrences
            if (name not in (EVERYTHING, one.fault.name)) or (on not in (EVERYTHING, one.fault.on))
        ]
        self._tell()
        return before - len(self._occurrences)

    def active(self, places: Iterable[Place], elapsed_s: float, *on: str) -> list[Fault]:
        """What is there now, in these places, on one of these names; in the order in which they were written."""
        return [one.fault for one in self.occurring(places, elapsed_s, *on)]

    def occurring(self, places: Iterable[Place], elapsed_s: float, *on: str) -> list[Occurrences]:
        """The same, with when each has begun."""
        if not self._occurrences:
            return []
        return [one for one in self._of(places, on) if one.at(elapsed_s)]

    @contextmanager
    def follower(self) -> Iterator[Follower]:
        """Somebody for whom `all_met` waits: each time it looks with `occurring_to`, acts, and waits with `change`."""
        one = Follower()
        self._followers.append(one)
        try:
            yield one
        finally:
            self._followers.remove(one)
            self._met.set()

    async def all_met(self) -> None:
        """Until everybody who follows has acted on what was added or healed last."""
        while any(one.met < self._changes for one in self._followers):
            self._met.clear()
            await self._met.wait()

    def occurring_to(
        self, follower: Follower, places: Iterable[Place], elapsed_s: float, *on: str
    ) -> list[Occurrences]:
        """As `occurring`, and what it has missed; for one who acts on it before it waits for the next `change`."""
        follower.looks_at = self._changes
        since_s, follower.looked_s = follower.looked_s, elapsed_s
        return [one for one in self._of(places, on) if one.at(elapsed_s) or one.was_missed(since_s, elapsed_s)]

    async def change(self, follower: Follower, places: Iterable[Place], elapsed_s: float, *on: str) -> None:
        """Until what is there on these names may be something else than it has looked at."""
        follower.met = follower.looks_at
        self._met.set()
        if follower.met < self._changes:
            return
        next_s = min((one.next_change_s(elapsed_s) for one in self._of(places, on)), default=FOREVER)
        with suppress(TimeoutError):
            async with asyncio.timeout(None if next_s == FOREVER else max(0.0, next_s - elapsed_s)):
                await self._changed.wait()

    def _of(self, places: Iterable[Place], on: Sequence[str]) -> Iterable[Occurrences]:
        wanted = frozenset(places)
        return (
            one
            for one in self._occurrences
            if wanted & one.fault.kind.places and (one.fault.on == EVERYTHING or one.fault.on in on)
        )

    def _add(self, fault: Fault) -> None:
        self._count += 1
        self._occurrences.append(Occurrences(fault, Random(f"{self._seed}/fault/{self._count}/{fault.name}")))

    def _tell(self) -> None:
        self._changes += 1
        self._changed.set()
        self._changed = asyncio.Event()
