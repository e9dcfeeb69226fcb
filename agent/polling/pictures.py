"""Pictures of the cameras of one link: who wants one, taking it, and what became of it.

Promises: everyone who asked is told, once, how it ended; asking twice before it was taken gives one picture.
Must not know: schedules, files.
"""

import asyncio
from collections.abc import Awaitable, Callable

from agent.settings import DeviceSettings
from drivers.api import Picture, PictureLink
from drivers.errors import BadReply, LinkDown, NoReply

PICTURE_S = 180.0
"""A picture that takes longer is stuck; 100 kB at 9600 baud take 110 s."""

SCHEDULED = "schedule"

OnPicture = Callable[[DeviceSettings, Picture, str], Awaitable[str]]
"""Takes a picture of a device, and why it was taken; gives its id once it is kept. Raises `PictureFailed`."""


class PictureFailed(Exception):
    """There is no picture; the message says why."""


class PictureRequests:
    """The requests of one link."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[tuple[str, asyncio.Future[str]]]] = {}

    def ask(self, device: str, why: str) -> asyncio.Future[str]:
        """Want a picture of `device`; gives its id, or raises `PictureFailed`."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(device, []).append((why, future))
        return future

    def why(self, device: str) -> str:
        """Why the next picture of `device` is taken: the first who asked, else the schedule."""
        waiting = self._waiting.get(device)
        return waiting[0][0] if waiting else SCHEDULED

    def taken(self, device: str, picture_id: str) -> None:
        """There is one."""
        for _, future in self._waiting.pop(device, []):
            if not future.done():
                future.set_result(picture_id)

    def failed(self, device: str, why: str) -> None:
        """There is none."""
        for _, future in self._waiting.pop(device, []):
            if not future.done():
                future.set_exception(PictureFailed(why))


class PictureTaker:
    """Takes the pictures of the link `name`; `on_picture` keeps them, None where nobody does."""

    def __init__(self, name: str, on_picture: OnPicture | None) -> None:
        self._name = name
        self._on_picture = on_picture
        self._requests = PictureRequests()

    def ask(self, device: str, why: str) -> asyncio.Future[str]:
        """Want a picture of `device`; see `PictureRequests.ask`."""
        return self._requests.ask(device, why)

    def refuse(self, device: str, why: str) -> None:
        """There will be no picture for those who wait for one."""
        self._requests.failed(device, why)

    async def take(self, link: PictureLink, settings: DeviceSettings) -> None:
        """Take one picture and keep it; raises `PictureFailed`, or `LinkDown` where the camera is stuck."""
        name = settings.name
        try:
            picture_id = await self._taken(link, settings, self._requests.why(name))
        except (PictureFailed, LinkDown) as err:
            self._requests.failed(name, str(err))
            raise
        self._requests.taken(name, picture_id)

    async def _taken(self, link: PictureLink, settings: DeviceSettings, why: str) -> str:
        if self._on_picture is None:
            raise PictureFailed("nobody keeps pictures here")
        try:
            async with asyncio.timeout(PICTURE_S):
                picture = await link.picture(settings.unit, settings.profile)
        except TimeoutError as err:
            raise LinkDown(f"{self._name}: a picture of {settings.name} was stuck") from err
        except (NoReply, BadReply) as err:
            raise PictureFailed(str(err)) from err
        return await self._on_picture(settings, picture, why)
