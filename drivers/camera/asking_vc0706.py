"""Talking to a VC0706 camera: its version, and still pictures in parts.

Promises: a picture counts only where every part came whole and the form of the JPEG is right; a part that did not come
is asked for again, after the camera has shown that nothing older is on its way; the camera is set free again.
Must not know: bytes of messages.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from drivers.api import Picture, Quality, Reading
from drivers.camera import jpeg, vc0706
from drivers.camera.options import CameraPoint, CameraProfile
from drivers.camera.wire import Wire
from drivers.errors import BadReply, NoReply

PART_TRIES = 4
"""How often one part is asked for."""
ALONE_S = 0.03


class Vc0706:
    """The one camera of a line."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def read(self, unit: int, _profile: CameraProfile, points: Sequence[CameraPoint]) -> list[Reading]:
        """The version of the camera: it says that it is there."""
        data = await self._command(vc0706.version(unit), unit, vc0706.VERSION)
        mono_ns = time.monotonic_ns()
        text = data.decode("ascii", "replace").strip()
        good = text.isprintable() and bool(text)
        return [
            Reading(p.name, text, mono_ns) if good else Reading(p.name, None, mono_ns, Quality.FAULT, data.hex())
            for p in points
        ]

    async def picture(self, unit: int, profile: CameraProfile) -> Picture:
        """Freeze, read, set free; raises `NoReply` or `BadReply`."""
        await self._command(vc0706.control(unit, vc0706.RESUME), unit, vc0706.FRAME)
        await self._command(vc0706.control(unit, vc0706.FREEZE), unit, vc0706.FRAME)
        mono_ns = time.monotonic_ns()
        try:
            data = await self._frozen(unit, profile)
        finally:
            await self._set_free(unit)
        try:
            data, size = jpeg.whole(data)
        except jpeg.NoPicture as err:
            raise self._wire.bad(f"what came is no whole JPEG picture: {err}") from err
        return Picture(data, "image/jpeg", size.width, size.height, mono_ns)

    async def _frozen(self, unit: int, profile: CameraProfile) -> bytes:
        length = await self._length(unit)
        data = b""
        while len(data) < length:
            size = min(profile.chunk_bytes, length - len(data))
            data += await self._part(unit, profile, len(data), size)
        return data

    async def _part(self, unit: int, profile: CameraProfile, offset: int, size: int) -> bytes:
        for tried in range(PART_TRIES):
            await asyncio.sleep(profile.pause_s)
            try:
                if tried:
                    await self._pass_barrier(unit)
                return await self._part_once(unit, offset, size)
            except (NoReply, BadReply):
                if tried + 1 == PART_TRIES:
                    raise
        raise AssertionError("unreachable")

    async def _part_once(self, unit: int, offset: int, size: int) -> bytes:
        whole = vc0706.chunk_size(size)
        within_s = self._wire.options.timeout_s + 2 * self._wire.options.wire_s(whole)
        heard = await self._wire.ask(
            vc0706.chunk(unit, offset, size), lambda data: data if len(data) >= whole else None, within_s
        )
        heard += await self._wire.quiet(ALONE_S)
        try:
            return vc0706.chunk_data(heard, unit, size)
        except vc0706.NotUnderstood as err:
            raise self._wire.bad(str(err)) from err

    async def _pass_barrier(self, unit: int) -> None:
        """Ask for something with another answer: when that came, no older part can come any more."""
        for tried in range(PART_TRIES):
            try:
                await self._wire.ask(vc0706.version(unit), _found(unit, vc0706.VERSION))
            except (NoReply, BadReply):
                if tried + 1 == PART_TRIES:
                    raise
            else:
                return

    async def _length(self, unit: int) -> int:
        data = await self._command(vc0706.length(unit), unit, vc0706.LENGTH)
        again = await self._command(vc0706.length(unit), unit, vc0706.LENGTH)
        if data != again:
            raise self._wire.bad(f"the camera gives two lengths of one picture: {data.hex()} and {again.hex()}")
        try:
            return vc0706.picture_length(data)
        except vc0706.NotUnderstood as err:
            raise self._wire.bad(str(err)) from err

    async def _command(self, message: bytes, unit: int, command: int) -> bytes:
        """The data of the reply; once more where it did not come."""
        for tried in range(2):
            try:
                reply = await self._wire.ask(message, _whole)
                return vc0706.payload(reply + await self._wire.quiet(ALONE_S), unit, command)
            except vc0706.NotUnderstood as err:
                if tried:
                    raise self._wire.bad(str(err)) from err
                self._wire.disturbed = True
            except (NoReply, BadReply):
                if tried:
                    raise
        raise AssertionError("unreachable")

    async def _set_free(self, unit: int) -> None:
        """Best effort: the next picture begins with it."""
        try:
            await self._wire.ask(vc0706.control(unit, vc0706.RESUME), _whole)
        except (NoReply, BadReply):
            self._wire.disturbed = True


def _whole(heard: bytes) -> bytes | None:
    size = vc0706.reply_size(heard)
    return heard if size is not None and len(heard) >= size else None


def _found(unit: int, command: int) -> Callable[[bytes], bytes | None]:
    """The reply to `command` at the end of what came, whatever stands before it."""
    head = bytes([0x76, unit, command, 0x00])

    def take(heard: bytes) -> bytes | None:
        at = heard.rfind(head)
        return _whole(heard[at:]) if at >= 0 else None

    return take
