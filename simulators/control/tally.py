"""What the devices of a run were asked, what their answers met, and what they served last. Pure."""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from simulators.world import Exchange, Served

KEPT: Final = 10_000
"""Of the served values, the newest: older ones are forgotten, and said to be."""


@dataclass
class Count:
    """Of one device: how often it was asked, how often it spoke by itself, and the faults that this met."""

    requests: int = 0
    unasked: int = 0
    faults: Counter[str] = field(default_factory=Counter)


class Tally:
    """Takes what a `World` tells; counts only go up."""

    def __init__(self) -> None:
        self._counts: dict[str, Count] = {}
        self._served: deque[Served] = deque(maxlen=KEPT)
        self._total = 0

    def watch(self, exchange: Exchange) -> None:
        count = self._counts.setdefault(exchange.device, Count())
        if exchange.request:
            count.requests += 1
        else:
            count.unasked += 1
        count.faults.update(exchange.faults)

    def record(self, served: Iterable[Served]) -> None:
        before = list(served)
        self._served.extend(before)
        self._total += len(before)

    def of(self, device: str) -> Count:
        return self._counts.get(device, Count())

    def served(self, since: int, most: int) -> tuple[Sequence[Served], int, int]:
        """Values from number `since` (0: the first of the run) on, at most so many.

        Also the number to ask for next, and how many from `since` on are forgotten.
        """
        oldest = self._total - len(self._served)
        begin = min(max(since, oldest), self._total)
        values = [self._served[number - oldest] for number in range(begin, min(begin + most, self._total))]
        return values, begin + len(values), max(0, oldest - since)
