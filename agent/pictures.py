"""From a picture that was taken to one that the IOC is told of, and the IOC's wish for one.

Promises: a picture is announced only once it is safe on the card, and sent only once it is announced.
Must not know: cameras, MQTT.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from agent.model import Privacy
from agent.polling.pictures import PictureFailed
from agent.settings import DeviceSettings
from agent.store.pictures import PictureShelf, ShelfFull
from agent.store.store import Store
from agent.uplink.downlink.messages import Command
from drivers.api import Picture

log = logging.getLogger(__name__)

SWEEP_S: Final = 3_600.0
ANSWER_S: Final = 240.0
"""A command is answered within this time: the camera may be down, or busy with another picture."""


class Asked(Protocol):
    """What is needed of a `LinkPoller`."""

    def ask_picture(self, name: str, why: str) -> asyncio.Future[str] | None: ...


class Pictures:
    """The way of pictures through the agent."""

    def __init__(self, shelf: PictureShelf, store: Store) -> None:
        self._shelf = shelf
        self._store = store
        self.pollers: Sequence[Asked] = ()
        self.on_kept: Callable[[], None] = lambda: None

    async def keep(self, settings: DeviceSettings, picture: Picture, why: str) -> str:
        """Bring a picture onto the card and announce it; gives its id. Raises `PictureFailed`."""
        keys = settings.picture
        if keys is None:
            raise PictureFailed(f"{settings.name} has no `picture`: what is it for?")
        privacy = Privacy(class_=keys.class_, purpose=keys.purpose, keep_days=keys.keep_days)
        try:
            snapshot, path = await asyncio.to_thread(self._shelf.keep, settings.name, picture, privacy, why)
        except ShelfFull as err:
            raise PictureFailed(str(err)) from err
        except OSError as err:
            raise PictureFailed(f"it cannot be written: {err}; is the disk full?") from err
        finally:
            self._declare()
        if not self._store.append_snapshot(snapshot):
            await asyncio.to_thread(self._shelf.forget, path)
            raise PictureFailed("the journal cannot be written; is the RAM disk full?")
        await asyncio.to_thread(self._shelf.announced, path)
        self.on_kept()
        return snapshot.id

    async def run(self) -> None:
        """Delete what may not be kept any longer, now and each hour."""
        while True:
            try:
                await asyncio.to_thread(self._shelf.sweep)
            except OSError as err:
                log.warning("pictures that should be deleted cannot be: %s", err)
            self._declare()
            await asyncio.sleep(SWEEP_S)

    async def snapshot(self, command: Command) -> str | None:
        """The command `snapshot`: of a `device`, or the parts of a picture again, by its `id`."""
        if "id" in command.args:
            return await self._send_again(str(command.args["id"]))
        device = command.args.get("device")
        if not isinstance(device, str):
            return "it has no `device`"
        asked = (poller.ask_picture(device, f"command {command.id}") for poller in self.pollers)
        wanted = next((future for future in asked if future is not None), None)
        if wanted is None:
            return f'there is no camera "{device}" with pictures'
        try:
            async with asyncio.timeout(ANSWER_S):
                await wanted
        except (PictureFailed, TimeoutError) as err:
            return str(err) or f"not within {ANSWER_S:g} s"
        return None

    async def _send_again(self, picture_id: str) -> str | None:
        """The IOC lacks parts of a picture that was sent."""
        try:
            found = await asyncio.to_thread(self._shelf.again, picture_id)
        except OSError as err:
            return str(err)
        self.on_kept()
        return None if found else "that picture is not here any more"

    def _declare(self) -> None:
        for event in self._shelf.losses():
            self._store.append_event(event)
