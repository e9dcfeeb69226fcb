"""What goes wrong on a serial line, drawn from a seed. Pure.

Each message meets at most one fault: a byte is lost, a byte comes twice, or the message is late, whole or in two parts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Literal, get_args

from simulators.shares import parse_rates

FaultName = Literal["lost", "doubled", "late", "unplug"]
NAMES = get_args(FaultName)
MAX_LATE_S = 2.5


@dataclass(frozen=True)
class Faults:
    """How often: `lost`, `doubled`, `late` as a share of the messages; `unplug` in seconds between two, on average."""

    rates: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "Faults":
        """From `lost=0.02,late=0.01,unplug=60`; raises `ValueError` with what to write."""
        return cls(parse_rates(text, NAMES, "lost=0.02"))

    def of_a_message(self, data: bytes, random: Random) -> list[tuple[float, bytes]]:
        """The parts of a message that are sent, each after a wait in seconds."""
        if not data:
            return []
        place = random.randrange(len(data))
        draw = random.random()
        for name in ("lost", "doubled", "late"):
            rate = self.rates.get(name, 0.0)
            if draw < rate:
                return _faulty(name, data, place, random)
            draw -= rate
        return [(0.0, data)]

    def until_unplugged_s(self, random: Random) -> float | None:
        """How long until the cable is pulled; None: never."""
        mean_s = self.rates.get("unplug", 0.0)
        return random.expovariate(1 / mean_s) if mean_s else None


def _faulty(name: str, data: bytes, place: int, random: Random) -> list[tuple[float, bytes]]:
    if name == "lost":
        return [(0.0, data[:place] + data[place + 1 :])]
    if name == "doubled":
        return [(0.0, data[: place + 1] + data[place:])]
    return [(0.0, data[:place]), (random.uniform(0.01, MAX_LATE_S), data[place:])]
