"""A serial link of a site: one instrument that sends its frames each second to a pty or to TCP clients."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from drivers.registry import driver_specs
from drivers.serial.options import SerialOptions, SerialProfile
from simulators.endpoints import listen
from simulators.pty import Pty, open_pty
from simulators.serial.stream import Stream, capture_file
from simulators.site import SiteLink
from simulators.world import Served, World

PERIOD_S = 1.0
MAX_WAITING_BYTES = 65_536
"""A TCP client that does not read for so long is cut off."""


@asynccontextmanager
async def serve_serial(link: SiteLink, world: World) -> AsyncIterator[str]:
    """Send the frames of the link's device at the address that its options name; raises `CannotServe`."""
    options: SerialOptions = link.options
    device = link.devices[0]
    capture = capture_file(device.profile_file)
    assert isinstance(device.profile, SerialProfile)
    stream = Stream(device.name, device.profile, driver_specs()[link.kind], capture, world.seed)
    if options.port:
        with open_pty(Path(options.port)) as pty:
            async with _sending(device.name, stream, world, lambda data: to_pty(pty, data)):
                yield options.port
    else:
        clients = _Clients()
        async with listen(clients.connection, options.host, options.tcp_port or 0) as listening:
            async with _sending(device.name, stream, world, clients.send):
                yield str(listening)
            clients.close()


@asynccontextmanager
async def _sending(device: str, stream: Stream, world: World, send: Callable[[bytes], None]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(_send_for_ever(device, stream, world, send), name=f"simulated {device}")
        try:
            yield
        finally:
            task.cancel()


async def _send_for_ever(device: str, stream: Stream, world: World, send: Callable[[bytes], None]) -> None:
    """One burst of frames each second, on the second of the simulation."""
    while True:
        data = b""
        time_ms = world.wall_ms()
        for frame, readings in stream.frames(world.elapsed_s()):
            data += frame
            world.record(Served(device, r.point, r.value, time_ms) for r in readings if r.value is not None)
        send(data)
        await asyncio.sleep(PERIOD_S - world.elapsed_s() % PERIOD_S)


def to_pty(pty: Pty, data: bytes) -> None:
    """Send; where the last two bursts were not read nobody is there, and a line keeps nothing."""
    if pty.unread_bytes() >= 2 * len(data):
        pty.forget_unread()
    pty.read()
    pty.write(data)


class _Clients:
    """Everybody who is connected to a serial server."""

    def __init__(self) -> None:
        self._open: set[asyncio.Transport] = set()

    def connection(self) -> asyncio.Protocol:
        return _Client(self._open)

    def send(self, data: bytes) -> None:
        for transport in tuple(self._open):
            if transport.get_write_buffer_size() > MAX_WAITING_BYTES:
                transport.abort()
            else:
                transport.write(data)

    def close(self) -> None:
        for transport in tuple(self._open):
            transport.abort()


class _Client(asyncio.Protocol):
    def __init__(self, open_now: set[asyncio.Transport]) -> None:
        self._open_now = open_now

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open_now.add(transport)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._open_now.discard(self._transport)
