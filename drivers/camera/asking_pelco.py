"""Talking Pelco-D: positions, one query each.

Promises: an answer has to be the only message that comes, since its checksum is short; nothing is ever moved.
Must not know: bytes of messages.
"""

import time
from collections.abc import Sequence

from drivers.api import Quality, Reading
from drivers.camera import pelco
from drivers.camera.options import CameraPoint, CameraProfile
from drivers.camera.wire import Wire
from drivers.scaling import scaled

ALONE_S = 0.05
"""So long nothing may follow an answer; at 2400 baud a byte takes 4 ms."""


class Pelco:
    """The cameras of one line."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def read(self, unit: int, _profile: CameraProfile, points: Sequence[CameraPoint]) -> list[Reading]:
        """The positions that `points` want."""
        return [await self._point(unit, point) for point in points]

    async def _point(self, unit: int, point: CameraPoint) -> Reading:
        question = pelco.query(unit, point.source)
        heard = await self._wire.ask(
            question, lambda data: data if len(_without_echo(data, question)) >= pelco.SIZE else None
        )
        mono_ns = time.monotonic_ns()
        heard += await self._wire.quiet(ALONE_S)
        raw = pelco.answered(_without_echo(heard, question), unit, point.source)
        if isinstance(raw, str):
            raise self._wire.bad(raw)
        return reading(point, raw, mono_ns)


def reading(point: CameraPoint, raw: int, mono_ns: int) -> Reading:
    """The value of an answer: degrees for pan and tilt, as it is for zoom."""
    number = raw if point.source == "zoom" else pelco.degrees(point.source, raw)
    if number is None:
        return Reading(point.name, None, mono_ns, Quality.OUT_OF_RANGE, str(raw))
    value, quality = scaled(point, number)
    return Reading(point.name, value, mono_ns, quality)


def _without_echo(data: bytes, question: bytes) -> bytes:
    """Adapters with two wires hear themselves."""
    return data.removeprefix(question)
