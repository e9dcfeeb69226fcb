"""Files that hold a secret, a key or a password: who may read them.

Others may not: on a gateway they are every program that is not the service. A group may where root has given the file
to it, as packages do (`root:oc-agent`, 0640) and systemd does with credentials; another owner's group is only unwise.
A file system without rights (FAT, as the boot partition of a card) shows every file as readable by all.
"""

import shlex
import stat
from pathlib import Path
from typing import Literal

Readers = Literal["owner", "group", "others"]


def readers(path: Path) -> Readers:
    """Who may read `path` beyond what is right; `owner` where that is nobody. Raises OSError."""
    found = path.stat()
    if found.st_mode & stat.S_IROTH:
        return "others"
    return "group" if found.st_mode & stat.S_IRGRP and found.st_uid else "owner"


def mending(path: Path) -> str:
    """The command that takes a file away from all but its owner."""
    return f"chmod 600 {shlex.quote(str(path))}"
