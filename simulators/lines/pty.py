"""A serial port that does not exist: a pty in raw mode, with a symlink where the configuration wants the port.

The simulator keeps the device's side open too, so that nothing fails between two openings of a reader. A symlink
that points to a pty is stale and is replaced; a device file, or a link to a real device, never is.
"""

import fcntl
import os
import struct
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from simulators.endpoints import CannotServe

READ_BYTES = 4_096
_PTY_FOLDER = Path("/dev/pts")


@dataclass
class Pty:
    """The simulator's end (`fd`) and the device's end (`device_fd`) of one line."""

    fd: int
    device_fd: int
    name: str
    lost_bytes: int = 0

    def read(self) -> bytes:
        """What the reader of the port has sent; empty where there is nothing."""
        try:
            return os.read(self.fd, READ_BYTES)
        except BlockingIOError:
            return b""

    def write(self, data: bytes) -> None:
        """Put bytes on the line. A wire has no memory: what does not fit is lost, and counted."""
        try:
            written = os.write(self.fd, data)
        except BlockingIOError:
            written = 0
        self.lost_bytes += len(data) - written

    def unread_bytes(self) -> int:
        """How many bytes wait for a reader."""
        answer = fcntl.ioctl(self.device_fd, termios.FIONREAD, struct.pack("i", 0))
        return int(struct.unpack("i", answer)[0])

    def forget_unread(self) -> None:
        """Throw away what nobody has read: a real line would not have kept it."""
        self.lost_bytes += self.unread_bytes()
        termios.tcflush(self.device_fd, termios.TCIFLUSH)


@contextmanager
def open_pty(path: Path, not_as: str = "") -> Iterator[Pty]:
    """Open a pty, not named `not_as`, and point `path` to it until the context ends; raises `CannotServe`."""
    _check_free(path)
    fd, device_fd = _other_than(not_as)
    try:
        tty.setraw(device_fd)
        os.set_blocking(fd, False)
        target = os.ttyname(device_fd)
        _point(path, target)
        try:
            yield Pty(fd, device_fd, target)
        finally:
            if path.is_symlink() and str(path.readlink()) == target:
                path.unlink()
    finally:
        os.close(device_fd)
        os.close(fd)


def _other_than(name: str) -> tuple[int, int]:
    """The kernel gives a name that has become free at once to the next one."""
    one = os.openpty()
    if os.ttyname(one[1]) != name:
        return one
    another = os.openpty()
    for fd in one:
        os.close(fd)
    return another


def _check_free(path: Path) -> None:
    if path.is_symlink():
        if _PTY_FOLDER not in path.readlink().parents:
            raise CannotServe(f"{path} points to {path.readlink()}, which is not a pty: write another `port`")
    elif path.exists():
        raise CannotServe(f"{path} is a real file or device: write a `port` that does not exist yet")
    elif not path.is_absolute():
        raise CannotServe(f"{path} is not an absolute path: write `port` from the root, like /tmp/site/bus-1")


def _point(path: Path, target: str) -> None:
    """Make the symlink in one step, so that a reader never finds it missing while it is replaced."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(target)
        temporary.replace(path)
    except OSError as err:
        raise CannotServe(f"cannot make {path}: {err.strerror}. Write a `port` in a folder you may write to") from err
