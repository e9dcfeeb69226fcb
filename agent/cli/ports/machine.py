"""The serial ports of this machine, as the kernel (`/sys`) and udev (`/dev/serial`) tell of them.

Opens no port: that would reset what hangs on it. Not pyserial's list: it knows no driver, and cannot tell a UART that
the board has from one that the kernel only has room for.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from drivers.ports import lasting_names

_NO_UART = "0"
"""What `type` of an 8250 port says where there is no chip behind it (PORT_UNKNOWN)."""

_SERIAL_BASE = ("port", "ctrl")


class Adapter(msgspec.Struct, frozen=True, kw_only=True):
    """A USB adapter as it describes itself; "" where it says nothing. `usb` is vendor:product.

    `socket` is where it is plugged in, as the kernel counts. `unique`: no other adapter here says the same of itself.
    """

    usb: str
    socket: str
    vendor: str = ""
    product: str = ""
    serial: str = ""
    unique: bool = True

    @property
    def has_name(self) -> bool:
        """Can it be told from others of its kind by its serial number? Some makers give all of them the same."""
        return bool(self.serial) and self.unique


class SerialPort(msgspec.Struct, frozen=True, kw_only=True):
    """One port. `by_id`, `by_path` and `board` are names that stay; `console`: the system itself uses it."""

    device: str
    driver: str = ""
    adapter: Adapter | None = None
    by_id: str = ""
    by_path: str = ""
    board: str = ""
    console: bool = False
    there: bool = True

    @property
    def to_write(self) -> str:
        """The name for `agent.toml`, which means the same port after a restart and a replug.

        Adapters without a serial number of their own share one name in `by-id`: they are told by their socket.
        """
        named = self.by_id if self.adapter is None or self.adapter.has_name else self.by_path
        return named or self.by_id or self.by_path or self.board or self.device


def serial_ports(dev: Path = Path("/dev"), sys: Path = Path("/sys")) -> list[SerialPort]:
    """Every serial port that has hardware behind it, by device name."""
    consoles = _line(sys / "class/tty/console/active").split()
    entries = sorted((sys / "class/tty").glob("*"))
    return _with_twins([_port(entry, dev, consoles) for entry in entries if _is_there(entry, dev)])


def configured_port(path: str) -> SerialPort:
    """A port that the configuration names and the kernel does not list: a pty, or one that is not plugged in."""
    return SerialPort(device=path, there=Path(path).exists())


def _with_twins(ports: list[SerialPort]) -> list[SerialPort]:
    """With those marked whose serial number another adapter has too; the ports of one adapter share theirs."""
    sockets: dict[tuple[str, str], set[str]] = {}
    for adapter in (port.adapter for port in ports if port.adapter):
        sockets.setdefault((adapter.usb, adapter.serial), set()).add(adapter.socket)
    return [
        msgspec.structs.replace(port, adapter=msgspec.structs.replace(port.adapter, unique=False))
        if port.adapter and len(sockets[port.adapter.usb, port.adapter.serial]) > 1
        else port
        for port in ports
    ]


def _is_there(entry: Path, dev: Path) -> bool:
    is_uart = _line(entry / "type") != _NO_UART
    return (entry / "device").exists() and is_uart and (dev / entry.name).exists()


def _port(entry: Path, dev: Path, consoles: list[str]) -> SerialPort:
    device = dev / entry.name
    by_id, by_path = (lasting_names(str(device), [dev / "serial" / folder]) for folder in ("by-id", "by-path"))
    boards = (dev / "serial0", dev / "serial1")
    return SerialPort(
        device=str(device),
        driver=_driver((entry / "device").resolve()),
        adapter=_adapter(entry / "device"),
        by_id=(by_id or [""])[0],
        by_path=(by_path or [""])[0],
        board=next((str(name) for name in boards if name.exists() and name.resolve() == device.resolve()), ""),
        console=entry.name in consoles,
    )


def _driver(device: Path) -> str:
    """The driver of the port; since Linux 6.5 a UART has two of `serial-base` in between."""
    names = ((folder / "driver").resolve().name for folder in (device, *device.parents[:3]) if _has_driver(folder))
    return next((name for name in names if name not in _SERIAL_BASE), "")


def _has_driver(folder: Path) -> bool:
    return (folder / "driver").exists()


def _adapter(device: Path) -> Adapter | None:
    """What the USB device above the port says; None where there is none."""
    for folder in _upwards(device.resolve()):
        if (folder / "idVendor").exists():
            return Adapter(
                usb=f"{_line(folder / 'idVendor')}:{_line(folder / 'idProduct')}",
                socket=folder.name,
                vendor=_line(folder / "manufacturer"),
                product=_line(folder / "product"),
                serial=_line(folder / "serial"),
            )
    return None


def _upwards(folder: Path) -> Iterator[Path]:
    """The port, its interface, and the USB device; higher up there are hubs."""
    yield from (folder, *folder.parents[:2])


def _line(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
