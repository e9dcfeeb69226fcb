"""What all simulated devices of one run share: the seed, the time, and the record of what was served."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self

import msgspec

from drivers.api import Value
from simulators.faults.schedule import Schedule
from simulators.faults.scripts import Script
from simulators.values import UNLIMITED, Limits, Quantity, Values, Waveform, waveform


class Served(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One value that a device gave in an answer or a frame; `time_ms` is the wall clock when it was given.

    `fault` names what has spoilt the answer, with commas: no reader can be asked to have this value.
    """

    device: str
    point: str
    value: Value
    time_ms: int
    fault: str = ""


class Exchange(NamedTuple):
    """A device was asked (`request` empty: it spoke by itself); `faults` names those that its answer has met."""

    device: str
    link: str
    request: bytes
    faults: tuple[str, ...]
    time_ms: int


Record = Callable[[Iterable[Served]], None]
Watch = Callable[[Exchange], None]


def forget(_served: Iterable[Served]) -> None:
    """The record of a run that nobody will check."""


def overlook(_exchange: Exchange) -> None:
    """Watch nothing."""


@dataclass(frozen=True)
class World:
    """One run: `elapsed_s` and `wall_ms` are its clocks, `record` takes every value that leaves a device.

    `watch` is told of every answer. `faults` is what goes wrong in it, and when; `scripts` say of some devices what
    they answer, by name. `values` is what its devices give; their days follow `start_s`, the local time of day at the
    start in seconds (None: as `wall_ms` says).
    """

    seed: int = 0
    elapsed_s: Callable[[], float] = field(default_factory=lambda: _since(time.monotonic()))
    wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    record: Record = forget
    watch: Watch = overlook
    faults: Schedule = field(default_factory=Schedule)
    scripts: dict[str, Script] = field(default_factory=dict)
    values: Values = field(default_factory=Values)
    start_s: float | None = None

    def waveform(self, device: str, point: Quantity, capacity: Limits = UNLIMITED) -> Waveform:
        """What a point does where nobody says otherwise; `capacity` is what its place on the wire can carry."""
        start_s = time_of_day_s(self.wall_ms()) - self.elapsed_s() if self.start_s is None else self.start_s
        return waveform(self.seed, device, point, capacity, start_s)

    def device_s(self, *on: str) -> float:
        """The time that a device's values follow, in seconds: it stands still while a fault has frozen them."""
        now_s = self.elapsed_s()
        frozen = self.faults.occurring(("device",), now_s, *on) if self.faults else ()
        return min((one.begin_s for one in frozen if one.fault.name == "frozen"), default=now_s)

    def has(self, name: str, *on: str) -> bool:
        """Whether a device or a line on one of these names has this fault now."""
        return bool(self.faults) and any(
            one.name == name for one in self.faults.active(("device", "line"), self.elapsed_s(), *on)
        )


def time_of_day_s(wall_ms: int) -> float:
    """Seconds since midnight here."""
    here = time.localtime(wall_ms / 1_000)
    return here.tm_hour * 3_600 + here.tm_min * 60 + here.tm_sec + wall_ms % 1_000 / 1_000


class TruthFile:
    """Appends each served value as one JSON line. Call `flush` twice a second; at most 20,000 lines wait."""

    MAX_WAITING = 20_000

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: list[bytes] = []
        self._file: IO[bytes] | None = None
        self._encoder = msgspec.json.Encoder()

    def __enter__(self) -> Self:
        self._file = self.path.open("ab")
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None) -> None:
        self.flush()
        if self._file is not None:
            self._file.close()

    def record(self, served: Iterable[Served]) -> None:
        self._lines.extend(map(self._encoder.encode, served))
        if len(self._lines) > self.MAX_WAITING:
            self.flush()

    def flush(self) -> None:
        if self._lines and self._file is not None:
            self._file.write(b"\n".join(self._lines) + b"\n")
            self._file.flush()
            self._lines.clear()


def _since(start_s: float) -> Callable[[], float]:
    return lambda: time.monotonic() - start_s
