"""What simulated devices measure: seeded waveforms. Pure: the same seed, names and time give the same value.

A waveform fits the quantity (its unit and name) and the hour of the day, stays within the plausible range and within
what the wire can carry, and moves from one second to the next; only rain stops. Counters only go up and never begin
anew, so that a lost or repeated reading shows.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import Protocol

from drivers.api import Value
from simulators.values.courses import Course, Mains, course, mains_of

Waveform = Callable[[float], Value]
"""From seconds since the start to a value in the point's unit."""

Limits = tuple[float, float]
UNLIMITED: Limits = (-math.inf, math.inf)

_BANDS: dict[str, Limits] = {
    "V": (218.0, 242.0),
    "A": (0.5, 12.0),
    "W": (100.0, 2_500.0),
    "kW": (0.1, 2.5),
    "VA": (120.0, 2_600.0),
    "V.A": (120.0, 2_600.0),
    "var": (10.0, 400.0),
    "Hz": (49.9, 50.1),
    "Cel": (16.0, 40.0),
    "%": (40.0, 85.0),
    "Pa": (99_900.0, 102_000.0),
    "hPa": (999.0, 1_020.0),
    "kPa": (99.9, 102.0),
    "ug/m3": (4.0, 80.0),
    "m/s": (0.3, 9.0),
    "deg": (0.0, 359.9),
    "m": (0.4, 3.5),
    "mm": (0.0, 20.0),
    "mm/h": (0.0, 60.0),
    "lx": (1.0, 60_000.0),
    "W/m2": (0.0, 950.0),
    "dB": (45.0, 75.0),
    "s": (900.0, 5_400.0),
    "[ppm]": (400.0, 900.0),
    "[pH]": (6.5, 8.5),
}
_NAMED_BANDS: tuple[tuple[str, str, Limits], ...] = (
    ("1", r"power_factor|^pf$", (0.82, 0.99)),
    ("1", r"hdop", (0.8, 1.9)),
    ("deg", r"latitude", (16.0600, 16.0602)),
    ("deg", r"longitude", (108.2200, 108.2202)),
    ("Cel", r"dew_?point", (14.0, 18.5)),
    ("Cel", r"_max$|hot", (42.0, 60.0)),
    ("Cel", r"_avg$|_mean$", (32.0, 38.0)),
    ("Cel", r"_min$|cold", (22.0, 29.0)),
    ("V", r"battery", (46.0, 55.0)),
    ("%", r"battery|charge", (35.0, 100.0)),
    ("ug/m3", r"^pm_?1(_|$)", (4.0, 12.0)),
    ("ug/m3", r"^pm_?2_?5", (14.0, 38.0)),
    ("ug/m3", r"^pm_?10", (42.0, 80.0)),
)
"""Unit, name, and what is usual there: where several points of a device must agree with one another."""
_ELSEWHERE: Limits = (0.0, 100.0)
_COUNTER = re.compile(r"^(energy|total)(_|$)|_(energy|total)$|energy")
_RATES: dict[str, Limits] = {"kW.h": (0.01, 0.05), "W.h": (5.0, 20.0)}
"""Units a second: far more than a real meter's, so that each reading differs from the one before."""
_ANY_RATE: Limits = (0.5, 2.0)
_MOST_ROOM = 1e9
"""Of a counter: with more, the steps of one second would be lost in the digits of a float."""
_OUTAGE = re.compile(r"on_?battery|input_bad")
_NO_OUTAGE = re.compile(r"on_?line")
_TRUE_AT_REST = re.compile(r"valid|ready|running|enabled|ok$|normal|high_efficiency")
_BOOL_FLIP_S = 5.0
_NOISES = 4_096


class Quantity(Protocol):
    """What a waveform must know of a point."""

    @property
    def name(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def range(self) -> Limits | None: ...
    @property
    def enum(self) -> dict[str, str]: ...
    @property
    def wire_type(self) -> str: ...


@dataclass(frozen=True)
class Flag:
    """A quantity that is true or false and nothing else."""

    name: str
    unit: str = "1"
    range: Limits | None = None
    enum: dict[str, str] = field(default_factory=dict)
    wire_type: str = "bool"


def waveform(seed: int, device: str, point: Quantity, capacity: Limits = UNLIMITED, start_s: float = 0.0) -> Waveform:
    """The waveform of one point of one device; `capacity` is what its place on the wire can carry, in its unit.

    `start_s` is the time of day at the start, in seconds: it is bright at noon.
    """
    random = Random(f"{seed}/{device}/{point.name}")
    mains = mains_of(seed, device)
    if point.enum:
        return _changing(random, sorted(point.enum.values()))
    if point.wire_type == "bool":
        return _flag(random, point.name, mains)
    if point.wire_type == "string":
        return _constant(_text(random, device, point.name))
    if is_counter(point):
        return _counter(random, point, _intersection(point.range or UNLIMITED, capacity) or (0.0, 100.0))
    return _wave(random, band(point, capacity), course(point.unit, point.name, random, start_s, mains))


def is_counter(point: Quantity) -> bool:
    """Whether the point only ever goes up: an energy or a total."""
    return bool(_COUNTER.search(point.name)) or point.unit.endswith(".h")


def band(point: Quantity, capacity: Limits = UNLIMITED) -> Limits:
    """Between which values a point moves: what is usual for it, within its range and `capacity`."""
    usual = _usual(point.unit, point.name)
    allowed = _intersection(point.range or UNLIMITED, capacity) or capacity
    both = _intersection(usual, allowed)
    if both is not None and both[1] - both[0] >= 0.2 * (usual[1] - usual[0]):
        return both
    low, high = (_finite(limit) for limit in allowed)
    return low + 0.3 * (high - low), low + 0.7 * (high - low)


@lru_cache(maxsize=1_024)
def _usual(unit: str, name: str) -> Limits:
    named = (limits for its_unit, names, limits in _NAMED_BANDS if its_unit == unit and re.search(names, name))
    return next(named, None) or _BANDS.get(unit, _ELSEWHERE)


def _wave(random: Random, limits: Limits, slowly: Course) -> Waveform:
    """A course, and on it a slow and a quick swing and noise; their weights add up to 1, so `limits` hold."""
    low, high = float(limits[0]), float(limits[1])
    slow, quick = math.tau / random.uniform(25, 70), math.tau / random.uniform(5, 12)
    slow_phase, quick_phase = random.uniform(0, math.tau), random.uniform(0, math.tau)
    salt, sin = random.randrange(_NOISES), math.sin
    begin_s = end_s = base = base_slope = ripple = ripple_slope = 0.0

    def at(elapsed_s: float) -> float:
        nonlocal begin_s, end_s, base, base_slope, ripple, ripple_slope
        if not begin_s <= elapsed_s < end_s:
            begin_s, end_s, base, base_slope, ripple, ripple_slope = _piece(slowly, elapsed_s, low, high)
        since_s = elapsed_s - begin_s
        value = (
            base
            + base_slope * since_s
            + (ripple + ripple_slope * since_s)
            * (
                0.55 * sin(slow * elapsed_s + slow_phase)
                + 0.3 * sin(quick * elapsed_s + quick_phase)
                + 0.15 * _NOISE[int(elapsed_s * 10) + salt & _NOISES - 1]
            )
        )
        return low if value < low else high if value > high else value

    return at


def _piece(
    slowly: Course, elapsed_s: float, low: float, high: float
) -> tuple[float, float, float, float, float, float]:
    """The straight piece of a course around this time: from, until, then base and ripple, each with its slope."""
    begin_s = elapsed_s // slowly.step_s * slowly.step_s
    end_s = begin_s + slowly.step_s
    span = high - low
    (base, ripple), (then, rippling) = slowly.at(begin_s), slowly.at(end_s)
    base_slope, ripple_slope = span * (then - base) / slowly.step_s, span * (rippling - ripple) / slowly.step_s
    return begin_s, end_s, low + span * base, base_slope, span * ripple, ripple_slope


def _counter(random: Random, point: Quantity, limits: Limits) -> Waveform:
    """Grows at a rate that changes and is never negative; it slows down as it fills, and never is full."""
    low = max(0.0, float(limits[0]))
    high = max(low, float(limits[1]))
    rate = random.uniform(*_RATES.get(point.unit, _ANY_RATE))
    start = low + min(high - low, 10_000.0) * random.uniform(0.01, 0.1)
    turn = math.tau / random.uniform(20, 60)
    room = max(1e-9, min(0.98 * (high - start), _MOST_ROOM))
    sin = math.sin

    def at(elapsed_s: float) -> float:
        grown = rate * (elapsed_s + 0.8 * sin(turn * elapsed_s) / turn)
        return start + room * (1.0 - 1.0 / (1.0 + grown / room))

    return at


def _flag(random: Random, name: str, mains: Mains) -> Waveform:
    """At rest but for 5 s in each minute or so; what tells of the mains is true or false with them."""
    if _OUTAGE.search(name):
        return mains.are_out
    if _NO_OUTAGE.search(name):
        return lambda elapsed_s: not mains.are_out(elapsed_s)
    at_rest = bool(_TRUE_AT_REST.search(name))
    period, phase = random.uniform(40, 90), random.uniform(0, 40)

    def at(elapsed_s: float) -> bool:
        return at_rest is not ((elapsed_s + phase) % period < _BOOL_FLIP_S)

    return at


def _changing(random: Random, names: list[str]) -> Waveform:
    period, salt = random.uniform(15, 40), random.getrandbits(32)

    def at(elapsed_s: float) -> str:
        return names[int((_hashed(int(elapsed_s / period), salt) + 1) / 2 * len(names)) % len(names)]

    return at


def _constant(value: Value) -> Waveform:
    return lambda _elapsed_s: value


def _text(random: Random, device: str, point: str) -> str:
    if "serial" in point:
        return f"S{random.randrange(10**9):09d}"
    if "firmware" in point or "version" in point:
        return f"{random.randrange(1, 10)}.{random.randrange(10)}"
    return f"SIM {device}".encode("ascii", "replace").decode()


def _hashed(step: int, salt: int) -> float:
    """A number from -1 to 1 that looks random and depends on nothing else (the finisher of MurmurHash3)."""
    mixed = (step * 0x9E3779B1 ^ salt) & 0xFFFFFFFF
    mixed = ((mixed ^ mixed >> 16) * 0x85EBCA6B) & 0xFFFFFFFF
    mixed = ((mixed ^ mixed >> 13) * 0xC2B2AE35) & 0xFFFFFFFF
    return (mixed ^ mixed >> 16) / 2**31 - 1.0


def _intersection(one: Limits, other: Limits) -> Limits | None:
    low, high = max(one[0], other[0]), min(one[1], other[1])
    return (low, high) if low < high else None


def _finite(limit: float) -> float:
    return max(-1e6, min(1e6, limit))


_NOISE = tuple(_hashed(step, 0) for step in range(_NOISES))
