"""Simulated Modbus units on a line of a test's own: a pty in a folder, or a free port."""

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from simulators.lines.line import Line, Members
from simulators.lines.pty_line import pty_line
from simulators.lines.tcp_line import tcp_line
from simulators.modbus.units import AsciiUnits, RtuUnits, TcpUnits, Units
from simulators.world import World

SPEAKS = {"tcp": TcpUnits, "rtu-over-tcp": RtuUnits, "rtu": RtuUnits, "ascii": AsciiUnits}
SERIAL = ("rtu", "ascii")


def units_on(transport: str, units: Units, folder: Path) -> AbstractAsyncContextManager[Line]:
    """Serve `units` until the context ends; the line's `address` says where."""
    names = [unit.name for unit in units.values()]
    members = Members("bus", names, lambda: SPEAKS[transport](units), World())
    return pty_line(folder / "bus", members) if transport in SERIAL else tcp_line("127.0.0.1", 0, members)


def port_of(line: Line) -> int:
    """The TCP port at which it listens."""
    return int(line.address.rpartition(":")[2])
