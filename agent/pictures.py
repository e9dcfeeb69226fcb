"""From a picture that was taken to one that the IOC is told of, and the IOC's wish for one.

Promises: a picture is announced only once it is safe on the card, and sent only once it is announced; every command
gets a result. Must not know: cameras, MQTT.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from agent.clock import Clock
from agent.model import Privacy, Result
from agent.polling.pictures import PictureFailed
from agent.settings import DeviceSettings
from agent.store.pictures import PictureShelf, ShelfFull
from agent.store.store import Store
from drivers.api import Picture

log = logging.getLogger(__name__)

SWEEP_S: Final = 3_600.0
ANSWER_S: Final = 240.0
"""A command is answered within this time: the camera may be down, or busy with another picture."""
MAX_COMMANDS: Final = 8


class Asked(Protocol):
    """What is needed of a `LinkPoller`."""

    def ask_picture(self, name: str, why: str) -> asyncio.Future[str] | None: ...


class Pictures:
    """The way of pictures through the agent."""

    def __init__(self, shelf: PictureShelf, store: Store, clock: Clock) -> None:
        self._shelf = shelf
        self._store = store
        self._clock = clock
        self._answering: set[asyncio.Task[None]] = set()
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

    def command(self, message: Any) -> None:
        """A command of the IOC (`agent.uplink.downlink.Command`): `snapshot` of a `device`, or again of an `id`."""
        if len(self._answering) >= MAX_COMMANDS:
            self._answer(message.id, "too many commands at once")
            return
        task = asyncio.get_running_loop().create_task(self._obey(message), name=f"command {message.id}")
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _obey(self, message: Any) -> None:
        if message.expires_ms is not None and self._clock.wall_ms() > message.expires_ms:
            self._answer(message.id, "it came after it had expired")
            return
        if message.command == "snapshot" and "id" in message.args:
            await self._send_again(message.id, str(message.args["id"]))
            return
        device = message.args.get("device")
        if message.command != "snapshot" or not isinstance(device, str):
            self._answer(message.id, f'"{message.command}" is not known here, or has no `device`'[:200])
            return
        asked = (poller.ask_picture(device, f"command {message.id}") for poller in self.pollers)
        wanted = next((future for future in asked if future is not None), None)
        if wanted is None:
            self._answer(message.id, f'there is no camera "{device}" with pictures'[:200])
            return
        try:
            async with asyncio.timeout(ANSWER_S):
                await wanted
        except (PictureFailed, TimeoutError) as err:
            self._answer(message.id, str(err) or f"not within {ANSWER_S:g} s")
        else:
            self._answer(message.id, None)

    async def _send_again(self, command: str, picture_id: str) -> None:
        """The IOC lacks parts of a picture that was sent."""
        try:
            found = await asyncio.to_thread(self._shelf.again, picture_id)
        except OSError as err:
            self._answer(command, str(err))
            return
        self._answer(command, None if found else "that picture is not here any more")
        self.on_kept()

    def _answer(self, command: str, error: str | None) -> None:
        if error:
            log.warning("command %s: %s", command, error)
        self._store.append_result(Result(id=command, mono_ns=self._clock.mono_ns(), ok=error is None, error=error))

    def _declare(self) -> None:
        for event in self._shelf.losses():
            self._store.append_event(event)
