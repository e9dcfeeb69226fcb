"""Small files that survive a power cut: whole as they were, or whole as they are now, never half.

A file that was written without a sync can be empty after a power cut ten seconds later.
"""

import os
from pathlib import Path


def write_durably(path: Path, data: bytes) -> None:
    """Put `data` in the place of what `path` holds: a temporary file, synced, renamed; raises OSError. Blocks."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
