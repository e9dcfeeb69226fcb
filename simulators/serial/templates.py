"""Captured frames with values that move. Pure.

A template is a captured frame in which each value is replaced by the waveform's and the checksum is made anew.
What is recorded as served is what the finished bytes mean, decoded as any reader would.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from drivers.api import DriverSpec, Quality, Reading, Value
from drivers.errors import DriverError
from drivers.serial.cutters import end_bytes
from drivers.serial.fields import patch
from drivers.serial.framing import Framer, on_the_wire
from drivers.serial.profile import SerialPoint, SerialProfile
from simulators.captures.reading import Exchange
from simulators.values import Carries, Channel
from simulators.world import World


@dataclass(frozen=True)
class Template:
    """One captured frame, what came right before it, what asks for it, and the points that may be changed in it."""

    request: bytes | None
    prefix: bytes
    frame: bytes
    fields: tuple[tuple[SerialPoint, Channel], ...]


class Understanding:
    """What bytes mean to a reader of this profile."""

    def __init__(self, spec: DriverSpec, profile: SerialProfile) -> None:
        self._spec = spec
        self._profile = profile

    def of(self, data: bytes, request: bytes | None = None) -> list[Reading]:
        """Nothing where it is refused: a template that went wrong is never sent as a value."""
        try:
            return list(self._spec.decode(self._profile, request, data))
        except DriverError:
            return []

    def good(self, data: bytes, request: bytes | None = None) -> set[str]:
        """The points that have a good value in it."""
        return good_points(self.of(data, request))

    def moved(self, template: Template, elapsed_s: float) -> bytes:
        """The frame with new values; one that the frame cannot say, or that spoils another, stays as it was.

        A value that somebody wants may be implausible.
        """
        frame = template.frame
        names = {point.name for point, channel in template.fields if not channel.told}
        for point, channel in template.fields:
            with suppress(ValueError):
                changed = patch(self._profile.frame, point, frame, channel.at(elapsed_s))
                if names <= self.good(on_the_wire(self._profile.frame, changed), template.request):
                    frame = changed
        return frame

    def carries(self, template: Template, point: SerialPoint) -> Carries:
        """What a reader gets for a value in this frame."""

        def read_as(value: Value) -> Value:
            before = self.good(on_the_wire(self._profile.frame, template.frame), template.request)
            frame = patch(self._profile.frame, point, template.frame, value)
            said = self.of(on_the_wire(self._profile.frame, frame), template.request)
            read = next((one.value for one in said if one.point == point.name), None)
            if read is None or before - {point.name} - good_points(said):
                raise ValueError("a frame that says this would be refused by its readers")
            return read

        return read_as


def good_points(readings: Iterable[Reading]) -> set[str]:
    """The names of those that have a good value."""
    return {r.point for r in readings if r.value is not None and r.quality is Quality.GOOD}


def templates(
    device: str, profile: SerialProfile, understanding: Understanding, exchanges: Sequence[Exchange], world: World
) -> Iterator[Template]:
    """The first frame for each set of points that no frame before it has; frames without empty fields go first."""
    found = [
        (frame, understanding.of(on_the_wire(profile.frame, frame.frame), frame.request))
        for frame in _frames(profile, exchanges)
    ]
    found.sort(key=lambda pair: len(pair[1]) - 2 * len(good_points(pair[1])))
    covered: set[str] = set()
    for template, readings in found:
        names = good_points(readings)
        if not covered.issuperset(names):
            covered |= names
            fields = tuple(
                (p, world.values.channel(device, p, world.waveform(device, p), understanding.carries(template, p)))
                for p in profile.point
                if p.name in names
            )
            yield replace(template, fields=fields)


def _frames(profile: SerialProfile, exchanges: Iterable[Exchange]) -> Iterator[Template]:
    end = end_bytes(profile.frame)
    for exchange in exchanges:
        if exchange.is_step:
            continue
        for frame in Framer(profile.frame).feed(exchange.response + end):
            at = exchange.response.find(on_the_wire(profile.frame, frame))
            prefix = exchange.response[:at] if exchange.request is not None and at > 0 else b""
            yield Template(exchange.request, prefix, frame, ())
