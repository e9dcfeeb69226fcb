"""A wall clock for the command alone, that can be stepped while it runs: a small library that is preloaded.

It is compiled from `clock.c` when it is wanted. libfaketime is not used: version 0.9.10, which Debian 12 has, makes
`time.sleep` of Python 3.11 fail where its monotonic clock is to be left alone (wolfcw/libfaketime, issue 426), and it
leaves files in /dev/shm when the command is killed.
"""

import asyncio
import mmap
import struct
from pathlib import Path
from typing import Final

from simulators.host.errors import HostCannot

_SOURCE: Final = Path(__file__).with_name("clock.c")
_NS_PER_S: Final = 1_000_000_000


class SteppedClock:
    """The wall clock of one machine. `offset_s` is how far it is ahead of the true time."""

    def __init__(self, folder: Path) -> None:
        self.offset_s = 0.0
        self._library = folder / "clock.so"
        self._file = folder / "clock"

    @property
    def env(self) -> dict[str, str]:
        """What the command must be started with."""
        return {"LD_PRELOAD": str(self._library), "OC_SIM_CLOCK": str(self._file)}

    async def build(self) -> None:
        """Compile the library, and see that a program takes it; raises `HostCannot`."""
        self._write()
        try:
            await _run("cc", "-shared", "-fPIC", "-O2", "-o", str(self._library), str(_SOURCE))
        except FileNotFoundError as err:
            advice = "`apt-get install gcc libc6-dev`"
            raise HostCannot(f"a clock for the command needs a C compiler, and cc is missing: {advice}") from err
        if said := await _run("env", f"LD_PRELOAD={self._library}", "true"):
            raise HostCannot(f"programs do not take {self._library}: {said}. Try a folder that is not mounted noexec")

    def step(self, seconds: float) -> None:
        """Set the clock forward, or back where `seconds` is negative; every process sees it at once."""
        self.offset_s += seconds
        self._write()

    def _write(self) -> None:
        """Change the 8 bytes in one go: the command has them mapped."""
        if not self._file.exists():
            self._file.write_bytes(bytes(8))
        with self._file.open("r+b") as file, mmap.mmap(file.fileno(), 8) as page:
            page[:] = struct.pack("=q", round(self.offset_s * _NS_PER_S))


async def _run(*argv: str) -> str:
    """What a program says on stderr; raises `HostCannot` where it fails."""
    process = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    text = said.decode(errors="replace").strip()
    if process.returncode:
        raise HostCannot(f"`{' '.join(argv)}` failed: {text}")
    return text
