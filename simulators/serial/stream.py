"""The frames that a stream instrument sends: real frames of its capture, with values that move. Pure."""

from collections.abc import Iterator
from pathlib import Path

from drivers.api import DriverSpec, Reading
from drivers.serial.framing import on_the_wire
from drivers.serial.profile import SerialProfile
from simulators.captures.reading import captured
from simulators.endpoints import CannotServe
from simulators.serial.templates import Understanding, templates
from simulators.world import World


class Stream:
    """What one instrument sends each second."""

    def __init__(self, device: str, profile: SerialProfile, spec: DriverSpec, capture: Path, world: World) -> None:
        self._profile = profile
        self._understanding = Understanding(spec, profile)
        self._templates = tuple(templates(device, profile, self._understanding, captured(capture), world))
        if not self._templates:
            raise CannotServe(f'device "{device}": {capture} has no good frame to start from')

    def frames(self, elapsed_s: float) -> Iterator[tuple[bytes, list[Reading]]]:
        """The bytes of each frame of this second, and the readings that it means."""
        for template in self._templates:
            data = on_the_wire(self._profile.frame, self._understanding.moved(template, elapsed_s))
            yield data, self._understanding.of(data)
