"""The disk of the command: a small file system in memory, that can be full or read-only while files are open.

The kernel refuses to make a file system read-only while somebody has a file open for writing; a worn-out card does not
ask. So a mount that is read-only is laid over the disk: whatever is opened, made, renamed or deleted from then on meets
EROFS from the kernel. For the files that are open for writing at that moment strace(1) makes the calls that change a
file fail with EROFS, as ext4 does after `errors=remount-ro`; it goes when the disk is writable again.
"""

import asyncio
import errno
import os
import shutil
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from simulators.host.errors import HostCannot
from simulators.host.namespace import Namespace
from simulators.host.proc import is_traced, written_files
from simulators.processes import child

_CALLS: Final = (
    "write,pwrite64,writev,pwritev,pwritev2,ftruncate,fallocate,fsync,fdatasync,sync_file_range,copy_file_range,"
    "fchmod,fchown,fsetxattr"
)
_ATTACH_S: Final = 10.0
_POLL_S: Final = 0.02


class Disk:
    """`data` is what the command sees of it; the rest of the file system is ours."""

    def __init__(self, namespace: Namespace, folder: Path, size_bytes: int) -> None:
        self.data = folder / "data"
        self._whole = folder / "disk"
        self._size_bytes = size_bytes
        self._namespace = namespace
        self._log = folder / "strace.log"
        self._injection = AsyncExitStack()
        self._read_only = False

    async def mount(self) -> None:
        """Make it, empty; raises `HostCannot`."""
        for folder in (self._whole, self.data):
            folder.mkdir(exist_ok=True)
        await mount_ram(self._namespace, self._whole, self._size_bytes)
        (self._namespace.path(self._whole) / "data").mkdir()
        await self._namespace.run("mount", "--bind", f"{self._whole}/data", str(self.data))

    async def fill(self, leave_bytes: int = 0) -> None:
        """Take all room but `leave_bytes`; once more where some has become free since."""
        await asyncio.to_thread(_fill, self._ballast, leave_bytes)

    def free(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)

    async def make_read_only(self) -> None:
        """Refuse every change, also to files that are open; raises `HostCannot`, and then has changed nothing."""
        if self._read_only:
            raise RuntimeError("the disk is read-only: make it writable first")
        await self._namespace.run("mount", "-o", "bind,ro", f"{self._whole}/data", str(self.data))
        self._read_only = True
        try:
            await self._refuse_open_files()
        except BaseException:
            await self.make_writable()
            raise

    async def make_writable(self) -> None:
        """As it was; a file that was opened for reading meanwhile stays so."""
        await self._injection.aclose()
        await self._namespace.run("mount", "-o", "remount,bind,rw", str(self.data))
        self._read_only = False

    async def close(self) -> None:
        """Let go of the command; the mounts go with the namespace."""
        await self._injection.aclose()

    @property
    def _ballast(self) -> Path:
        return self._namespace.path(self._whole) / "ballast"

    async def _refuse_open_files(self) -> None:
        writers = {pid: files for pid in self._namespace.pids() if (files := written_files(pid, self.data))}
        if not writers:
            return
        if not shutil.which("strace"):
            raise HostCannot("the command has files open for writing, and strace is missing: `apt-get install strace`")
        options = [f"--attach={pid}" for pid in writers]
        options += [f"--trace-path={path}" for path in sorted(set().union(*writers.values()))]
        argv = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "signal=none", "-e", f"trace={_CALLS}"]
        argv += ["-e", f"inject={_CALLS}:error=EROFS", *options]
        strace = await self._injection.enter_async_context(child("strace", self._namespace.powerful(argv), self._log))
        try:
            async with asyncio.timeout(_ATTACH_S):
                while not all(map(is_traced, writers)):
                    if not strace.running:
                        raise HostCannot(f"strace cannot refuse writes to open files: {strace.log_tail()}")
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as err:
            raise HostCannot(f"strace did not reach the command within {_ATTACH_S:g} s: {strace.log_tail()}") from err


async def mount_ram(namespace: Namespace, folder: Path, size_bytes: int) -> None:
    """Mount an empty file system in memory there, of so many bytes at the most."""
    await namespace.run("mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0755", "oc-sim", str(folder))


def _fill(ballast: Path, leave_bytes: int) -> None:
    """Write until nothing fits; others write at the same time."""
    file = os.open(ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        while True:
            room = os.fstatvfs(file)
            wanted = room.f_bavail * room.f_frsize - leave_bytes
            if wanted < room.f_frsize:
                return
            try:
                os.posix_fallocate(file, os.fstat(file).st_size, wanted)
            except OSError as err:
                if err.errno != errno.ENOSPC:
                    raise
    finally:
        os.close(file)
