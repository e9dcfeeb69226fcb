"""Shipped profiles and a real pty for the tests of the serial kind."""

import fcntl
import os
import struct
import termios
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from serial_profiles import shipped

from drivers.serial.profile import SerialProfile


@pytest.fixture(scope="session")
def nmea() -> SerialProfile:
    return shipped("nmea/weather-station")


@pytest.fixture(scope="session")
def pms() -> SerialProfile:
    return shipped("plantower/pms5003")


class Line:
    """A pty: `port` is where the instrument is plugged in, `send` is what it says."""

    def __init__(self, port: Path) -> None:
        self.port = port
        self._fd, self._device_fd = os.openpty()
        tty.setraw(self._device_fd)
        port.symlink_to(os.ttyname(self._device_fd))

    def send(self, data: bytes) -> None:
        assert os.write(self._fd, data) == len(data)

    def unread_bytes(self) -> int:
        """How much of what was said has not been read yet."""
        answer = fcntl.ioctl(self._device_fd, termios.FIONREAD, struct.pack("i", 0))
        return int(struct.unpack("i", answer)[0])

    def unplug(self) -> None:
        """What a pulled USB adapter looks like: the device is gone while it is open."""
        self.port.unlink(missing_ok=True)
        for fd in (self._fd, self._device_fd):
            os.close(fd)
        self._fd = self._device_fd = -1

    def close(self) -> None:
        if self._fd >= 0:
            self.unplug()


@pytest.fixture
def plug(tmp_path: Path) -> Iterator[Callable[[], Line]]:
    """Plug in an instrument, always at the same port."""
    lines: list[Line] = []

    def plugged() -> Line:
        lines.append(Line(tmp_path / "usb-instrument"))
        return lines[-1]

    yield plugged
    for one in lines:
        one.close()


@pytest.fixture
def line(plug: Callable[[], Line]) -> Line:
    return plug()
