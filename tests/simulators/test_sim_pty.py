"""A simulated serial port takes only the place of another simulated one."""

import os
import select
import termios
from pathlib import Path
from typing import Any

import pytest

from simulators.endpoints import CannotServe
from simulators.lines.pty import open_pty


def _read(fd: int) -> bytes:
    """What comes within a second."""
    return os.read(fd, 1_000) if select.select([fd], [], [], 1.0)[0] else b""


def test_a_stale_symlink_to_a_pty_is_replaced_and_ours_is_removed(tmp_path: Path) -> None:
    port = tmp_path / "bus-1"
    port.symlink_to("/dev/pts/99999")
    with open_pty(port):
        assert port.exists()
        assert str(port.readlink()) != "/dev/pts/99999"
    assert not port.is_symlink()


def test_a_link_that_another_run_took_over_is_left_alone(tmp_path: Path) -> None:
    port = tmp_path / "bus-1"
    with open_pty(port):
        port.unlink()
        port.symlink_to("/dev/pts/99999")
    assert port.is_symlink()


def test_real_files_devices_and_links_to_them_are_never_replaced(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    link = tmp_path / "usb-serial"
    link.symlink_to("/dev/null")
    for port in (file, link, Path("/dev/null"), Path("relative/port")):
        with pytest.raises(CannotServe, match=str(port)), open_pty(port):
            pass
    assert file.read_text() == "mine"
    assert str(link.readlink()) == "/dev/null"


def test_a_missing_folder_is_made_and_one_that_cannot_be_is_named(tmp_path: Path) -> None:
    with open_pty(tmp_path / "a" / "b" / "bus"):
        assert (tmp_path / "a" / "b" / "bus").exists()
    with pytest.raises(CannotServe, match="/proc/bus-1"), open_pty(Path("/proc/bus-1")):
        pass


def test_a_line_passes_every_byte_as_it_is_both_ways_over_several_openings(tmp_path: Path) -> None:
    every = bytes(range(256))
    with open_pty(tmp_path / "bus") as pty:
        for _ in range(2):
            fd = os.open(tmp_path / "bus", os.O_RDWR | os.O_NOCTTY)
            pty.write(every)
            assert _read(fd) == every
            os.write(fd, every)
            assert _read(pty.fd) == every
            assert pty.read() == b""
            os.close(fd)


def test_what_nobody_reads_is_forgotten_and_counted(tmp_path: Path, wait_for: Any) -> None:
    with open_pty(tmp_path / "bus") as pty:
        pty.write(b"old" * 100)
        wait_for(lambda: pty.unread_bytes() == 300)
        pty.forget_unread()
        assert (pty.unread_bytes(), pty.lost_bytes) == (0, 300)
        pty.write(b"new")
        fd = os.open(tmp_path / "bus", os.O_RDWR | os.O_NOCTTY)
        assert _read(fd) == b"new"
        os.close(fd)


def test_a_full_line_loses_bytes_and_does_not_block(tmp_path: Path) -> None:
    with open_pty(tmp_path / "bus") as pty:
        for _ in range(100):
            pty.write(bytes(1_000))
        assert pty.lost_bytes > 0
        assert termios.tcgetattr(pty.device_fd)[3] & termios.ECHO == 0
