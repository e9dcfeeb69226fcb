"""Finding a serial port again after it was unplugged: by the names that udev gave it, not by its number.

Promises: a port that was open is never taken for another adapter that came back under its old name.
Must not know: pyserial, pymodbus.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

NAME_FOLDERS = (Path("/dev/serial/by-path"), Path("/dev/serial/by-id"))
"""Where udev makes names that stay: after the socket that the adapter is in, and after its serial number.

The socket goes first: cheap adapters have no serial number, and two of them share one name in `by-id`.
"""


def lasting_names(port: str, folders: Sequence[Path] = NAME_FOLDERS) -> list[str]:
    """The names of `port` that survive a replug; none for a board's own port or a pty."""
    target = Path(port).resolve()
    names = (name for folder in folders if folder.is_dir() for name in sorted(folder.iterdir()))
    return [str(name) for name in names if name.resolve() == target]


class PortFinder:
    """The way to one configured port. It remembers which adapter was seen there."""

    def __init__(self, port: str, folders: Sequence[Path] = NAME_FOLDERS) -> None:
        self._port = port
        self._folders = folders
        self._names: list[str] = []

    def path(self) -> str:
        """What to open now: the adapter that was seen under the configured name, wherever it is today.

        A name that stays and that is gone is given all the same: who has the old number now is somebody else.
        """
        there = [name for name in self._names if Path(name).exists()]
        return (there or self._names or [self._port])[0]

    def opened(self) -> None:
        """The port was opened: note its names that stay, unless the configuration has one of them."""
        if Path(self._port).parent not in self._folders and not self._names:
            self._names = lasting_names(self._port, self._folders)


@cache
def port_finder(port: str) -> PortFinder:
    """The finder of a port, the same one for as long as the process lives."""
    return PortFinder(port)
