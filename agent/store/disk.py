"""The file system that the outbox is on: how much of it is free, and a reserve that is given up when nothing is.

A full file system stops even the deletion of rows: SQLite writes that into its WAL first. So some room is kept in a
file of its own, which is deleted when a commit finds none, and made again when there is plenty. Everything here
blocks for as long as the card takes; a card that cannot say how full it is counts as having room.
"""

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

RESERVE_NAME: Final = "outbox.reserve"
RESERVE_BYTES: Final = 4 * 1024 * 1024
"""As much as the WAL is allowed to keep (`outbox.WAL_LIMIT_BYTES`)."""
SPARE_BYTES: Final = 16 * 1024 * 1024
"""So much stays free for others: before it is used, archived batches give their room to new ones."""
LOW_BYTES: Final = 100_000_000
LOW_SHARE: Final = 0.05


class Disk:
    """Figures as of the last `look`; None where they are not known. `low`: there is little room left."""

    def __init__(self, folder: Path) -> None:
        self._reserve = folder / RESERVE_NAME
        self.free_bytes: int | None = None
        self.low = False

    def look(self) -> None:
        """See how much is free."""
        try:
            found = os.statvfs(self._reserve.parent)
        except OSError as err:
            log.debug("%s: %s", self._reserve.parent, err)
            return
        free, total = found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize
        self.free_bytes = free
        limit = min(LOW_BYTES, round(total * LOW_SHARE))
        self.low = free < (limit + limit // 2 if self.low else limit)

    def keep_reserve(self) -> None:
        """Make the reserve where there is none, and plenty of room."""
        if (self.free_bytes or 0) > 2 * SPARE_BYTES + RESERVE_BYTES and not self._reserve.exists():
            self._make_reserve()

    def give_up_reserve(self) -> bool:
        """Make room for a commit; False where the disk is not full, or there is no reserve left."""
        if self.free_bytes is not None and self.free_bytes > SPARE_BYTES:
            return False
        try:
            self._reserve.unlink()
        except OSError:
            return False
        log.warning("%s: the disk is full; the reserve of %d bytes is given up", self._reserve.parent, RESERVE_BYTES)
        return True

    def _make_reserve(self) -> None:
        try:
            fd = os.open(self._reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return
        try:
            os.posix_fallocate(fd, 0, RESERVE_BYTES)
        except OSError:
            with suppress(OSError):
                self._reserve.unlink()
        finally:
            os.close(fd)
