"""A Modbus link of a site: its devices behind one TCP port, one RTU over TCP port, or one pty."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from drivers.modbus.options import ModbusOptions
from drivers.modbus.profile import ModbusProfile
from simulators.endpoints import CannotServe
from simulators.modbus.registers import ProfileMemory
from simulators.modbus.server import RtuUnits, TcpUnits, serve_pty, serve_tcp
from simulators.site import SiteDevice, SiteLink
from simulators.world import World


@asynccontextmanager
async def serve_modbus(link: SiteLink, world: World) -> AsyncIterator[str]:
    """Serve the devices of `link` at the address that its options name; raises `CannotServe`."""
    options: ModbusOptions = link.options
    units = {device.unit or 0: _memory(device, world) for device in link.devices}
    match options.transport:
        case "rtu":
            async with serve_pty(units, Path(options.port)) as path:
                yield str(path)
        case "tcp" | "rtu-over-tcp":
            responder = TcpUnits if options.transport == "tcp" else RtuUnits
            async with serve_tcp(responder, units, options.host, options.tcp_port) as listening:
                yield str(listening)
        case other:
            raise CannotServe(f'link "{link.name}": transport {other} has no simulator yet')


def _memory(device: SiteDevice, world: World) -> ProfileMemory:
    assert isinstance(device.profile, ModbusProfile)
    return ProfileMemory(device.name, device.profile, world)
