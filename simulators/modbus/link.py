"""A Modbus link of a site: its devices behind one TCP port, one RTU over TCP port, or one pty."""

import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import overload

from drivers.modbus.options import ModbusOptions
from drivers.modbus.profile import ModbusProfile
from simulators.endpoints import CannotServe
from simulators.lines.line import Line, Members
from simulators.lines.pty_line import pty_line
from simulators.lines.speaking import Hearing
from simulators.lines.tcp_line import tcp_line
from simulators.lines.udp_line import udp_line
from simulators.modbus.registers import ProfileMemory
from simulators.modbus.units import AsciiUnits, RtuUnits, TcpUnits, Unit, Units
from simulators.site.reading import SiteDevice, SiteLink
from simulators.world import Served, World, forget

_SPEAKS: Mapping[str, Callable[[Units], Hearing]] = {
    "rtu": RtuUnits,
    "rtu-over-tcp": RtuUnits,
    "ascii": AsciiUnits,
    "tcp": TcpUnits,
    "udp": TcpUnits,
    "tls": TcpUnits,
}


@asynccontextmanager
async def serve_modbus(link: SiteLink, world: World) -> AsyncIterator[Line]:
    """Serve the devices of `link` at the address that its options name; raises `CannotServe`."""
    units = {device.unit or 0: modbus_unit(device, link.name, world) for device in link.devices}
    async with open_units(link.name, link.options, units, world) as line:
        yield line


def open_units(
    link: str,
    options: ModbusOptions,
    units: Units,
    world: World,
    *,
    tls: ssl.SSLContext | None = None,
    any_port: bool = False,
) -> AbstractAsyncContextManager[Line]:
    """Serve `units` at the address that `options` name until the context ends; raises `CannotServe`.

    With `any_port` it is a free one: the line says which. Transport "tls" needs the server's side of `tls`.
    """
    if options.transport == "tls" and tls is None:
        raise CannotServe(f'link "{link}": transport tls needs a certificate, which only a test in Python can give')
    members = Members(link, _Names(units), lambda: _SPEAKS[options.transport](units), world)
    tcp_port = 0 if any_port else options.tcp_port
    if options.is_serial:
        return pty_line(Path(options.port), members)
    if options.transport == "udp":
        return udp_line(options.host, tcp_port, members)
    return tcp_line(options.host, tcp_port, members, tls)


class _Names(Sequence[str]):
    """The names of the units that there are now: a test may put more on a line."""

    def __init__(self, units: Units) -> None:
        self._units = units

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        return [unit.name for unit in self._units.values()][index]

    def __len__(self) -> int:
        return len(self._units)


def modbus_unit(device: SiteDevice, link: str, world: World) -> Unit:
    """One whose values follow the device's own time; what it serves is recorded when its answer has left.

    What nobody records need not be worked out: see `ProfileMemory.read`.
    """
    assert isinstance(device.profile, ModbusProfile)
    served: list[Served] = []
    record = forget if world.record is forget else served.extend
    own = replace(world, record=record, elapsed_s=lambda: world.device_s(device.name, link))
    return Unit(device.name, ProfileMemory(device.name, device.profile, own), served)
