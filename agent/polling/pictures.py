"""Who wants a picture of which camera, and what became of it.

Promises: everyone who asked is told, once, how it ended; asking twice before it was taken gives one picture.
Must not know: links, files.
"""

import asyncio
from collections.abc import Awaitable, Callable

from agent.settings import DeviceSettings
from drivers.api import Picture

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
