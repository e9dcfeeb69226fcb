"""A TCP port: a Modbus TCP device, or a serial server that passes bytes on. Each connection has an ear of its own."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from simulators.endpoints import listen
from simulators.faults.answers import Part
from simulators.faults.fault import Fault
from simulators.lines.babbling import Babbling
from simulators.lines.delivery import Delivery, Sequencer
from simulators.lines.following import following
from simulators.lines.hearing import Ear
from simulators.lines.line import Line, Members
from simulators.lines.speaking import Answer, NotUnderstood

MAX_WAITING_BYTES: Final = 65_536
"""A client that does not read for so long is cut off."""
_NOTHING_PASSES: Final = ("blackhole", "unplug")


class TcpLine:
    """The port, and who is connected."""

    def __init__(self, members: Members, tls: ssl.SSLContext | None) -> None:
        self.address = ""
        self._tls = tls
        self.members = members
        self.delivery = Delivery(members.link, members.world)
        self.connections: set[Connection] = set()
        self._babbling = Babbling(self, f"{members.world.seed}/{members.link}")
        self._stack = AsyncExitStack()
        self._host, self._port = "", 0
        self._holder: socket.socket | None = None

    @property
    def connected(self) -> int:
        return len(self.connections)

    @property
    def deaf(self) -> str:
        """The fault that lets nothing pass now."""
        has = self.members.world.has
        return next((name for name in _NOTHING_PASSES if has(name, *self.members.names)), "")

    def say(self, answer: Answer) -> None:
        for connection in tuple(self.connections):
            self.delivery.say(answer, connection)
        if not self.connections:
            self.delivery.say(answer, _NOBODY)

    async def open(self, host: str, port: int) -> None:
        """Listen; raises `CannotServe`."""
        listening = await self._stack.enter_async_context(listen(lambda: Connection(self), host, port, self._tls))
        self._host, self._port, self.address = host, listening.port, str(listening)

    async def close(self) -> None:
        await self._babbling.close()
        self._let_go()
        await self._stack.aclose()
        self.end_connections(reset=False)

    def end_connections(self, *, reset: bool) -> None:
        for connection in tuple(self.connections):
            connection.end(reset=reset)

    async def begins(self, fault: Fault) -> None:
        match fault.name:
            case "refuse":
                await self._refuse()
            case "cut":
                self.end_connections(reset=False)
            case "reset":
                self.end_connections(reset=True)
            case "reboot" if len(self.members.devices) == 1:
                self.end_connections(reset=True)
                await self._refuse()
            case "half_open":
                for connection in self.connections:
                    connection.is_half_open = True
            case "babble":
                self._babbling.begin(fault)

    async def ends(self, fault: Fault) -> None:
        match fault.name:
            case "refuse" | "reboot":
                await self._accept_again()
            case "unplug" | "blackhole":
                self.end_connections(reset=True)
            case "babble":
                self._babbling.end(fault)

    async def _refuse(self) -> None:
        """Close the port, and hold it, so that nobody else gets it meanwhile."""
        if self._holder is None:
            await self._stack.aclose()
            self._holder = socket.socket()
            self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._holder.bind((self._host, self._port))

    async def _accept_again(self) -> None:
        has = self.members.world.has
        if self._holder and not (has("refuse", *self.members.names) or has("reboot", *self.members.names)):
            self._let_go()
            await self.open(self._host, self._port)

    def _let_go(self) -> None:
        if self._holder is not None:
            self._holder.close()
            self._holder = None


class Connection(asyncio.Protocol):
    """One client. While it does not take its answers, nothing more is read from it."""

    def __init__(self, line: TcpLine) -> None:
        self._line = line
        self.is_half_open = False

    @property
    def deaf(self) -> str:
        return "half_open" if self.is_half_open else self._line.deaf

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._sequencer = Sequencer(self._send)
        line = self._line
        self._ear = Ear(line.members.make_hearing(), lambda answer: line.delivery.say(answer, self))
        if line.connections and line.members.world.has("one_connection", *line.members.names):
            transport.close()
            return
        line.connections.add(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._ear.hear(data)
        except NotUnderstood:
            self._transport.abort()

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._ear.close()
        self._sequencer.close()
        self._line.connections.discard(self)

    def make_room(self, size: int) -> None:
        del size
        if self._transport.get_write_buffer_size() > MAX_WAITING_BYTES:
            self._transport.abort()

    def put(self, parts: Sequence[Part], *, in_order: bool = True) -> None:
        self._sequencer.put(parts, in_order=in_order)

    def end(self, *, reset: bool) -> None:
        """Close at once; `reset`: with an RST, as a device does that has just started."""
        if reset and (sock := self._transport.get_extra_info("socket")):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _send(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)


class _Nobody:
    """Nobody is connected: what is said is lost."""

    deaf = "unplug"

    def make_room(self, size: int) -> None:
        del size

    def put(self, parts: Sequence[Part], *, in_order: bool = True) -> None:
        del parts, in_order


_NOBODY: Final = _Nobody()


@asynccontextmanager
async def tcp_line(host: str, port: int, members: Members, tls: ssl.SSLContext | None = None) -> AsyncIterator[Line]:
    """Serve a TCP port (0: any free one), with `tls` encrypted, until the context ends; raises `CannotServe`."""
    line = TcpLine(members, tls)
    await line.open(host, port)
    try:
        async with following(members.world, members.names, line.begins, line.ends):
            yield line
    finally:
        await line.close()
