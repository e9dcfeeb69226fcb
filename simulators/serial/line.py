"""The simulators' end of a serial line: a pty, or the clients of a serial server.

A line that nobody reads keeps nothing. With faults, messages are damaged on their way, and the cable is pulled.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from random import Random
from typing import Protocol

from drivers.serial_line import SerialLine
from simulators.endpoints import listen
from simulators.faults import Faults
from simulators.pty import Pty, open_pty

MAX_WAITING_BYTES = 65_536
"""A TCP client that does not read for so long is cut off."""
UNPLUGGED_S = (0.5, 3.0)

OnData = Callable[[bytes], None]


class Line(Protocol):
    """An open line."""

    address: str

    def send(self, data: bytes) -> None:
        """Put bytes on the wire; they are lost where nobody is there."""


@asynccontextmanager
async def open_line(options: SerialLine, on_data: OnData, faults: Faults, random: Random) -> AsyncIterator[Line]:
    """Serve the address of `options` until the context ends; raises `CannotServe`."""
    async with asyncio.TaskGroup() as tasks:
        opened = (
            _pty_line(options, on_data, faults, random) if options.port else _tcp_line(options, on_data, faults, random)
        )
        async with opened as line:
            disturbed = DisturbedLine(line, faults, random, tasks)
            try:
                yield disturbed
            finally:
                disturbed.stop()


class DisturbedLine:
    """A line on which messages meet faults, in the order in which they were sent."""

    def __init__(self, line: Line, faults: Faults, random: Random, tasks: asyncio.TaskGroup) -> None:
        self.address = line.address
        self._line = line
        self._faults = faults
        self._random = random
        self._waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        self._held_back = 0
        self._sender = tasks.create_task(self._send_for_ever(), name="simulated line")

    def send(self, data: bytes) -> None:
        parts = self._faults.of_a_message(data, self._random)
        if not self._held_back and all(wait_s == 0.0 for wait_s, _ in parts):
            for _, part in parts:
                self._line.send(part)
            return
        for one in parts:
            self._held_back += 1
            self._waiting.put_nowait(one)

    def stop(self) -> None:
        """End what waits."""
        self._sender.cancel()

    async def _send_for_ever(self) -> None:
        while True:
            wait_s, data = await self._waiting.get()
            await asyncio.sleep(wait_s)
            self._line.send(data)
            self._held_back -= 1


def to_pty(pty: Pty, data: bytes) -> None:
    """Send; where the last two bursts were not read nobody is there, and a line keeps nothing."""
    if pty.unread_bytes() >= 2 * len(data):
        pty.forget_unread()
    pty.write(data)


class _PtyLine:
    def __init__(self, port: Path, on_data: OnData) -> None:
        self.address = str(port)
        self._on_data = on_data
        self._pty: Pty | None = None

    def send(self, data: bytes) -> None:
        if self._pty is not None:
            to_pty(self._pty, data)

    @asynccontextmanager
    async def plugged_in(self) -> AsyncIterator[None]:
        """There is a pty at the address until the context ends."""
        loop = asyncio.get_running_loop()
        with open_pty(Path(self.address)) as pty:
            self._pty = pty
            loop.add_reader(pty.fd, lambda: self._on_data(pty.read()))
            try:
                yield
            finally:
                self._pty = None
                loop.remove_reader(pty.fd)


@asynccontextmanager
async def _pty_line(options: SerialLine, on_data: OnData, faults: Faults, random: Random) -> AsyncIterator[Line]:
    line = _PtyLine(Path(options.port), on_data)
    async with _unplugging(line.plugged_in, faults, random):
        yield line


@asynccontextmanager
async def _unplugging(
    plugged_in: Callable[[], AbstractAsyncContextManager[None]], faults: Faults, random: Random
) -> AsyncIterator[None]:
    """Plug in; then pull the cable and plug it in again, as often as the faults say, until the context ends."""
    first = asyncio.Event()

    async def plug() -> None:
        while True:
            async with plugged_in():
                first.set()
                wait_s = faults.until_unplugged_s(random)
                await (asyncio.Event().wait() if wait_s is None else asyncio.sleep(wait_s))
            await asyncio.sleep(random.uniform(*UNPLUGGED_S))

    plugging = asyncio.create_task(plug(), name="simulated plug")
    ready = asyncio.create_task(first.wait())
    try:
        await asyncio.wait((plugging, ready), return_when=asyncio.FIRST_COMPLETED)
        if plugging.done():
            plugging.result()
        yield
    finally:
        ready.cancel()
        plugging.cancel()
        with suppress(asyncio.CancelledError):
            await plugging


class _TcpLine:
    """Everybody who is connected to a serial server."""

    def __init__(self, on_data: OnData) -> None:
        self.address = ""
        self._on_data = on_data
        self._open: set[asyncio.Transport] = set()

    def connection(self) -> asyncio.Protocol:
        return _Client(self._open, self._on_data)

    def send(self, data: bytes) -> None:
        for transport in tuple(self._open):
            if transport.get_write_buffer_size() > MAX_WAITING_BYTES:
                transport.abort()
            else:
                transport.write(data)

    def close(self) -> None:
        for transport in tuple(self._open):
            transport.abort()


@asynccontextmanager
async def _tcp_line(options: SerialLine, on_data: OnData, faults: Faults, random: Random) -> AsyncIterator[Line]:
    line = _TcpLine(on_data)

    @asynccontextmanager
    async def connected() -> AsyncIterator[None]:
        try:
            yield
        finally:
            line.close()

    async with listen(line.connection, options.host, options.tcp_port or 0) as listening:
        line.address = str(listening)
        async with _unplugging(connected, faults, random):
            yield line


class _Client(asyncio.Protocol):
    def __init__(self, open_now: set[asyncio.Transport], on_data: OnData) -> None:
        self._open_now = open_now
        self._on_data = on_data

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open_now.add(transport)

    def data_received(self, data: bytes) -> None:
        self._on_data(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._open_now.discard(self._transport)
