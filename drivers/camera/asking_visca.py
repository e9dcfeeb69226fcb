"""Talking VISCA: addresses first, then inquiries one by one.

Promises: after a missing or broken answer nothing is believed before the camera answered the barrier, an inquiry
whose answer has a form of its own; a chain that changed is addressed again; nothing is ever moved.
Must not know: bytes of messages.
"""

import time
from collections.abc import Callable, Sequence

from drivers.api import Quality, Reading
from drivers.camera import visca
from drivers.camera.options import CameraPoint, CameraProfile
from drivers.camera.visca import Answer, Other, Refused
from drivers.camera.wire import Wire
from drivers.errors import DriverError, NoReply
from drivers.scaling import scaled

QUIET_AFTER_REFUSAL_S = 1.0


class Visca:
    """The cameras of one chain."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._addressed = False
        self._cameras: int | None = None
        self._certain: set[int] = set()
        """The cameras of which no older answer can be on its way."""

    async def read(self, unit: int, _profile: CameraProfile, points: Sequence[CameraPoint]) -> list[Reading]:
        """What the camera `unit` tells of `points`; `dsc`: not now (standby), `cfg`: refused."""
        if not self._addressed:
            await self._address()
        if self._cameras is not None and unit > self._cameras:
            self._addressed = False
            raise NoReply(
                f"{self._wire.options.endpoint}: there are {self._cameras} cameras, so none has the address {unit}"
            )
        try:
            if unit not in self._certain:
                await self._pass_barrier(unit)
            return await self._read(unit, points)
        except DriverError:
            self._addressed = False
            self._certain.discard(unit)
            raise

    async def _read(self, unit: int, points: Sequence[CameraPoint]) -> list[Reading]:
        readings: dict[str, Reading] = {}
        for name in dict.fromkeys(visca.inquiry_for(point.source) for point in points):
            answer = await self._inquire(unit, name)
            mono_ns = time.monotonic_ns()
            raw = visca.INQUIRIES[name].read(answer.data) if isinstance(answer, Answer) else {}
            for point in points:
                if visca.inquiry_for(point.source) == name:
                    readings[point.name] = reading(point, answer, raw, mono_ns)
        return [readings[point.name] for point in points]

    async def _inquire(self, unit: int, name: str) -> Answer | Refused:
        inquiry = visca.INQUIRIES[name]
        return await self._wire.ask(inquiry.bytes_for(unit), self._answer_to(unit, inquiry.lengths))

    def _answer_to(self, unit: int, lengths: tuple[int, ...]) -> Callable[[bytes], Answer | Refused | None]:
        def take(heard: bytes) -> Answer | Refused | None:
            for frame in visca.split(heard)[0]:
                message = visca.understood(frame)
                if isinstance(message, Other) and message.network_change:
                    self._addressed = False
                if isinstance(message, Refused) and message.unit == unit:
                    return message
                if isinstance(message, Answer) and message.unit == unit and len(message.data) in lengths:
                    return message
            return None

        return take

    async def _pass_barrier(self, unit: int) -> None:
        """Wait until nothing that was asked before can be answered any more."""
        answer = await self._wire.ask(visca.BARRIER.bytes_for(unit), self._answer_to(unit, visca.BARRIER.lengths))
        if isinstance(answer, Refused):
            await self._wire.quiet(QUIET_AFTER_REFUSAL_S)
        self._certain.add(unit)

    async def _address(self) -> None:
        """Number the cameras of the chain; some single ones, and those behind a network, do not take part."""
        try:
            self._cameras = await self._wire.ask(visca.ADDRESS_SET, _count)
        except DriverError:
            self._cameras = None
        self._addressed = True


def _count(heard: bytes) -> int | None:
    counts = (visca.cameras_on_chain(frame) for frame in visca.split(heard)[0])
    return next((count for count in counts if count is not None), None)


def reading(point: CameraPoint, answer: Answer | Refused, raw: visca.Raw | None, mono_ns: int) -> Reading:
    """What an answer says of `point`; `raw` is None where its data mean nothing."""
    if isinstance(answer, Refused):
        off = answer.code == visca.NOT_EXECUTABLE
        quality = Quality.SWITCHED_OFF if off else Quality.CONFIGURATION
        return Reading(point.name, None, mono_ns, quality, f"{answer.code:02X}")
    if raw is None:
        return Reading(point.name, None, mono_ns, Quality.FAULT, answer.data.hex().upper())
    value = raw[point.source]
    if isinstance(value, str):
        return Reading(point.name, point.enum.get(value, value), mono_ns)
    number, quality = scaled(point, value)
    return Reading(point.name, number, mono_ns, quality)
