"""A machine on which one command runs, and of which everything can go wrong."""

import asyncio
import shutil
import signal
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from simulators.host.clock import SteppedClock
from simulators.host.disk import Disk, mount_ram
from simulators.host.errors import HostCannot
from simulators.host.namespace import Namespace, namespace
from simulators.host.proc import Sample, is_stopped, sample
from simulators.processes import MAX_LINES, Child, ChildFailed, child

MIB: Final = 1024 * 1024
STOP_TIMEOUT_S: Final = 90.0
"""What systemd gives a service to end, where its unit says nothing."""
MAX_SAMPLES: Final = 100_000
_POLL_S: Final = 0.02


class Machine:
    """One machine. `output` are the last JSON lines of the command; `exit_codes` has one code for each of its ends.

    A code below 0 is the signal that ended it. One call at a time: await one before the next.
    """

    def __init__(self, folder: Path, space: Namespace, disk: Disk, ram_bytes: int, clock: SteppedClock | None) -> None:
        self.data = disk.data
        self.run_dir = folder / "run"
        self.stdout, self.stderr = folder / "stdout.txt", folder / "stderr.txt"
        self.exit_codes: list[int] = []
        self.output: deque[dict[str, Any]] = deque(maxlen=MAX_LINES)
        self._space = space
        self._disk = disk
        self._ram_bytes = ram_bytes
        self._clock = clock
        self._restart_s: float | None = None
        self._since_s = time.monotonic()
        self._samples: deque[Sample] = deque(maxlen=MAX_SAMPLES)
        self._argv: Sequence[str] = ()
        self._env: dict[str, str] = {}
        self._child: Child | None = None
        self._going_down = asyncio.Event()
        self._life: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether the command runs; one that is frozen does."""
        return self._child is not None and self._child.running

    def inside(self, path: Path) -> Path:
        """Where to find from here what the command sees at `path`, like a file in `data`."""
        return self._space.path(path)

    def beside(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` next to the command: it sees the same files, and is no process of it.

        Start it in our session: whatever has another is taken for the command's.
        """
        return self._space.command(argv, Path.cwd())

    async def start(
        self, argv: Sequence[str], env: Mapping[str, str] | None = None, *, restart_s: float | None = None
    ) -> None:
        """Run a command in our working directory, with `env` on top of our environment; raises `ChildFailed`.

        Where it ends by itself it is started again after `restart_s`, as `Restart=always` of systemd does; None: never.
        """
        if not shutil.which(argv[0]):
            raise ChildFailed(f"cannot start {argv[0]}: there is no such program")
        self._argv, self._env, self._restart_s = tuple(argv), dict(env or {}), restart_s
        await self.up()

    async def terminate(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Ask all its processes to end, as systemd does: SIGTERM, SIGKILL after `timeout_s`. Gives its exit code."""
        if not self._argv:
            raise RuntimeError("nothing was started on this machine")
        await self._end(signal.SIGTERM, timeout_s)
        return self.exit_codes[-1]

    async def kill(self, down_s: float) -> None:
        """SIGKILL for all its processes, and a start with the same command `down_s` later."""
        await self.down()
        await asyncio.sleep(down_s)
        await self.up()

    async def power_cut(self, down_s: float) -> None:
        """As `kill`; and `run_dir` is empty afterwards. What was written to the disk is there, synced or not."""
        await self.down()
        await self.forget_run_dir()
        await asyncio.sleep(down_s)
        await self.up()

    async def down(self) -> None:
        """SIGKILL for all its processes; nothing runs until `up`."""
        await self._end(signal.SIGKILL, 0.0)

    async def up(self) -> None:
        """Start the command with which the machine was started."""
        if self._life and not self._life.done():
            raise RuntimeError("a machine runs one command: terminate it first")
        self._going_down.clear()
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._life = asyncio.create_task(self._live(started), name="command")
        await asyncio.wait((self._life, started), return_when=asyncio.FIRST_COMPLETED)
        if not started.done():
            failed, self._life = self._life, None
            await failed

    async def forget_run_dir(self) -> None:
        """Empty the RAM disk, while nothing runs."""
        await self._space.run("umount", str(self.run_dir))
        await mount_ram(self._space, self.run_dir, self._ram_bytes)

    async def fill_disk(self, leave_bytes: int = 0) -> None:
        """ENOSPC: something else has taken all room on the disk but `leave_bytes`."""
        await self._disk.fill(leave_bytes)

    async def free_disk(self) -> None:
        """Give back what `fill_disk` took."""
        self._disk.free()

    async def make_read_only(self) -> None:
        """EROFS, also for files that are open; raises `HostCannot`."""
        await self._disk.make_read_only()

    async def make_writable(self) -> None:
        """End `make_read_only`."""
        await self._disk.make_writable()

    async def freeze(self) -> None:
        """SIGSTOP: none of its processes gets any time, until `thaw`. Comes back when all have stopped."""
        self._space.send(signal.SIGSTOP)
        while not all(map(is_stopped, self._space.pids())):
            await asyncio.sleep(_POLL_S)
            self._space.send(signal.SIGSTOP)  # also to those that were forked meanwhile

    def thaw(self) -> None:
        """SIGCONT."""
        self._space.send(signal.SIGCONT)

    async def stop_and_continue(self, seconds: float) -> None:
        """A starved machine: nothing of the command runs for so long."""
        await self.freeze()
        try:
            await asyncio.sleep(seconds)
        finally:
            self.thaw()

    async def step_clock(self, seconds: float) -> None:
        """Set its wall clock forward, or back; raises `HostCannot` on a machine without a clock of its own."""
        if self._clock is None:
            raise HostCannot("this machine has the clock of the computer: make it with `host(…, clock=True)`")
        self._clock.step(seconds)

    def usage(self) -> Sequence[Sample]:
        """What the command used, each second that it ran, and now if it runs."""
        self._look()
        return tuple(self._samples)

    async def watch(self, every_s: float) -> None:
        """Take samples until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            self._look()

    async def close(self) -> None:
        """End whatever runs."""
        await self.down()
        await self._disk.close()

    def _look(self) -> None:
        if self.running:
            self._samples.append(sample(self._space.pids(), self._since_s))

    async def _live(self, started: asyncio.Future[None]) -> None:
        """Run the command, and run it again where that is wanted, until it goes down."""
        argv = self._space.command(self._argv, Path.cwd())
        env = (self._clock.env if self._clock else {}) | self._env
        while True:
            async with child(self._argv[0], argv, self.stderr, env=env, output=self.stdout) as self._child:
                self._child.on_line = self.output.append
                await self._space.joined(self._child.process)
                if not started.done():
                    started.set_result(None)
                self.exit_codes.append(await self._child.process.wait())
                if not self._going_down.is_set():
                    await self._kill_all()
            if self._restart_s is None or await self._goes_down_within(self._restart_s):
                return

    async def _goes_down_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._going_down.wait()
        return False

    async def _end(self, number: signal.Signals, timeout_s: float) -> None:
        """Signal all processes, kill who is left after `timeout_s`; nothing starts again."""
        self._going_down.set()
        self._space.send(number)
        self._space.send(signal.SIGCONT)
        await self._space.empty(timeout_s)
        await self._kill_all()
        if self._life:
            await self._life

    async def _kill_all(self) -> None:
        while not await self._space.empty(0.0):
            self._space.send(signal.SIGKILL)
            await asyncio.sleep(_POLL_S)


@asynccontextmanager
async def host(
    folder: Path,
    *,
    disk_bytes: int = 64 * MIB,
    ram_bytes: int = 16 * MIB,
    clock: bool = False,
    sample_s: float = 1.0,
) -> AsyncIterator[Machine]:
    """Make a machine in `folder`, until the context ends; then nothing of it runs. Raises `HostCannot`.

    In the folder are what the command printed, and the places of `data` and `run_dir`, which only the command and
    `Machine.inside` see. With `clock` the command gets a wall clock of its own.
    """
    folder, run_dir = _prepared(folder)
    own_clock = SteppedClock(folder) if clock else None
    if own_clock:
        await own_clock.build()
    async with namespace(folder, folder / "keeper.log") as space:
        disk = Disk(space, folder, disk_bytes)
        await disk.mount()
        await mount_ram(space, run_dir, ram_bytes)
        machine = Machine(folder, space, disk, ram_bytes, own_clock)
        watch = asyncio.create_task(machine.watch(sample_s), name="usage")
        try:
            yield machine
        finally:
            watch.cancel()
            await machine.close()


def _prepared(folder: Path) -> tuple[Path, Path]:
    """The folder by its real name, and that of the RAM disk in it."""
    run_dir = folder.resolve() / "run"
    run_dir.mkdir(parents=True, exist_ok=True)
    return run_dir.parent, run_dir
