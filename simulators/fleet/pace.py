"""How fast, how often, how long: a bucket of readings, waits that grow, and outages drawn from a seed. Pure."""

from dataclasses import dataclass
from random import Random

MAX_UNREACHABLE_S = 10.0
MAX_REFUSED_S = 60.0
TAKEN_OVER = 0x8E
SHUTTING_DOWN = frozenset((0x8B, 0x98))


class Bucket:
    """So many readings a second, and those of one second at once."""

    def __init__(self, per_s: float, now_s: float) -> None:
        self.per_s = per_s
        self._tokens = per_s
        self._since_s = now_s

    def allows(self, now_s: float) -> bool:
        """Whether something may be taken; it may then be larger than what is there."""
        self._tokens = min(self.per_s, self._tokens + (now_s - self._since_s) * self.per_s)
        self._since_s = now_s
        return self._tokens > 0

    def take(self, readings: int) -> None:
        """So many are gone; a message without readings counts as one."""
        self._tokens -= max(1, readings)


class Reconnecting:
    """How long a gateway waits before it tries the broker again: longer each time, drawn between half and whole."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._failures = 0

    def succeeded(self) -> None:
        self._failures = 0

    def wait_s(self, code: int | None) -> float:
        """After a connection that failed or ended; `code` is the broker's, where it gave one."""
        if code == TAKEN_OVER:
            return MAX_REFUSED_S
        if code in SHUTTING_DOWN:
            code = None
        longest_s = MAX_UNREACHABLE_S if code is None else MAX_REFUSED_S
        wait_s = min(longest_s, 2.0 ** min(self._failures, 10))
        self._failures += 1
        return wait_s * self._random.uniform(0.5, 1.0)


@dataclass(frozen=True)
class Outages:
    """`every_s`: seconds between two outages of a gateway on average; `for_s`: how long one takes on average."""

    every_s: float
    for_s: float

    @classmethod
    def parse(cls, text: str) -> "Outages":
        """From `600,30`; raises `ValueError` with what to write."""
        numbers = text.split(",")
        try:
            every_s, for_s = (float(number) for number in numbers)
        except ValueError as err:
            raise ValueError(f'"{text}" is no outage: write EVERY,FOR in seconds, like 600,30') from err
        if every_s <= 0 or for_s <= 0:
            raise ValueError(f'"{text}": both numbers of an outage are above 0')
        return cls(every_s, for_s)

    def until_next_s(self, random: Random) -> float:
        """How long until the next one."""
        return random.expovariate(1 / self.every_s)

    def length_s(self, random: Random) -> float:
        """How long this one takes: between half and one and a half of the mean."""
        return self.for_s * random.uniform(0.5, 1.5)
