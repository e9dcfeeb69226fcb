"""What was seen in one run: what devices served, what arrived, what the gateway did. Pure data, made by `gathering`.

Times end in `_ms` where they are wall clock, in `_s` where they count from the start of the gateway.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import msgspec

from drivers.api import Value
from simulators.scenario.timeline import Window
from simulators.world import Served

Stream = Literal["stdout", "stderr"]


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """One value at the other end. `time_ms` is the gateway's own; `live`: not sent late, where that can be told."""

    device: str
    point: str
    value: Value | None
    time_ms: int
    received_ms: int
    quality: str = ""
    live: bool = True

    @property
    def good(self) -> bool:
        return self.value is not None and not self.quality


class Event(msgspec.Struct, frozen=True):
    """An event of contract v1. `readings` are those that a `data.lost` declares lost; None where it cannot say."""

    name: str
    time_ms: int
    device: str = ""
    reason: str = ""
    readings: int | None = None


class Exit(msgspec.Struct, frozen=True):
    """The gateway has ended. `asked`: we had it end, by SIGTERM at the end or by a fault."""

    at_ms: int
    code: int
    asked: bool


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line that the gateway has written."""

    at_ms: int
    stream: Stream
    text: str


class Usage(msgspec.Struct, frozen=True, gc=False):
    """What the gateway needed at one time: memory in bytes (RSS), CPU seconds so far, open files."""

    at_ms: int
    rss_bytes: int
    cpu_s: float = 0.0
    files: int = 0


class Account(msgspec.Struct, frozen=True):
    """What a gateway says at its end, in readings, as one JSON line."""

    accepted: int
    delivered: int
    stored: int = 0
    lost: dict[str, int] = {}


class Failure(msgspec.Struct, frozen=True):
    """An answer that a fault has spoilt."""

    link: str
    device: str
    at_ms: int


class DeviceFacts(msgspec.Struct, frozen=True):
    """What the scenario says of a device. `points`: those that must arrive; `asked`: it does not send by itself.

    `intervals_s`: of points that have one of their own, which others read together with them do not follow.
    """

    name: str
    link: str
    points: frozenset[str]
    interval_s: float = 10.0
    asked: bool = True
    intervals_s: Mapping[str, float] = {}


@dataclass(kw_only=True)
class Evidence:
    """One run. `start_ms`, `stop_ms` (SIGTERM) and `end_ms` (it has ended) are the wall clock of the tester.

    `timed`: arrivals carry a time of the gateway. `shifts_ms`: by how much its clock was wrong at some time.
    `asked_ms`: when each device was asked, in order. `failures`: answers that a fault has spoilt.
    `bytes_in`: folder -> (time, bytes in it). `contract`: it arrived at the reference IOC.
    """

    start_ms: int
    stop_ms: int
    end_ms: int
    devices: Mapping[str, DeviceFacts] = field(default_factory=dict)
    served: Sequence[Served] = ()
    asked_ms: Mapping[str, Sequence[int]] = field(default_factory=dict)
    failures: Sequence[Failure] = ()
    arrivals: Sequence[Arrival] = ()
    windows: Sequence[Window] = ()
    events: Sequence[Event] = ()
    statuses: Sequence[tuple[int, bool]] = ()
    duplicates: int = 0
    changed: Sequence[str] = ()
    malformed: Mapping[str, int] = field(default_factory=dict)
    at_ioc: int = 0
    account: Account | None = None
    exits: Sequence[Exit] = ()
    output: Sequence[Line] = ()
    usage: Sequence[Usage] = ()
    bytes_in: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict)
    shifts_ms: Sequence[int] = (0,)
    timed: bool = True
    contract: bool = True
    tolerance: float = 1e-6
    done: Mapping[str, int] = field(default_factory=dict)

    def at_s(self, wall_ms: float) -> float:
        """Seconds since the start of the gateway."""
        return (wall_ms - self.start_ms) / 1_000

    def at_ms(self, seconds: float) -> int:
        """The wall clock so many seconds after the start of the gateway."""
        return self.start_ms + int(seconds * 1_000)

    @property
    def seconds(self) -> float:
        """How long the gateway ran before it was told to end."""
        return self.at_s(self.stop_ms)

    @cached_property
    def arrivals_of(self) -> dict[str, list[Arrival]]:
        """By device, in order of their time."""
        found: dict[str, list[Arrival]] = {}
        for one in sorted(self.arrivals, key=lambda one: one.time_ms):
            found.setdefault(one.device, []).append(one)
        return found

    def link_of(self, device: str) -> str:
        facts = self.devices.get(device)
        return facts.link if facts else ""

    def faults_on(self, device: str, *extra: str) -> list[Window]:
        """When something was wrong with a device, its link, or one of `extra`, in order."""
        names = {device, self.link_of(device), *extra}
        everywhere = device in self.devices
        found = [one for one in self.windows if one.fault.on in names or (everywhere and one.fault.on == "*")]
        return sorted(found, key=lambda one: one.begin_s)

    def faults_named(self, *names: str) -> list[Window]:
        return [one for one in self.windows if one.fault.name in names]


def json_account(line: Mapping[str, Any]) -> Account | None:
    """The account in a line of JSON, where it is one."""
    try:
        return msgspec.convert(line, Account)
    except msgspec.ValidationError:
        return None
