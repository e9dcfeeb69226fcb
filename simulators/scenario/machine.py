"""Where the gateway of a scenario runs: on a `host` of which all can go wrong, or else as a mere program.

Without a host no facility of the computer is needed: no namespaces, no RAM disk of its own.
"""

import asyncio
import os
import shutil
import signal
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from simulators.host import Sample, host
from simulators.host.proc import is_stopped, sample
from simulators.processes import Child, ChildFailed, child
from simulators.scenario.scenario import Scenario

RAM_DISK: Final = Path("/dev/shm")  # noqa: S108 - only private folders made by mkdtemp go there
NEEDS_HOST: Final = frozenset(("disk_full", "read_only", "clock_jump", "power_cut"))
SAMPLE_S: Final = 1.0
MAX_SAMPLES: Final = 100_000
_POLL_S: Final = 0.02


class Runs(Protocol):
    """What a scenario does with its machine; `simulators.host.Machine` is one."""

    data: Path
    run_dir: Path
    stdout: Path
    stderr: Path

    @property
    def exit_codes(self) -> Sequence[int]: ...
    @property
    def running(self) -> bool: ...
    def inside(self, path: Path) -> Path: ...
    def beside(self, argv: Sequence[str]) -> list[str]: ...
    async def start(self, argv: Sequence[str], env: Mapping[str, str]) -> None: ...
    async def terminate(self, timeout_s: float) -> int: ...
    async def up(self) -> None: ...
    async def down(self) -> None: ...
    async def freeze(self) -> None: ...
    def thaw(self) -> None: ...
    def usage(self) -> Sequence[Sample]: ...


class Program:
    """The gateway as a child of ours, with a folder for its files and one on the RAM disk."""

    def __init__(self, folder: Path, run_dir: Path) -> None:
        self.data, self.run_dir = folder / "data", run_dir
        self.stdout, self.stderr = folder / "stdout.txt", folder / "stderr.txt"
        self._codes: list[int] = []
        self._argv: Sequence[str] = ()
        self._env: Mapping[str, str] = {}
        self._child: Child | None = None
        self._life = AsyncExitStack()
        self._since_s = time.monotonic()
        self._samples: deque[Sample] = deque(maxlen=MAX_SAMPLES)

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    @property
    def exit_codes(self) -> Sequence[int]:
        """One for each time that it has ended, also by itself; below 0 it is the signal."""
        ended = None if self._child is None else self._child.process.returncode
        return self._codes if ended is None else [*self._codes, ended]

    def inside(self, path: Path) -> Path:
        return path

    def beside(self, argv: Sequence[str]) -> list[str]:
        return list(argv)

    async def start(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        """Run the command, with `env` on top of our environment; raises `ChildFailed`."""
        if not shutil.which(argv[0]):
            raise ChildFailed(f"cannot start {argv[0]}: there is no such program")
        self._argv, self._env = argv, env
        await self.up()

    async def up(self) -> None:
        running = child(self._argv[0], self._argv, self.stderr, env=self._env, output=self.stdout)
        self._child = await self._life.enter_async_context(running)

    async def down(self) -> None:
        await self._end(signal.SIGKILL, 0.0)

    async def terminate(self, timeout_s: float) -> int:
        """SIGTERM for the command and its children, SIGKILL after `timeout_s`; gives its exit code."""
        await self._end(signal.SIGTERM, timeout_s)
        return self.exit_codes[-1]

    async def freeze(self) -> None:
        self._send(signal.SIGSTOP)
        while not all(map(is_stopped, self._pids())):  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(_POLL_S)

    def thaw(self) -> None:
        self._send(signal.SIGCONT)

    def usage(self) -> Sequence[Sample]:
        return tuple(self._samples)

    async def watch(self) -> None:
        """Take samples until cancelled."""
        while True:
            if self.running:
                self._samples.append(sample(self._pids(), self._since_s))
            await asyncio.sleep(SAMPLE_S)

    async def _end(self, number: signal.Signals, timeout_s: float) -> None:
        if self._child is None:
            return
        self._send(number)
        self._send(signal.SIGCONT)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._child.process.wait()
        self._send(signal.SIGKILL)
        self._codes.append(await self._child.process.wait())
        self._child = None
        await self._life.aclose()

    def _send(self, number: signal.Signals) -> None:
        """To everybody in the session of the command, which is its own."""
        if self._child is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.process.pid, number)

    def _pids(self) -> list[int]:
        return list(_in_session(self._child.process.pid)) if self._child is not None else []


def _in_session(session: int) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if os.getsid(int(entry.name)) == session:
                    yield int(entry.name)


def machine_for(scenario: Scenario, folder: Path) -> AbstractAsyncContextManager[Runs]:
    """A host where a fault needs one, else a program; raises `HostCannot` when it is entered."""
    needed = NEEDS_HOST & {fault.name for fault in scenario.on("host")}
    if not needed:
        return program(folder)
    disk_bytes = int(scenario.host.disk_mb * 1_000_000)
    return host(folder / "host", disk_bytes=disk_bytes, clock="clock_jump" in needed, sample_s=SAMPLE_S)


@asynccontextmanager
async def program(folder: Path) -> AsyncIterator[Program]:
    """A program that is not started yet, until the context ends; then nothing of it runs."""
    with ram_folder() as run_dir:
        (folder / "data").mkdir(exist_ok=True)
        one = Program(folder, run_dir)
        watch = asyncio.create_task(one.watch(), name="usage")
        try:
            yield one
        finally:
            watch.cancel()
            await one.down()


@contextmanager
def ram_folder() -> Iterator[Path]:
    """A private folder on the RAM disk where there is one, removed at the end."""
    can = RAM_DISK.is_dir() and os.access(RAM_DISK, os.W_OK)
    with tempfile.TemporaryDirectory(prefix="oc-sim-", dir=RAM_DISK if can else None) as folder:
        yield Path(folder)
