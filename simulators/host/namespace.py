"""A mount namespace of our own, and who is in it. Made by unshare(1), entered by nsenter(1), both of util-linux.

As root it is a mount namespace only. Without root it is a user namespace too, in which we are root; a second one inside
gives the command the user that we are. Nothing of it outlives us: see `keeper`.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from simulators.host.errors import HostCannot
from simulators.host.proc import mount_namespace, pids_in
from simulators.processes import ChildFailed, child

_UNSHARE = ("unshare", "--mount", "--propagation", "private")
_AS_ROOT = ("--user", "--map-root-user")
_ADVICE = (
    "try it as root; or allow user namespaces: `sysctl kernel.unprivileged_userns_clone=1`, on Ubuntu "
    "`sysctl kernel.apparmor_restrict_unprivileged_userns=0`, in a container `docker run --privileged`"
)
_POLL_S = 0.02


class Namespace:
    """The mounts that the command sees, and its processes."""

    def __init__(self, keeper: int, *, user: bool) -> None:
        self._keeper = keeper
        self._user = user
        self._number = mount_namespace(keeper)

    def path(self, inside: Path) -> Path:
        """Where we find what is at `inside` there."""
        return Path(f"/proc/{self._keeper}/root{inside}")

    def pids(self) -> list[int]:
        """The processes of the command; our own helpers have our session."""
        return [pid for pid in pids_in(self._number) if pid != self._keeper and _session(pid) != os.getsid(0)]

    async def joined(self, process: asyncio.subprocess.Process) -> None:
        """Wait until a process that runs `command` is in here, or has ended."""
        while process.returncode is None and process.pid not in self.pids():  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(_POLL_S)

    def send(self, number: signal.Signals) -> None:
        """Send a signal to each process of the command."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    async def empty(self, timeout_s: float) -> bool:
        """Whether all processes of the command have ended within that time."""
        end_s = time.monotonic() + timeout_s
        while self.pids():
            if time.monotonic() >= end_s:
                return False
            await asyncio.sleep(_POLL_S)
        return True

    def command(self, argv: Sequence[str], cwd: Path) -> list[str]:
        """The command line that runs `argv` in here as the user that we are; its process is that of `argv`."""
        again = ["unshare", f"--map-user={os.getuid()}", f"--map-group={os.getgid()}", "--"] if self._user else []
        return [*self._enter("--mount"), *again, "env", f"--chdir={cwd}", *argv]

    def powerful(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` outside, with power over the processes in here."""
        return [*self._enter(), *argv] if self._user else list(argv)

    async def run(self, *argv: str) -> None:
        """Run a short program in here, as root; raises `HostCannot` with what it said."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*self._enter("--mount"), *argv, stdout=pipe, stderr=pipe)
        _, said = await process.communicate()
        if process.returncode:
            raise HostCannot(f"`{' '.join(argv)}`: {said.decode(errors='replace').strip()}: {_ADVICE}")

    def _enter(self, *options: str) -> list[str]:
        user = ("--user", "--preserve-credentials") if self._user else ()
        return ["nsenter", f"--target={self._keeper}", *user, *options, "--"]


def _session(pid: int) -> int | None:
    with suppress(OSError):
        return os.getsid(pid)
    return None


@asynccontextmanager
async def namespace(folder: Path, log: Path) -> AsyncIterator[Namespace]:
    """Keep a namespace until the context ends, or we do; who is in there then is killed. Raises `HostCannot`."""
    if sys.platform != "linux":
        raise HostCannot(f"a host needs Linux, this is {sys.platform}: try it in a virtual machine or a container")
    user = await _needs_user_namespace(folder)
    argv = [*_UNSHARE, *(_AS_ROOT if user else ()), "--", sys.executable, "-m", "simulators.host.keeper"]
    async with child("keeper", argv, log, stdin=asyncio.subprocess.PIPE) as keeper:
        try:
            await keeper.ready()
        except ChildFailed as err:
            raise HostCannot(f"cannot make a mount namespace ({err}): {_ADVICE}") from err
        try:
            yield Namespace(keeper.process.pid, user=user)
        finally:
            assert keeper.process.stdin is not None
            keeper.process.stdin.close()
            await keeper.process.wait()


async def _needs_user_namespace(folder: Path) -> bool:
    """False where mounts need no user namespace; raises `HostCannot` where they cannot be had at all."""
    said = b""
    for user in (False, True):
        argv = [*_UNSHARE, *(_AS_ROOT if user else ()), "--", "mount", "-t", "tmpfs", "oc-sim", str(folder)]
        try:
            probe = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.PIPE)
        except FileNotFoundError as err:
            raise HostCannot(f"{err.filename} is missing: `apt-get install util-linux`") from err
        _, said = await probe.communicate()
        if probe.returncode == 0:
            return user
    raise HostCannot(f"cannot make a mount namespace ({said.decode(errors='replace').strip()}): {_ADVICE}")
