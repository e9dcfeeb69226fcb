"""A serial port is found again by the names that stay, and never taken for another adapter."""

from pathlib import Path

import pytest

from drivers.errors import LinkDown
from drivers.ports import PortFinder, lasting_names
from drivers.rs485 import Rs485, switch_to_rs485


class Udev:
    """`/dev` with adapters: each has a name by socket, and by serial number where it has one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folders = (root / "by-path", root / "by-id")
        for folder in self.folders:
            folder.mkdir()

    def plug(self, tty: str, socket: str, serial: str) -> str:
        port = self.root / tty
        port.touch()
        for folder, name in zip(self.folders, (socket, serial), strict=True):
            link = folder / name
            link.unlink(missing_ok=True)
            link.symlink_to(port)
        return str(port)

    def unplug(self, tty: str) -> None:
        port = self.root / tty
        for folder in self.folders:
            for link in list(folder.iterdir()):
                if link.readlink() == port:
                    link.unlink()
        port.unlink()

    def finder(self, port: str) -> PortFinder:
        return PortFinder(port, self.folders)


@pytest.fixture
def udev(tmp_path: Path) -> Udev:
    return Udev(tmp_path)


def opened(finder: PortFinder) -> str:
    finder.opened()
    return str(Path(finder.path()).resolve())


def test_an_adapter_is_found_under_its_new_number(udev: Udev) -> None:
    finder = udev.finder(udev.plug("ttyUSB0", "usb-1", "A"))
    opened(finder)
    udev.unplug("ttyUSB0")
    assert not Path(finder.path()).exists()
    assert udev.plug("ttyUSB1", "usb-1", "A") == opened(finder)


def test_an_adapter_in_another_socket_is_found_by_its_serial_number(udev: Udev) -> None:
    finder = udev.finder(udev.plug("ttyUSB0", "usb-1", "A"))
    opened(finder)
    udev.unplug("ttyUSB0")
    assert udev.plug("ttyUSB1", "usb-2", "A") == opened(finder)


def test_another_adapter_under_the_old_number_is_never_opened(udev: Udev) -> None:
    finder = udev.finder(udev.plug("ttyUSB0", "usb-1", "A"))
    opened(finder)
    udev.unplug("ttyUSB0")
    stranger = udev.plug("ttyUSB0", "usb-2", "B")
    assert str(Path(finder.path()).resolve()) != stranger


def test_two_adapters_that_swap_their_numbers_keep_their_links(udev: Udev) -> None:
    one = udev.finder(udev.plug("ttyUSB0", "usb-1", "same"))
    other = udev.finder(udev.plug("ttyUSB1", "usb-2", "same"))
    opened(one), opened(other)
    udev.unplug("ttyUSB0"), udev.unplug("ttyUSB1")
    second, first = udev.plug("ttyUSB0", "usb-2", "same"), udev.plug("ttyUSB1", "usb-1", "same")
    assert (opened(one), opened(other)) == (first, second)


def test_a_name_that_stays_is_used_as_it_is_written(udev: Udev) -> None:
    udev.plug("ttyUSB0", "usb-1", "A")
    finder = udev.finder(str(udev.folders[1] / "A"))
    opened(finder)
    udev.unplug("ttyUSB0")
    assert udev.plug("ttyUSB3", "usb-7", "A") == opened(finder)


def test_a_port_of_the_board_has_no_other_name(udev: Udev) -> None:
    port = udev.root / "ttyAMA0"
    port.touch()
    assert lasting_names(str(port), udev.folders) == []
    assert opened(udev.finder(str(port))) == str(port)


def test_rs485_settings_are_what_the_kernel_expects() -> None:
    """`struct serial_rs485`: flags, delay before, delay after, and five words of padding."""
    assert Rs485().packed().hex() == "03000000" + 7 * "00000000"
    packed = Rs485(rts_on_send=False, rts_after_send=True, delay_before_send_ms=1, delay_after_send_ms=2).packed()
    assert packed.hex() == "05000000" + "01000000" + "02000000" + 5 * "00000000"
    assert Rs485(hear_own=True).packed()[0] == 0x13


def test_a_port_that_cannot_switch_rs485_says_what_to_remove(tmp_path: Path) -> None:
    with (tmp_path / "port").open("w") as port, pytest.raises(LinkDown, match="remove `rs485`"):
        switch_to_rs485(port.fileno(), Rs485(), "/dev/ttyUSB0")
