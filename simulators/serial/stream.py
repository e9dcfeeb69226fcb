"""The frames that a stream instrument sends: real frames of its capture, with values that move. Pure.

A template is a captured frame in which each value is replaced by the waveform's and the checksum is made anew.
What is recorded as served is what the finished frame means, decoded as any reader would.
"""

import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivers.api import DriverSpec, Quality, Reading
from drivers.errors import DriverError
from drivers.serial.fields import patch
from drivers.serial.framing import Framer, end_bytes
from drivers.serial.options import SerialPoint, SerialProfile
from simulators.endpoints import CannotServe
from simulators.values import Waveform, waveform

Decode = Callable[[bytes], list[Reading]]


@dataclass(frozen=True)
class Template:
    """One captured frame and the points that may be changed in it."""

    frame: bytes
    fields: tuple[tuple[SerialPoint, Waveform], ...]


class Stream:
    """What one instrument sends each second."""

    def __init__(self, device: str, profile: SerialProfile, spec: DriverSpec, capture: Path, seed: int) -> None:
        self._profile = profile
        self._decode = _decoder(spec, profile)
        self._templates = tuple(self._choose(device, capture, seed))
        if not self._templates:
            raise CannotServe(f'device "{device}": {capture} has no good frame to start from')

    def frames(self, elapsed_s: float) -> Iterator[tuple[bytes, list[Reading]]]:
        """Each frame of this second, and the readings that it means."""
        for template in self._templates:
            frame = self._moved(template, elapsed_s)
            yield frame, self._decode(frame)

    def _moved(self, template: Template, elapsed_s: float) -> bytes:
        """The frame with new values; one that the frame cannot say, or nobody would believe, stays as it was."""
        frame = template.frame
        for point, wave in template.fields:
            with suppress(ValueError):
                changed = patch(self._profile.frame, point, frame, wave(elapsed_s))
                if point.name in _good(self._decode(changed)):
                    frame = changed
        return frame

    def _choose(self, device: str, capture: Path, seed: int) -> Iterator[Template]:
        """The first frame for each set of points that no frame before it has; frames without empty fields go first."""
        points = {point.name: point for point in self._profile.point}
        frames = [(frame, self._decode(frame)) for frame in self._captured(capture)]
        frames.sort(key=lambda pair: len(pair[1]) - len(_good(pair[1])))
        covered: set[str] = set()
        for frame, readings in frames:
            names = _good(readings)
            if not covered.issuperset(names):
                covered |= names
                fields = ((point, waveform(seed, device, point)) for name, point in points.items() if name in names)
                yield Template(frame, tuple(fields))

    def _captured(self, capture: Path) -> Iterator[bytes]:
        end = end_bytes(self._profile.frame)
        for data in _streams(capture):
            yield from Framer(self._profile.frame).feed(data + end)


def _good(readings: Iterable[Reading]) -> set[str]:
    return {r.point for r in readings if r.value is not None and r.quality is Quality.GOOD}


def capture_file(profile_file: Path) -> Path:
    """Where the capture of a profile is: `<model>.capture.toml` beside it."""
    return profile_file.with_suffix(".capture.toml")


def _streams(capture: Path) -> Iterable[bytes]:
    try:
        exchanges: list[dict[str, Any]] = tomllib.loads(capture.read_text(encoding="utf-8")).get("exchange", [])
    except (OSError, tomllib.TOMLDecodeError) as err:
        raise CannotServe(f"cannot read {capture}: {err}") from err
    for exchange in exchanges:
        if exchange.get("error"):
            continue
        if "text" in exchange:
            yield exchange["text"].encode()
        elif "stream" in exchange:
            yield bytes.fromhex(exchange["stream"])


def _decoder(spec: DriverSpec, profile: SerialProfile) -> Decode:
    def decode(frame: bytes) -> list[Reading]:
        """Nothing where the frame is refused: a template that went wrong is never sent as a value."""
        try:
            return list(spec.decode(profile, None, frame))
        except DriverError:
            return []

    return decode
