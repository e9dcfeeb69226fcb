"""One device read once, because somebody asks: with a link that is opened for it, or by the poller that has it open.

Promises: a poller answers each request once, between its own polls; what was read so is given to who asked and not to
the store, so it is no telemetry, no schedule moves, and no device is up or down because of it.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol, cast

import msgspec

from agent.configuration import by_interval
from agent.control import Arguments, OrderRefused
from agent.settings import DeviceSettings, LinkSettings
from drivers.api import Link, Picture, PictureLink, Reading
from drivers.errors import BadReply, DeviceRefused, DriverError, LinkDown, NoReply

VERB: Final = "read"
ANSWER_S: Final = 400.0
"""A picture of somebody else, and then this one's: what takes longer is stuck in its driver."""
_ERRORS: Final = {error.__name__: error for error in (LinkDown, NoReply, BadReply)}


class Once(msgspec.Struct, frozen=True):
    """What a device said. `mismatch`: why it is not the one of its profile; then nothing was read."""

    readings: list[Reading] = []
    picture: Picture | None = None
    mismatch: str = ""


class ReadRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The order `read`: the device, how who asks would read it (`fingerprint`), and whether with a picture."""

    device: str
    fingerprint: str
    picture: bool = False


class ReadAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """`found` is what came; `failed` the name of a class in `drivers.errors`, with its message and code.

    Neither: the agent does not read such a device there, or has lent its line.
    """

    found: Once | None = None
    failed: str = ""
    message: str = ""
    code: int = 0

    def result(self) -> Once | None:
        """What came, None where the agent cannot say; raises the error as the driver did."""
        if self.failed == DeviceRefused.__name__:
            raise DeviceRefused(self.message, self.code)
        if self.failed:
            raise _ERRORS.get(self.failed, LinkDown)(self.message)
        return self.found


def fingerprint(device: DeviceSettings, link: LinkSettings) -> str:
    """Two configurations with the same one read the same points of the same device in the same way."""
    how = [link.spec.kind, link.options, device.unit, device.profile, [p.point.name for p in device.points]]
    return hashlib.sha256(msgspec.json.encode(how, order="sorted")).hexdigest()


async def read_once(opened: Link, device: DeviceSettings, link: LinkSettings, *, with_picture: bool) -> Once:
    """Who the device is, all of its points, and a picture; raises as `Link.read` does."""
    identity = await opened.identify(device.unit, device.profile)
    if identity.mismatch:
        return Once(mismatch=identity.mismatch)
    readings: list[Reading] = []
    for points in by_interval(device).values():
        plan = link.spec.compile_plan(device.profile, [p.point for p in points])
        readings.extend(await opened.read(device.unit, plan))
    picture = await cast("PictureLink", opened).picture(device.unit, device.profile) if with_picture else None
    return Once(readings, picture)


class Asked(msgspec.Struct, frozen=True, eq=False):
    """Somebody waits for this."""

    device: DeviceSettings
    with_picture: bool
    answer: "asyncio.Future[Once]"


class Queue:
    """Who waits at the poller of one link."""

    def __init__(self, link: LinkSettings, devices: Sequence[DeviceSettings]) -> None:
        self._link = link
        self._waiting: deque[Asked] = deque()
        self.change(devices)

    def change(self, devices: Sequence[DeviceSettings]) -> None:
        """These are the devices from now on; who waits already gets what was asked for."""
        self._devices = {device.name: device for device in devices}

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, request: ReadRequest) -> "asyncio.Future[Once] | None":
        """What comes of it, or the `DriverError`; None where it would be read in another way, or for no purpose."""
        device = self._devices.get(request.device)
        if device is None or fingerprint(device, self._link) != request.fingerprint:
            return None
        if request.picture and device.picture is None:
            return None
        asked = Asked(device, request.picture, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        return asked.answer

    async def serve(self, opened: Link, within_s: float) -> None:
        """Answer who asked first; raises `LinkDown`, also to who asked."""
        asked = self._waiting.popleft()
        if asked.answer.done():
            return
        try:
            async with asyncio.timeout(within_s):
                found = await read_once(opened, asked.device, self._link, with_picture=asked.with_picture)
        except TimeoutError as err:
            down = LinkDown(f"{self._link.name}: a read of {asked.device.name} was stuck")
            asked.answer.set_exception(down)
            raise down from err
        except DriverError as err:
            asked.answer.set_exception(err)
            if isinstance(err, LinkDown):
                raise
        except BaseException:
            asked.answer.cancel()
            raise
        else:
            asked.answer.set_result(found)

    def fail(self, why: str) -> None:
        """Nobody gets an answer but this."""
        while self._waiting:
            asked = self._waiting.popleft()
            if not asked.answer.done():
                asked.answer.set_exception(LinkDown(why))


class Reads(Protocol):
    """What is needed of a `LinkPoller`."""

    def read_now(self, request: ReadRequest) -> "asyncio.Future[Once] | None":
        """None where this poller does not read that device so, or has lent its line."""


async def carry_out(pollers: Callable[[], Iterable[Reads]], arguments: Arguments) -> Any:
    """The order `read` on the control socket."""
    request = msgspec.convert(arguments, ReadRequest)
    asked = (poller.read_now(request) for poller in pollers())
    answer = next((future for future in asked if future is not None), None)
    if answer is None:
        return ReadAnswer()
    try:
        async with asyncio.timeout(ANSWER_S):
            return ReadAnswer(found=await answer)
    except TimeoutError as err:
        raise OrderRefused(f"{request.device} was not read within {ANSWER_S:g} s; see the log") from err
    except asyncio.CancelledError:
        if answer.cancelled():
            raise OrderRefused(f"the link of {request.device} ended meanwhile; try again") from None
        raise
    except DriverError as err:
        code = err.code if isinstance(err, DeviceRefused) else 0
        return ReadAnswer(failed=type(err).__name__, message=str(err), code=code)
