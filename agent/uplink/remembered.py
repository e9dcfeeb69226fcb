"""What the uplink remembers over a restart, each in a small JSON file beside the outbox.

Promise: losing such a file, or not being able to write it, costs what it was for, and never stops the uplink.
"""

import logging
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from agent.durable import write_durably

log = logging.getLogger(__name__)

KnownT = TypeVar("KnownT")


class Remembered(Generic[KnownT]):
    """One file. `nothing` is known where there is none, or it cannot be read; `cost` says what that costs."""

    def __init__(self, path: Path, type_: Any, nothing: KnownT, cost: str) -> None:
        self._path = path
        self._type = type_
        self._nothing = nothing
        self._cost = cost

    def read(self) -> KnownT:
        """What was written last. Blocks."""
        try:
            known: KnownT = msgspec.json.decode(self._path.read_bytes(), type=self._type)
        except FileNotFoundError:
            return self._nothing
        except (OSError, msgspec.MsgspecError) as err:
            log.warning("%s cannot be read, so %s: %s", self._path, self._cost, err)
            return self._nothing
        return known

    def write(self, known: KnownT) -> None:
        """Keep it. Blocks for as long as the card takes."""
        try:
            write_durably(self._path, msgspec.json.encode(known))
        except OSError as err:
            log.warning("%s cannot be written, so %s: %s", self._path, self._cost, err)
