"""Small files that survive a power cut: written beside the old one, synced, then renamed over it.

A file that was written without a sync can be empty after a power cut ten seconds later.
"""

import os
from pathlib import Path


def write_durably(path: Path, data: bytes) -> None:
    """Replace the file as a whole or not at all; raises OSError and leaves what was. Blocks."""
    temporary = path.with_name(path.name + ".new")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        while data:
            data = data[os.write(fd, data) :]
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.rename(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make what was created, renamed or deleted in a folder durable; raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
