"""What goes wrong on one connection, byte by byte, and how it is drawn from a seed. Pure.

Promises: a fault begins after exactly `at_byte` bytes of its direction have gone on, never in between; no byte is
changed, doubled or moved: what goes on is what came, up to where a fault ends it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final, Literal, NamedTuple, get_args

FaultName = Literal["cut", "rst", "half_open", "refuse", "blackhole", "stall", "slow", "split"]
Direction = Literal["up", "down"]
"""`up`: from the client to the broker."""

NAMES: Final[tuple[FaultName, ...]] = get_args(FaultName)
ENDS: Final = frozenset({"cut", "rst", "half_open", "refuse", "blackhole"})
"""After these the connection is of no use any more; the others only disturb it."""
SLOW_CHUNK_BYTES: Final = 32
_FURTHEST: Final = {"up": 20_000, "down": 1_000}
"""A gateway sends more than it hears."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong after `at_byte` bytes of one direction.

    `cut`: both sides are closed (FIN). `rst`: both are reset. `half_open`: from here on this direction goes nowhere,
    and nobody is told, not even that the other side has gone. `refuse`: as `cut`, and the port is closed for `seconds`.
    `blackhole`: the connection was accepted, and nothing else ever happens. `stall`: this direction stands still for
    `seconds`. `slow`: the next `length` bytes go on at `bytes_per_s`. `split`: the next `length` go on one by one.
    """

    name: FaultName
    direction: Direction = "up"
    at_byte: int = 0
    seconds: float = 0.0
    length: int = 0
    bytes_per_s: float = 1_000.0

    def __str__(self) -> str:
        return f"{self.name} {self.direction} at {self.at_byte}"


class Step(NamedTuple):
    """Wait so long, then let `data` go on."""

    wait_s: float
    data: bytes


class Course:
    """One direction of one connection. `end` is the fault that has ended it."""

    def __init__(self, faults: Sequence[Fault], on_fault: Callable[[Fault], None]) -> None:
        self.end: Fault | None = None
        self._coming = sorted(faults, key=lambda fault: fault.at_byte)
        self._on_fault = on_fault
        self._passed = 0
        self._wait_s = 0.0
        self._fault: Fault | None = None
        self._until = 0

    def take(self, data: bytes = b"") -> Iterator[Step]:
        """How `data` goes on, step by step; what comes after an end is not in it."""
        while True:
            self._begin()
            if self.end or not data:
                return
            size, wait_s = self._next(len(data))
            yield Step(wait_s, data[:size])
            self._passed += size
            data = data[size:]

    def meet(self, fault: Fault) -> None:
        """This one begins now, whatever its `at_byte`."""
        self._coming.insert(0, replace(fault, at_byte=self._passed))
        self._begin()

    def heal(self) -> None:
        """Nothing else goes wrong. What has ended stays ended."""
        self._coming.clear()
        self._fault, self._wait_s = None, 0.0

    def _begin(self) -> None:
        while self._coming and self._coming[0].at_byte <= self._passed and not self.end:
            fault = self._coming.pop(0)
            self._on_fault(fault)
            if fault.name in ENDS:
                self.end = fault
            elif fault.name == "stall":
                self._wait_s += fault.seconds
            else:
                self._fault, self._until = fault, self._passed + fault.length

    def _next(self, size: int) -> tuple[int, float]:
        """How many of the next `size` bytes go on in one step, after how many seconds."""
        wait_s, self._wait_s = self._wait_s, 0.0
        if self._coming:
            size = min(size, self._coming[0].at_byte - self._passed)
        if self._fault and self._passed < self._until:
            size = min(size, self._until - self._passed)
            if self._fault.name == "split":
                size = 1
            else:
                size = min(size, SLOW_CHUNK_BYTES)
                wait_s += size / self._fault.bytes_per_s
        return size, wait_s


def drawn(seed: int, names: Sequence[FaultName] = NAMES, *, max_s: float = 1.0) -> Iterator[tuple[Fault, ...]]:
    """For ever the faults of one connection after another: one that ends it, before that sometimes one that disturbs.

    A name that stands in `names` twice is drawn twice as often. No fault waits longer than `max_s` seconds.
    Of two bytes one is anywhere, the other is drawn so that the first ones, CONNECT and CONNACK, are met as often as
    the thousands after them.
    """
    random = Random(seed)
    ending = [name for name in names if name in ENDS]
    disturbing = [name for name in names if name not in ENDS]
    while True:
        faults = [_drawn(random, ending, max_s)] if ending else []
        if disturbing and (not ending or random.random() < 0.4):
            faults.append(_drawn(random, disturbing, max_s))
        yield tuple(faults)


def _drawn(random: Random, names: Sequence[FaultName], max_s: float) -> Fault:
    direction: Direction = random.choice(("up", "down"))
    furthest, share = _FURTHEST[direction], random.random()
    return Fault(
        name=random.choice(names),
        direction=direction,
        at_byte=int(random.choice((furthest * share, furthest**share))),
        seconds=random.uniform(0.05, max_s),
        length=random.randrange(1, 2_000),
        bytes_per_s=random.uniform(500, 20_000),
    )
