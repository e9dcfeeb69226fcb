"""The whole driver contract: what a driver kind gives to the agent, the CLI and the simulators.

A kind is one `DriverSpec`: pure functions that decide everything that can be decided before polling, and
one async context manager that owns the port. At run time there are two calls: `Link.read`, and `Link.identify`.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from operator import add
from typing import Any, Protocol

import msgspec

from drivers.profile import Point, Profile
from drivers.tomlfile import Section

Value = bool | int | float | str


class Quality(StrEnum):
    """How far a value may be trusted; the codes of the MQTT contract, section quality (from OPC UA)."""

    GOOD = ""
    CALIBRATING = "cal"
    MAINTENANCE = "mnt"
    FAULT = "flt"
    NO_ANSWER = "com"
    CONFIGURATION = "cfg"
    WARMING_UP = "ini"
    SWITCHED_OFF = "dsc"
    STALE = "sta"
    OUT_OF_RANGE = "rng"
    UNCERTAIN = "unc"
    SUBSTITUTED = "sub"


class Reading(msgspec.Struct, frozen=True, gc=False):
    """One point's value at one time. A `None` value always carries a quality that is not good.

    `mono_ns` is the monotonic clock when the answer arrived at the wire, in nanoseconds.
    `status` is the instrument's raw status word as read, where it has one.
    """

    point: str
    value: Value | None
    mono_ns: int
    quality: Quality = Quality.GOOD
    status: str | None = None


class Identity(msgspec.Struct, frozen=True):
    """What a device says that it is, held against its profile.

    `told` is what it said of itself, "" where it says nothing. `mismatch` is why it does not look like its profile;
    "" where it does, and where nothing can be told.
    """

    told: str = ""
    mismatch: str = ""


class Picture(msgspec.Struct, frozen=True, gc=False):
    """A still picture, whole and checked; `mono_ns` is the monotonic clock when it was taken, in nanoseconds."""

    data: bytes
    mime: str
    width: int
    height: int
    mono_ns: int


class LinkStats(msgspec.Struct):
    """What happened on one link since it was opened; counts only go up.

    `late_bytes` came after their time and were thrown away; `busy_s` is time spent waiting for the wire.
    """

    requests: int = 0
    no_reply: int = 0
    bad_reply: int = 0
    refused: int = 0
    late_bytes: int = 0
    busy_s: float = 0.0

    def plus(self, other: "LinkStats") -> "LinkStats":
        """Both together: a link that was opened again goes on counting."""
        return LinkStats(*map(add, msgspec.structs.astuple(self), msgspec.structs.astuple(other)))


class Plan(Protocol):
    """What to ask a device, decided once. Opaque to everyone but its own driver."""

    @property
    def points(self) -> Sequence[Point]:
        """The points that one read of this plan yields."""


class LinkOptions(Protocol):
    """How to reach a link. Two links with the same `endpoint` would fight for one port."""

    @property
    def endpoint(self) -> str:
        """The port or address in words, for example `/dev/ttyUSB0` or `tcp://192.0.2.10:502`."""

    @property
    def timeout_s(self) -> float:
        """How long a reply may take to begin, in seconds."""


class Link(Protocol):
    """An open link. One caller at a time: an RS-485 bus has one wire."""

    @property
    def stats(self) -> LinkStats:
        """Counters of this link."""

    async def read(self, unit: int | None, plan: Any) -> list[Reading]:
        """Ask `unit` for everything in `plan` once.

        Returns readings, each point at most once, with quality `cfg` where the device refused one block. Never logs,
        never returns None.
        Raises `LinkDown`, `NoReply`, `BadReply` or `DeviceRefused` (all blocks refused); see `drivers.errors`.
        """

    async def identify(self, unit: int | None, profile: Any) -> Identity:
        """Ask `unit` what it is, where `profile` says how; a profile that says nothing asks nothing.

        Raises `LinkDown`, `NoReply` or `BadReply`.
        """


class PictureLink(Link, Protocol):
    """A link to cameras that give still pictures."""

    async def picture(self, unit: int | None, profile: Any) -> Picture:
        """One picture of the camera `unit`; raises `LinkDown`, `NoReply` or `BadReply`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverSpec:
    """One kind of driver. Everything here but `open_link` is pure; `oc-agent check` needs no hardware.

    * `profile_type`, `point_type`: what a profile file of this kind may say.
    * `check_profile(profile, section)`: report what single keys cannot show, through `section.problem`.
    * `parse_link(section)`: the keys of one `[[link]]`; None when problems were reported.
    * `check_device(options, profile, unit, section)`: is this unit possible on this link, for this model?
    * `compile_plan(profile, points)`: what to ask, for points that share one interval.
    * `probe_plan(profile)`: a read that tells whether the device looks like its profile, or None.
    * `bus_time_s(options, plan)`: how long one read keeps the wire busy, in seconds (forecast).
    * `decode(profile, request, response)`: what these bytes mean; raises `BadReply` or `DeviceRefused`.
    * `open_link(options)`: open the port; raises `LinkDown`. Whoever opens closes.
    * `gives_pictures(profile)`: is its link a `PictureLink` for this model?
    """

    kind: str
    profile_type: type[Profile]
    point_type: type[Point]
    check_profile: Callable[[Any, Section], None]
    parse_link: Callable[[Section], Any]
    check_device: Callable[[Any, Any, int | None, Section], None]
    compile_plan: Callable[[Any, Sequence[Any]], Any]
    probe_plan: Callable[[Any], Any]
    bus_time_s: Callable[[Any, Any], float]
    decode: Callable[[Any, bytes | None, bytes], Iterable[Reading]]
    open_link: Callable[[Any], AbstractAsyncContextManager[Link]]
    gives_pictures: Callable[[Any], bool] = lambda _profile: False
