"""Sends the bytes of pictures, part after part, beside the lanes.

Promises: one part is on its way at a time, so that pictures never stand in the way of readings; a picture is sent only
when the broker took every part and somebody receives them; what is interrupted begins anew, which the IOC recognises by
id and part; one at which connections end `CUTS` times in a row waits `POSTPONED_S` while others go; while the IOC says
that it is offline, nothing is sent.
Must not know: files' names, what is on a picture.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from agent.uplink.errors import MessageRejected, UplinkDown
from agent.uplink.formats import Format
from agent.uplink.reasons import Verdict, reason_name, verdict
from agent.waking import Alarm

log = logging.getLogger(__name__)

LOOK_S: Final = 5.0
"""How soon to look again at a picture that waits and could not be sent."""
REST_S: Final = 60.0
"""How soon to look where nothing waited; `poke` tells of new ones."""
REFUSED_S: Final = 60.0
NO_SUBSCRIBER_S: Final = 10.0
PART_S: Final = 60.0
CUTS: Final = 3
POSTPONED_S: Final = 600.0


class Publishing(Protocol):
    """What it needs of a connection: `agent.uplink.mqtt.MqttSession`."""

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False, timeout_s: float) -> int: ...


class Waiting(Protocol):
    """One picture that is to be sent."""

    @property
    def id(self) -> str: ...

    @property
    def path(self) -> Path: ...

    @property
    def parts(self) -> int: ...


class Shelf(Protocol):
    """Where pictures wait: `agent.store.pictures.PictureShelf`."""

    @property
    def part_bytes(self) -> int: ...

    def waiting(self) -> Sequence[Waiting]: ...

    def sent(self, kept: Any) -> None: ...


class PictureSender:
    """The pictures of one connection. `poke` tells it that there is a new one."""

    def __init__(self, shelf: Shelf, format_: Format) -> None:
        self._shelf = shelf
        self._format = format_
        self._wake = Alarm()
        self._at = self._cut_at = ("", 0)
        self._cuts = 0
        self._not_before_s: dict[str, float] = {}
        self.sent = 0

    def poke(self) -> None:
        """There is a picture to send, or somebody who receives it."""
        self._wake.set()

    async def run(self, session: Publishing, may_send: Callable[[], bool]) -> None:
        """Send what waits, oldest first, until cancelled; raises `UplinkDown`."""
        while True:
            self._wake.clear()
            waiting = await asyncio.to_thread(self._shelf.waiting) if may_send() else []
            wait_s = LOOK_S if waiting else REST_S
            for picture in waiting:
                if self._not_before_s.get(picture.id, 0.0) > asyncio.get_running_loop().time():
                    continue
                pause_s = await self._try(session, picture)
                if pause_s:
                    wait_s = pause_s
                    break
            await self._wake.wait(wait_s)

    async def _try(self, session: Publishing, picture: Waiting) -> float:
        """As `_send`; counts the connections that end at the same part in a row, for it may be why."""
        try:
            pause_s = await self._send(session, picture)
        except (UplinkDown, asyncio.CancelledError):
            self._cuts = self._cuts + 1 if self._at == self._cut_at else 1
            self._cut_at = self._at
            if self._cuts >= CUTS:
                log.warning("picture %s ends connections: it waits, and others go", picture.id)
                self._not_before_s[picture.id] = asyncio.get_running_loop().time() + POSTPONED_S
            raise
        self._not_before_s.pop(picture.id, None)
        return pause_s

    async def _send(self, session: Publishing, picture: Waiting) -> float:
        """All parts of one picture; how long to wait where the broker did not take one, or nobody receives it."""
        try:
            data = await asyncio.to_thread(picture.path.read_bytes)
        except FileNotFoundError:
            return 0.0  # it has expired meanwhile, which was said
        except OSError as err:
            log.warning("picture %s cannot be read: %s", picture.id, err)
            return REFUSED_S
        size = self._shelf.part_bytes
        for number, start in enumerate(range(0, len(data), size), start=1):
            self._at = (picture.id, number)
            part = self._format.picture_part(picture.id, number, data[start : start + size])
            try:
                code = await session.publish(part.topic, part.payload, timeout_s=PART_S)
            except MessageRejected as err:
                log.warning("picture %s cannot be sent: %s", picture.id, err)
                return REFUSED_S
            if verdict(code) is not Verdict.ACCEPTED:
                log.warning("the broker does not take picture %s: %s (0x%02X)", picture.id, reason_name(code), code)
                return NO_SUBSCRIBER_S if verdict(code) is Verdict.NO_SUBSCRIBER else REFUSED_S
        await asyncio.to_thread(self._shelf.sent, picture)
        self.sent += 1
        return 0.0
