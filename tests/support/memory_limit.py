"""A memory cgroup of its own for a process, as systemd makes one for `MemoryMax=`: cgroups(7), version 1 or 2.

What counts is what systemd counts: the process's own memory, files on a RAM disk that it writes, and pages of files
that it is the first to read or write.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path("/sys/fs/cgroup")


class MemoryLimit(NamedTuple):
    """A limit; a command behind `prefix` runs within it."""

    folder: Path
    peak_file: str
    kills_file: str

    @property
    def prefix(self) -> Sequence[str]:
        return ("/bin/sh", "-c", f'echo $$ >{self.folder}/cgroup.procs && exec "$@"', "sh")

    @property
    def peak_mb(self) -> float:
        """The most that was counted at once; with version 2 before Linux 5.19 nobody knows: nan."""
        try:
            return int((self.folder / self.peak_file).read_text()) / 1e6
        except FileNotFoundError:
            return float("nan")

    @property
    def kills(self) -> int:
        """How many processes were ended for want of memory."""
        facts = dict(line.split() for line in (self.folder / self.kills_file).read_text().splitlines())
        return int(facts["oom_kill"])


@contextmanager
def memory_limit(most_bytes: int) -> Iterator[MemoryLimit]:
    """Skips the test where none can be made: not root, or no memory controller."""
    v2 = (ROOT / "cgroup.controllers").exists()
    parent = ROOT if v2 else ROOT / "memory"
    try:
        folder = Path(tempfile.mkdtemp(prefix="oc-test-", dir=parent))
    except OSError as err:
        pytest.skip(f"no memory cgroup can be made here: {err}")
    try:
        try:
            (folder / ("memory.max" if v2 else "memory.limit_in_bytes")).write_text(str(most_bytes))
        except OSError as err:
            pytest.skip(f"no memory controller here: {err}")
        if v2:
            yield MemoryLimit(folder, "memory.peak", "memory.events")
        else:
            yield MemoryLimit(folder, "memory.max_usage_in_bytes", "memory.oom_control")
    finally:
        folder.rmdir()
