"""An instrument that answers: what its capture shows for each request, with values that move. Pure.

It understands what its profile says to it and nothing else. With an address it answers only to its own.
"""

import math
from collections.abc import Iterator
from pathlib import Path

from drivers.api import DriverSpec, Reading
from drivers.serial.framing import on_the_wire, with_checksum
from drivers.serial.profile import ADDRESSES, SerialProfile, Step
from drivers.serial.requests import request_bytes, step_bytes
from simulators.captures.reading import captured
from simulators.endpoints import CannotServe
from simulators.serial.templates import Template, Understanding, templates
from simulators.world import World

_CAPTURED_UNIT = 0


class Answering:
    """One instrument on a line."""

    def __init__(
        self, device: str, unit: int | None, profile: SerialProfile, spec: DriverSpec, capture: Path, world: World
    ) -> None:
        self._profile = profile
        self._address = ADDRESSES[unit or _CAPTURED_UNIT].encode() if profile.has_address else b""
        self._understanding = Understanding(spec, profile)
        self._heard = b""
        exchanges = captured(capture)
        shown = {one.request: one.response for one in exchanges if one.request is not None and one.is_step}
        self._steps = {
            step_bytes(one, unit): self._mine(shown.get(step_bytes(one, _CAPTURED_UNIT), b""))
            for one in _steps(profile)
        }
        self._answers: dict[bytes, Template] = {}
        for request in profile.request:
            asked = request_bytes(request, _CAPTURED_UNIT)
            fitting = [one for one in exchanges if one.request == asked]
            chosen = next(templates(device, profile, self._understanding, fitting, world), None)
            if chosen is None:
                raise CannotServe(f'device "{device}": {capture} has no good answer to {asked!r}')
            self._answers[request_bytes(request, unit)] = chosen

    def hear(self, data: bytes, elapsed_s: float) -> Iterator[tuple[bytes, bytes, list[Reading]]]:
        """Each request in these bytes, its answer, and the readings that this means. The unknown is ignored."""
        self._heard += data
        known = {**self._steps, **dict.fromkeys(self._answers, b"")}
        while self._heard:
            longer = any(len(one) > len(self._heard) and one.startswith(self._heard) for one in known)
            said = next((one for one in sorted(known, key=len, reverse=True) if self._heard.startswith(one)), None)
            if said is None and longer:
                return
            self._heard = self._heard[len(said) if said else 1 :]
            if said is not None and said in self._answers:
                yield said, *self._answer(said, elapsed_s)
            elif said is not None and self._steps[said]:
                yield said, self._steps[said], []

    def _answer(self, request: bytes, elapsed_s: float) -> tuple[bytes, list[Reading]]:
        """Values change once a second, so that two answers in a row can say the same."""
        template = self._answers[request]
        frame = self._mine(self._understanding.moved(template, math.floor(elapsed_s)))
        if self._address:
            frame = with_checksum(self._profile.frame, frame)
        data = on_the_wire(self._profile.frame, frame)
        return template.prefix + data, self._understanding.of(data, request)

    def _mine(self, data: bytes) -> bytes:
        """What was captured of address 0, from this address."""
        return self._address + data[1:] if self._address and data else data


def _steps(profile: SerialProfile) -> list[Step]:
    duty = [*profile.duty.wake, *profile.duty.sleep] if profile.duty else []
    return [*profile.settings, *duty, *(step for request in profile.request for step in request.before)]
