"""Being somebody who may read a folder and not write into it, also where the tests run as root."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def read_only_folder() -> Iterator[Path]:
    """A folder in which everybody may enter; it is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="oc-read-only-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def may_not_write(folder: Path) -> Iterator[None]:
    """From here on `folder` can be read only; root becomes nobody for this long."""
    root = os.geteuid() == 0
    folder.chmod(0o555)
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
