"""What each point of each device gives now: what was set, else what a script says, else its waveform.

Promises: a value that a point cannot carry never gets here, it is refused with the reason; nothing costs more than a
look at an attribute while nothing is set. Must not know: protocols. A device says itself what its points can carry.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Final, Literal

from drivers.api import Value
from simulators.likeness import like
from simulators.values.waveforms import Quantity, Waveform

Carries = Callable[[Value], Value]
"""What a reader gets for a value; raises `ValueError` where the point cannot carry it, saying why and what it can."""

Origin = Literal["set", "script", "waveform"]

_TRUE: Final = ("true", "on", "yes", "1")
_FALSE: Final = ("false", "off", "no", "0")


class BadValue(ValueError):
    """There is no such device or point, or it cannot give this value; the message says what to write."""


class Channel:
    """One point of one device. Call it, or its `at`, for the value at a time in seconds since the start."""

    __slots__ = ("_carries", "_given", "_script", "_wave", "at", "device", "point")

    def __init__(self, device: str, point: Quantity, wave: Waveform) -> None:
        self.device = device
        self.point = point
        self.at: Waveform = wave
        self._wave = wave
        self._script: Waveform | None = None
        self._given: Value | None = None
        self._carries: list[Carries] = []

    def __call__(self, elapsed_s: float) -> Value:
        return self.at(elapsed_s)

    @property
    def origin(self) -> Origin:
        """Who says what it gives."""
        return "set" if self._given is not None else "script" if self._script else "waveform"

    @property
    def told(self) -> bool:
        """Whether somebody wants this very value, also one that a reader takes for implausible."""
        return self.at is not self._wave

    def understand(self, value: Value) -> Value:
        """The value of this point that a person means; raises `BadValue` where it cannot be or cannot be carried."""
        try:
            meant = _meant(self.point, value)
            self.read_as(meant)
        except ValueError as err:
            raise BadValue(f"{self.device}.{self.point.name} cannot give {value!r}: {err}") from err
        return meant

    def read_as(self, value: Value) -> Value:
        """What a reader gets for it, rounded as the wire does; raises `ValueError` where it cannot be carried."""
        read = value
        for carries in self._carries:
            read = carries(value)
        return read

    def set(self, value: Value) -> Value:
        """Give this from now on; returns what a reader gets. Raises `BadValue`, and goes on as before."""
        given = self.understand(value)
        self._given = given
        self._choose()
        return self.read_as(given)

    def release(self) -> bool:
        """Give what the script says, or the waveform; False where nothing was set."""
        was_set, self._given = self._given is not None, None
        self._choose()
        return was_set

    def follow(self, script: Waveform) -> None:
        """From now on this instead of its waveform; every value must have been understood."""
        self._script = script
        self._choose()

    def carried_by(self, carries: Carries) -> None:
        """One more place on the wire that must carry its values."""
        self._carries.append(carries)

    def _choose(self) -> None:
        given = self._given
        self.at = self._script or self._wave if given is None else lambda _elapsed_s: given


class Values:
    """The channels of all devices of one run. Simulators ask for them, testers set them."""

    def __init__(self) -> None:
        self._channels: dict[str, dict[str, Channel]] = {}

    def channel(self, device: str, point: Quantity, wave: Waveform, carries: Carries) -> Channel:
        """The channel of a point that does `wave` where nobody says otherwise.

        A point that stands in several places has one channel, and gives only what all of them carry. Another point of
        this name takes its place.
        """
        channels = self._channels.setdefault(device, {})
        found = channels.get(point.name)
        if found is None or (found.point is not point and found.point != point):
            found = channels[point.name] = Channel(device, point, wave)
        found.carried_by(carries)
        return found

    def set(self, device: str, point: str, value: Value) -> Value:
        """Let a point give `value` until it is released; returns what a reader gets.

        Raises `BadValue`, and nothing has changed.
        """
        return self.find(device, point).set(value)

    def release(self, device: str = "*", point: str = "*") -> int:
        """Forget what was set, of one point, of a device, or of all; gives how many. Raises `BadValue`."""
        if device == "*":
            found = list(self)
        elif point == "*":
            found = list(self._of(device).values())
        else:
            found = [self.find(device, point)]
        return sum(channel.release() for channel in found)

    def find(self, device: str, point: str) -> Channel:
        """Raises `BadValue`, with those that have a name like it."""
        channels = self._of(device)
        if point not in channels:
            raise BadValue(f'device "{device}" has no point "{point}": {like(point, channels)}')
        return channels[point]

    def of(self, device: str) -> Mapping[str, Channel]:
        """The points of a device by name; none where it has none that can be set."""
        return self._channels.get(device, {})

    def __iter__(self) -> Iterator[Channel]:
        for channels in self._channels.values():
            yield from channels.values()

    def _of(self, device: str) -> Mapping[str, Channel]:
        if device not in self._channels:
            raise BadValue(f'there is no device "{device}" with points to set: {like(device, self._channels)}')
        return self._channels[device]


def _meant(point: Quantity, value: Value) -> Value:
    """A number, a name or a text, as the point has it; people also write numbers and yes or no as text."""
    if point.enum:
        return _name(point, value)
    if point.wire_type == "bool":
        return _truth(value)
    if point.wire_type == "string":
        if not isinstance(value, str):
            raise ValueError("it is a text: write it in quotes")
        return value
    return _number(value)


def _name(point: Quantity, value: Value) -> str:
    names = set(point.enum.values())
    name = str(value) if str(value) in names else point.enum.get(str(value), "")
    if name not in names:
        raise ValueError(like(str(value), names))
    return name


def _truth(value: Value) -> bool:
    said = str(value).strip().lower()
    if said not in (*_TRUE, *_FALSE):
        raise ValueError("write true or false")
    return said in _TRUE


def _number(value: Value) -> int | float:
    number = _parsed(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not math.isfinite(number):
        raise ValueError("write a number, like 231.5")
    return number


def _parsed(text: str) -> float:
    with suppress(ValueError):
        return int(text)
    with suppress(ValueError):
        return float(text)
    return math.nan
