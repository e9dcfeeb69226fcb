"""Where the kernel tells of the machine; tests give trees of their own."""

from pathlib import Path
from typing import Final

import msgspec


class Roots(msgspec.Struct, frozen=True):
    """The mount points of sysfs and procfs."""

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")


MACHINE: Final = Roots()


def line_of(path: Path) -> str:
    """What one file of the kernel says; "" where it is not there, or not for us."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ")
    except OSError:
        return ""
