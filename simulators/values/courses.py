"""What a quantity does over minutes and hours: days, tides, showers, mains that fail. Pure.

A course says at which `Level` of its band a quantity is, and how far it ripples around that. It is looked at every
`step_s` seconds, between two looks it is a straight line: what moves within seconds is the waveform's business.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Final

Level = tuple[float, float]
"""Where in its band, from 0 to 1, and how far up and down from there; the sum and the difference are in 0 to 1 too."""

At = Callable[[float], Level]
"""From seconds since the start to a level."""

DAY_S: Final = 86_400.0
_HOUR_S: Final = 3_600.0
_MOON_S: Final = 12.4206 * _HOUR_S
_SUN_S: Final = 12.0 * _HOUR_S
"""The two greatest parts of a tide, M2 and S2."""

Hours = tuple[float, ...]
"""From 0 to 1 at each full hour of the day, 24 of them."""

# fmt: off
WARMTH: Final[Hours] = (
    0.25, 0.20, 0.15, 0.10, 0.05, 0.00, 0.08, 0.22, 0.40, 0.58, 0.74, 0.87,
    0.95, 1.00, 1.00, 0.95, 0.87, 0.75, 0.62, 0.52, 0.45, 0.40, 0.35, 0.30)
LIGHT: Final[Hours] = (
    0.00, 0.00, 0.00, 0.00, 0.00, 0.00, 0.03, 0.26, 0.50, 0.71, 0.87, 0.97,
    1.00, 0.97, 0.87, 0.71, 0.50, 0.26, 0.03, 0.00, 0.00, 0.00, 0.00, 0.00)
POWER: Final[Hours] = (
    0.22, 0.16, 0.12, 0.10, 0.12, 0.20, 0.42, 0.62, 0.68, 0.64, 0.60, 0.60,
    0.64, 0.60, 0.58, 0.60, 0.68, 0.80, 0.94, 1.00, 0.95, 0.80, 0.55, 0.34)
TRAFFIC: Final[Hours] = (
    0.12, 0.06, 0.02, 0.02, 0.08, 0.28, 0.72, 1.00, 0.86, 0.66, 0.60, 0.66,
    0.70, 0.64, 0.60, 0.66, 0.86, 1.00, 0.90, 0.66, 0.50, 0.40, 0.30, 0.20)
PRESENCE: Final[Hours] = (
    0.10, 0.08, 0.06, 0.05, 0.04, 0.04, 0.08, 0.28, 0.60, 0.80, 0.90, 0.95,
    0.80, 0.85, 0.95, 1.00, 0.95, 0.78, 0.54, 0.40, 0.30, 0.24, 0.18, 0.14)
BREEZE: Final[Hours] = (
    0.20, 0.16, 0.12, 0.10, 0.08, 0.06, 0.08, 0.14, 0.26, 0.42, 0.58, 0.74,
    0.88, 0.96, 1.00, 0.98, 0.90, 0.76, 0.60, 0.46, 0.38, 0.32, 0.28, 0.24)
# fmt: on


@dataclass(frozen=True)
class Course:
    """What one quantity does, and every how many seconds it must be looked at."""

    at: At
    step_s: float = 300.0


@dataclass(frozen=True)
class Mains:
    """When a device has mains: short outages, the first within some minutes. All points of the device agree."""

    first_s: float
    out_s: float
    period_s: float

    def are_out(self, elapsed_s: float) -> bool:
        since_s = elapsed_s - self.first_s
        return since_s >= 0 and since_s % self.period_s < self.out_s

    def charge(self, elapsed_s: float) -> float:
        """Of a battery: it falls from 1 to 0 in an outage, and is full again before the next one."""
        since_s = (elapsed_s - self.first_s) % self.period_s if elapsed_s >= self.first_s else self.period_s
        if since_s < self.out_s:
            return 1.0 - since_s / self.out_s
        return min(1.0, 1.4 * (since_s - self.out_s) / (self.period_s - self.out_s))


@lru_cache(maxsize=16)
def mains_of(seed: int, device: str) -> Mains:
    """Those of a device; its points are made one after another, so a few are kept."""
    random = Random(f"{seed}/{device}/mains")
    return Mains(random.uniform(60, 200), random.uniform(60, 90), random.uniform(400, 900))


def course(unit: str, name: str, random: Random, start_s: float, mains: Mains) -> Course:
    """The course that fits a unit and a name; `start_s` is the time of day at the start, in seconds."""
    return _maker(unit, name)(random, start_s, mains)


_Make = Callable[[Random, float, Mains], Course]


@lru_cache(maxsize=1_024)
def _maker(unit: str, name: str) -> _Make:
    return next((make for units, names, make in _COURSES if unit in units and re.search(names, name)), _any)


def _any(_random: Random, _start_s: float, _mains: Mains) -> Course:
    return Course(lambda _elapsed_s: (0.5, 0.5))


def _day(hours: Hours, low: float, high: float, ripple: float, *, ripples_with_it: bool = False) -> _Make:
    """From `low` at the hours that have 0 to `high` at those that have 1."""

    def make(_random: Random, start_s: float, _mains: Mains) -> Course:
        def at(elapsed_s: float) -> Level:
            hour = (start_s + elapsed_s) % DAY_S / _HOUR_S
            before = int(hour)
            part = hours[before % 24] + (hours[(before + 1) % 24] - hours[before % 24]) * (hour - before)
            return low + (high - low) * part, ripple * (part if ripples_with_it else 1.0)

        return Course(at)

    return make


def _light(random: Random, start_s: float, mains: Mains) -> Course:
    """Sun with clouds by day; next to nothing at night, and even that moves."""
    by_day = _day(LIGHT, 0.0, 0.7, 0.3, ripples_with_it=True)(random, start_s, mains).at

    def at(elapsed_s: float) -> Level:
        level, ripple = by_day(elapsed_s)
        return max(0.000_5, level), max(0.000_5, ripple)

    return Course(at)


def _steady(_random: Random, _start_s: float, _mains: Mains) -> Course:
    return Course(lambda _elapsed_s: (0.5, 0.45))


def _air(_random: Random, start_s: float, _mains: Mains) -> Course:
    """The tide of the air: highest at 10 and at 22 o'clock."""
    return Course(lambda elapsed_s: (0.5 + 0.3 * math.cos(math.tau * (start_s + elapsed_s - 36_000) / _SUN_S), 0.15))


def _water(random: Random, start_s: float, _mains: Mains) -> Course:
    """A semidiurnal tide with springs and neaps, and waves on it."""
    moon, sun = random.uniform(0, math.tau), random.uniform(0, math.tau)

    def at(elapsed_s: float) -> Level:
        time_s = start_s + elapsed_s
        tide = 0.75 * math.sin(math.tau * time_s / _MOON_S + moon) + 0.25 * math.sin(math.tau * time_s / _SUN_S + sun)
        return 0.5 + 0.42 * tide, 0.06

    return Course(at)


def _showers(random: Random, _start_s: float, _mains: Mains) -> Course:
    """Some minutes of rain, then it is dry for longer than that."""
    wet_s = random.uniform(120, 300)
    period_s = wet_s + random.uniform(300, 900)
    phase_s = random.uniform(0, period_s)

    def at(elapsed_s: float) -> Level:
        since_s = (elapsed_s + phase_s) % period_s
        strength = math.sin(math.pi * since_s / wet_s) if since_s < wet_s else 0.0
        return 0.6 * strength, 0.4 * strength

    return Course(at, step_s=20.0)


def _battery(_random: Random, _start_s: float, mains: Mains) -> Course:
    return Course(lambda elapsed_s: (0.02 + 0.96 * mains.charge(elapsed_s), 0.02), step_s=5.0)


_LENGTHS = ("m", "cm", "mm")
_POWERS = ("A", "W", "kW", "VA", "V.A", "kV.A", "var", "kvar")
_COURSES: tuple[tuple[tuple[str, ...], str, _Make], ...] = (
    (("%", "V", "s"), r"battery|charge|^runtime", _battery),
    (("Cel",), r"", _day(WARMTH, 0.26, 0.74, 0.26)),
    (("%",), r"humidity|moisture", _day(WARMTH, 0.85, 0.15, 0.15)),
    (("%",), r"load", _day(POWER, 0.2, 0.8, 0.2)),
    (("lx", "klx", "W/m2"), r"", _light),
    (_POWERS, r"", _day(POWER, 0.2, 0.8, 0.2)),
    (("V",), r"", _day(POWER, 0.65, 0.4, 0.35)),
    (("Hz",), r"", _steady),
    (("Pa", "hPa", "kPa", "mbar"), r"", _air),
    (("[ppm]",), r"", _day(PRESENCE, 0.1, 0.85, 0.1)),
    (("ug/m3", "dB", "dB(A)"), r"", _day(TRAFFIC, 0.25, 0.75, 0.25)),
    (("1", "/h", "/min"), r"vehicle|traffic|people|cars|occupancy", _day(TRAFFIC, 0.2, 0.8, 0.2)),
    (("m/s",), r"", _day(BREEZE, 0.3, 0.65, 0.3)),
    (("mm", "mm/h", "/h"), r"^rain$|rain_(intensity|rate)|precipitation", _showers),
    (_LENGTHS, r"level|depth|tide|water|distance", _water),
)
"""Unit, name, and what such a quantity does; the first that fits."""
