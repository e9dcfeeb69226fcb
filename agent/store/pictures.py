"""The shelf: pictures until they are sent, and then for as long as they may be kept. Files, not rows: a picture is
written to the card once, and its removal frees the room at once.

Promises: a picture that `keep` gave back survives a power cut; pictures never take more than their own limit, those
that were sent go first, and one that goes unsent is declared; after `keep_days` a picture is deleted, sent or not.
Must not know: MQTT, cameras.

A file is named by when it was taken (milliseconds since 1970), its keep_days and its id. It is in `taken` until the IOC
is told of it, in `waiting` until all its parts are sent, then in `sent`.
"""

import hashlib
import logging
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from agent.clock import Clock, ClockState
from agent.durable import sync_folder
from agent.model import Event, Privacy, Snapshot
from agent.store.sealing import ulid
from drivers.api import Picture

log = logging.getLogger(__name__)

PART_BYTES: Final = 48 * 1024
MS_PER_DAY: Final = 86_400_000
NONSENSE_DAYS: Final = 3_650
"""A picture that seems older, or younger than now, was taken while the clock was wrong: its days begin anew."""
_NAME = re.compile(r"(\d{1,15})-(\d{1,5})-([0-9A-HJKMNP-TV-Z]{26})\.jpg")
_STAGES = ("taken", "waiting", "sent")


class ShelfFull(Exception):
    """There is no room for a picture; the message says why, and what to do."""


class Kept(NamedTuple):
    """One picture on the shelf."""

    taken_ms: int
    keep_days: int
    id: str
    path: Path
    size: int

    @property
    def parts(self) -> int:
        return parts_of(self.size)


def parts_of(size: int) -> int:
    """In how many messages so many bytes are sent."""
    return -(-size // PART_BYTES)


class PictureShelf:
    """The pictures of one gateway, in `folder`, at most `max_bytes` of them. Not for several threads at once."""

    def __init__(self, folder: Path, max_bytes: int, clock: Clock, random: Random) -> None:
        self._folder = folder
        self.max_bytes = max_bytes
        self._clock = clock
        self._random = random
        self._losses: list[Event] = []
        self.is_open = False

    @property
    def exists(self) -> bool:
        """Whether there is a folder of pictures, of this process or of an earlier one."""
        return self._folder.is_dir()

    @property
    def part_bytes(self) -> int:
        """How many bytes of a picture are sent in one message."""
        return PART_BYTES

    def open(self) -> None:
        """Make the folders, and delete what an earlier process had not finished; raises OSError."""
        for stage in _STAGES:
            path = self._folder / stage
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for leftover in self._in("taken"):
            leftover.path.unlink(missing_ok=True)
            self._lost(leftover, "picture_interrupted")
        for part in (self._folder / "taken").iterdir():
            part.unlink(missing_ok=True)
        self.is_open = True

    def keep(self, device: str, picture: Picture, privacy: Privacy, why: str) -> tuple[Snapshot, Path]:
        """Write a picture durably; gives what is known of it and where it is, until `announced`.

        Raises `ShelfFull`, or OSError.
        """
        self._make_room(len(picture.data))
        taken_ms = self._clock.wall_ms()
        own_id = ulid(taken_ms, self._random)
        path = self._folder / "taken" / f"{max(taken_ms, 0)}-{privacy.keep_days}-{own_id}.jpg"
        partial = path.with_suffix(".part")
        fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(picture.data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            sync_folder(path.parent)
        except OSError:
            partial.unlink(missing_ok=True)
            raise
        return self._known(own_id, device, picture, privacy, why), path

    def announced(self, path: Path) -> None:
        """The IOC is told of it: it may be sent."""
        path.replace(self._folder / "waiting" / path.name)
        sync_folder(self._folder / "waiting")

    def forget(self, path: Path) -> None:
        """The IOC could not be told of it: it was never accepted."""
        path.unlink(missing_ok=True)

    def waiting(self) -> list[Kept]:
        """What is to be sent, oldest first."""
        return sorted(self._in("waiting"))

    def sent(self, kept: Kept) -> None:
        """All its parts have arrived at the broker."""
        with suppress(FileNotFoundError):
            kept.path.replace(self._folder / "sent" / kept.path.name)

    def again(self, picture_id: str) -> bool:
        """Send a picture once more; False where it is not here any more."""
        for kept in (*self._in("waiting"), *self._in("sent")):
            if kept.id == picture_id:
                kept.path.replace(self._folder / "waiting" / kept.path.name)
                return True
        return False

    def sweep(self) -> None:
        """Delete what may not be kept any longer. While the clock is not known to be right nothing is that old."""
        if self._clock.state() is ClockState.UNSYNC:
            return
        now_ms = self._clock.wall_ms()
        for stage in ("waiting", "sent"):
            for kept in self._in(stage):
                age_days = (now_ms - kept.taken_ms) / MS_PER_DAY
                if not -1 < age_days < NONSENSE_DAYS:
                    kept.path.replace(kept.path.with_name(f"{now_ms}-{kept.keep_days}-{kept.id}.jpg"))
                elif age_days >= kept.keep_days:
                    kept.path.unlink(missing_ok=True)
                    if stage == "waiting":
                        self._lost(kept, "picture_expired")

    def losses(self) -> list[Event]:
        """What must be declared since the last call: pictures that are gone and were never sent."""
        losses, self._losses = self._losses, []
        return losses

    def bytes(self) -> int:
        """How much room the pictures take."""
        return sum(kept.size for stage in _STAGES for kept in self._in(stage))

    def _make_room(self, size: int) -> None:
        if size > self.max_bytes:
            raise ShelfFull(f"a picture of {size} bytes is more than `outbox.picture_max_bytes` ({self.max_bytes})")
        over = self.bytes() + size - self.max_bytes
        for stage in ("sent", "waiting"):
            for kept in sorted(self._in(stage)):
                if over <= 0:
                    return
                kept.path.unlink(missing_ok=True)
                over -= kept.size
                if stage == "waiting":
                    self._lost(kept, "picture_room")

    def _in(self, stage: str) -> Iterator[Kept]:
        with suppress(FileNotFoundError):
            for path in (self._folder / stage).iterdir():
                found = _NAME.fullmatch(path.name)
                if found:
                    with suppress(FileNotFoundError):
                        yield Kept(int(found[1]), int(found[2]), found[3], path, path.stat().st_size)

    def _lost(self, kept: Kept, reason: str) -> None:
        log.warning("picture %s is deleted and was not sent: %s", kept.id, reason)
        message = {"vi": f"Ảnh {kept.id} đã bị xóa khi chưa gửi", "en": f"Picture {kept.id} was deleted unsent"}
        event = Event(type="data.lost", severity="minor", mono_ns=self._clock.mono_ns(), message=message, reason=reason)
        self._losses.append(event)

    @staticmethod
    def _known(own_id: str, device: str, picture: Picture, privacy: Privacy, why: str) -> Snapshot:
        return Snapshot(
            id=own_id,
            device=device,
            mono_ns=picture.mono_ns,
            mime=picture.mime,
            width=picture.width,
            height=picture.height,
            bytes=len(picture.data),
            sha256=hashlib.sha256(picture.data).hexdigest(),
            parts=parts_of(len(picture.data)),
            why=why,
            privacy=privacy,
        )
