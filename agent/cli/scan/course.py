"""The course of a scan over a serial bus: settings and units in their order, and how long it takes. Pure.

What is likely goes first. Promises: unit 0 is never in it; nothing is asked twice at one setting by one function.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

Parity = Literal["N", "E", "O"]
StopBits = Literal[1, 2]
RegisterTable = Literal["holding", "input"]
BAUDS = (9600, 19200, 4800, 2400, 38400, 115200)
PARITIES: tuple[Parity, ...] = ("N", "E")
_LIKELY: tuple[tuple[int, Parity], ...] = (
    (9600, "N"), (19200, "E"), (4800, "N"), (2400, "N"), (19200, "N"), (9600, "E"), (115200, "N"), (38400, "N"),
)  # fmt: skip
"""Factory settings of the devices that we know, the commonest first; 19200 8E1 is that of the specification."""
LIKELY_UNITS = range(1, 33)
ALL_UNITS = tuple(range(1, 248))
TIMEOUT_S = 0.2
"""A reply must have begun by then: most devices need 5 to 100 ms."""
_REQUEST_BYTES = 8
_OVERHEAD_S = 0.01


class LineSetting(msgspec.Struct, frozen=True, order=True):
    """How the characters on a line are made; always 8 data bits."""

    baud: int
    parity: Parity
    stop_bits: StopBits = 1

    def __str__(self) -> str:
        return f"{self.baud} 8{self.parity}{self.stop_bits}"

    @property
    def char_s(self) -> float:
        """One character on the wire, in seconds."""
        return (9 + (self.parity != "N") + self.stop_bits) / self.baud


QUICK = (LineSetting(9600, "N"), LineSetting(19200, "E"))


@dataclass(frozen=True, slots=True)
class Leg:
    """Units that are asked one after the other at one setting for the first register of `table`."""

    setting: LineSetting
    table: RegisterTable
    units: tuple[int, ...]

    def takes_s(self, timeout_s: float) -> float:
        """How long it takes where nobody answers, in seconds."""
        one = timeout_s + _REQUEST_BYTES * self.setting.char_s + max(3.5 * 11 / self.setting.baud, 0.00175)
        return len(self.units) * (one + _OVERHEAD_S)


def in_likely_order(bauds: Sequence[int], parities: Sequence[Parity], stop_bits: StopBits) -> list[LineSetting]:
    """Every combination, what is likely first, the others in the order in which they were named."""
    pairs = [(baud, parity) for baud in dict.fromkeys(bauds) for parity in dict.fromkeys(parities)]
    rank = {pair: number for number, pair in enumerate(_LIKELY)}
    return [LineSetting(*pair, stop_bits) for pair in sorted(pairs, key=lambda pair: rank.get(pair, len(rank)))]


def first_round(settings: Iterable[LineSetting], units: Sequence[int]) -> list[Leg]:
    """The likely units at each setting; all of them where none is likely."""
    likely = tuple(unit for unit in units if unit in LIKELY_UNITS) or tuple(units)
    return [Leg(setting, "holding", likely) for setting in settings]


def second_round(
    settings: Iterable[LineSetting], units: Sequence[int], found: Collection[tuple[LineSetting, int]]
) -> list[Leg]:
    """The other units, and the likely ones that were silent by another function: some devices know only one.

    A bus has one setting: where devices were `found`, only their settings are gone on with.
    """
    good = {setting for setting, _ in found}
    legs: list[Leg] = []
    for setting in (one for one in settings if not good or one in good):
        asked = first_round([setting], units)[0].units
        silent = tuple(unit for unit in asked if (setting, unit) not in found)
        rest = tuple(unit for unit in units if unit not in asked)
        legs += [Leg(setting, "input", silent), Leg(setting, "holding", rest)]
    return [leg for leg in legs if leg.units]


def longest_s(settings: Sequence[LineSetting], units: Sequence[int], timeout_s: float, listen_s: float) -> float:
    """How long it takes where nothing answers at all, in seconds."""
    legs = [*first_round(settings, units), *second_round(settings, units, ())]
    bauds = len({setting.baud for setting in settings})
    return sum(leg.takes_s(timeout_s) for leg in legs) + bauds * listen_s


def unit_list(text: str) -> tuple[int, ...]:
    """`1-32,40` as units in this order; raises `ValueError` for what is no unit of a bus."""
    return tuple(dict.fromkeys(unit for part in text.split(",") for unit in _units(part.strip())))


def _units(part: str) -> Iterator[int]:
    first, dash, last = part.partition("-")
    numbers = range(int(first), int(last if dash else first) + 1)
    if not numbers or numbers[0] < 1 or numbers[-1] > 247:
        raise ValueError(f"{part}: a unit is 1 to 247")
    yield from numbers
