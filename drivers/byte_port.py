"""The way to an instrument: a serial port, or a TCP connection to a serial server. The one pyserial import.

Promises: a port is ours alone; a port that vanished is `LinkDown`, never a busy loop. Must not know: frames.
"""

import asyncio
import os
import socket
import termios
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Protocol

import serial

from drivers.errors import LinkDown
from drivers.ports import port_finder
from drivers.serial_line import SerialLine
from drivers.tap import Tap, current_tap

READ_BYTES = 4096
MAX_EMPTY_READS = 3
"""An unplugged port says at once and for ever that there is something to read, and gives nothing."""
KEEPALIVE_S = (10, 5, 3)
"""A connection that is only listened to notices a dead peer by keepalive: first after, then every, how often."""


UNANSWERED_MAX = 12
"""A connection on which so many writes in a row brought not a byte may be dead without anybody being told."""
WRITE_TIMEOUT_S = 5.0
"""A port that takes nothing for so long is gone: the longest that is ever written takes 0.2 s at 2400 baud."""


class BytePort(Protocol):
    """An open port, for one user at a time."""

    async def read(self) -> bytes:
        """Wait for bytes; at least one comes. Raises `LinkDown` when the port is gone."""

    async def write(self, data: bytes) -> None:
        """Send all of `data`. Raises `LinkDown` when the port is gone or takes nothing."""


async def read_within(port: BytePort, seconds: float) -> bytes:
    """What comes within so many seconds, or waits already (0); b"" where nothing does. Raises `LinkDown`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(max(seconds, 0.0)):
            return await port.read()
    return b""


def open_port(options: SerialLine) -> AbstractAsyncContextManager[BytePort]:
    """Open the port or connection of `options`; raises `LinkDown`."""
    opening = _open_serial(options) if options.port else _open_tcp(options)
    tap = current_tap()
    return opening if tap is None else _tapped(opening, tap)


@asynccontextmanager
async def _tapped(opening: AbstractAsyncContextManager[BytePort], tap: Tap) -> AsyncIterator[BytePort]:
    async with opening as port:
        yield _TappedPort(port, tap)


class _TappedPort:
    def __init__(self, port: BytePort, tap: Tap) -> None:
        self._port = port
        self._tap = tap

    async def read(self) -> bytes:
        data = await self._port.read()
        self._tap("heard", data)
        return data

    async def write(self, data: bytes) -> None:
        self._tap("sent", data)
        await self._port.write(data)


@asynccontextmanager
async def _open_serial(options: SerialLine) -> AsyncIterator[BytePort]:
    finder = port_finder(options.port)
    try:
        port = serial.Serial(
            finder.path(),
            baudrate=options.baud,
            bytesize=options.data_bits,
            parity=options.parity,
            stopbits=options.stop_bits,
            timeout=0,
            exclusive=True,
        )
    except (OSError, ValueError, termios.error) as err:
        raise LinkDown(f"{options.port} cannot be opened: {err}; {_advice(err)}") from err
    try:
        finder.opened()
        yield _SerialPort(options.port, port.fileno())
    finally:
        port.close()


class _SerialPort:
    def __init__(self, name: str, fd: int) -> None:
        self._name = name
        self._fd = fd

    async def read(self) -> bytes:
        if data := self._read():
            return data
        for _ in range(MAX_EMPTY_READS):
            await self._readable()
            if data := self._read():
                return data
        raise LinkDown(f"{self._name} is gone: it says that there are bytes and gives none; is it unplugged?")

    def _read(self) -> bytes:
        try:
            return os.read(self._fd, READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as err:
            raise LinkDown(f"{self._name} is gone: {err.strerror}; is it unplugged?") from err

    async def write(self, data: bytes) -> None:
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                while data:
                    data = data[self._write(data) :]
                    if data:
                        await self._writable()
        except TimeoutError as err:
            raise LinkDown(f"{self._name} takes no bytes; is something holding the line?") from err

    def _write(self, data: bytes) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError as err:
            raise LinkDown(f"{self._name} is gone: {err.strerror}; is it unplugged?") from err

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._fd, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._fd)

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_writer(self._fd, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(self._fd)


@asynccontextmanager
async def _open_tcp(options: SerialLine) -> AsyncIterator[BytePort]:
    try:
        async with asyncio.timeout(options.connect_timeout_s):
            reader, writer = await asyncio.open_connection(options.host, options.tcp_port)
    except TimeoutError as err:
        what = f"no connection within {options.connect_timeout_s:g} s"
        raise LinkDown(f"{options.endpoint}: {what}; check the address and the network") from err
    except OSError as err:
        raise LinkDown(f"{options.endpoint}: {err.strerror or err}; check the address and the serial server") from err
    try:
        _keep_alive(writer.get_extra_info("socket"))
        yield _TcpPort(options.endpoint, reader, writer)
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


class _TcpPort:
    def __init__(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._name = name
        self._reader = reader
        self._writer = writer
        self._unanswered = 0

    async def read(self) -> bytes:
        try:
            data = await self._reader.read(READ_BYTES)
        except OSError as err:
            raise LinkDown(f"{self._name} broke off: {err.strerror or err}") from err
        self._unanswered = 0
        if not data:
            raise LinkDown(f"{self._name} closed the connection; some serial servers take one client only")
        return data

    async def write(self, data: bytes) -> None:
        self._unanswered += 1
        if self._unanswered > UNANSWERED_MAX:
            raise LinkDown(f"{self._name} has not said a byte to {UNANSWERED_MAX} requests: it is connected anew")
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                self._writer.write(data)
                await self._writer.drain()
        except TimeoutError as err:
            raise LinkDown(f"{self._name} takes no bytes; is the network cut?") from err
        except OSError as err:
            raise LinkDown(f"{self._name} broke off: {err.strerror or err}") from err


def _keep_alive(sock: socket.socket) -> None:
    idle_s, every_s, count = KEEPALIVE_S
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, every_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count)


def _advice(err: Exception) -> str:
    number = getattr(err, "errno", None)
    if number in (2, 19):
        return "is it plugged in? /dev/serial/by-id has names that stay"
    if number == 13:
        return "the user needs the right to it, usually the group dialout"
    if number in (11, 16):
        return "another process holds it"
    return "check `port` and the line settings"
