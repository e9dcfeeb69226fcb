"""The way to the instrument: a serial port, or a TCP connection to a serial server. The one pyserial import.

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
from drivers.serial.options import SerialOptions

READ_BYTES = 4096
MAX_EMPTY_READS = 3
"""An unplugged port says at once and for ever that there is something to read, and gives nothing."""
KEEPALIVE_S = (10, 5, 3)
"""A connection that is only listened to notices a dead peer by keepalive: first after, then every, how often."""


class ByteSource(Protocol):
    """An open port, for one reader at a time."""

    async def read(self) -> bytes:
        """Wait for bytes; at least one comes. Raises `LinkDown` when the port is gone."""


def open_port(options: SerialOptions) -> AbstractAsyncContextManager[ByteSource]:
    """Open the port or connection of `options`; raises `LinkDown`."""
    return _open_serial(options) if options.port else _open_tcp(options)


@asynccontextmanager
async def _open_serial(options: SerialOptions) -> AsyncIterator[ByteSource]:
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
        for _ in range(MAX_EMPTY_READS):
            await self._readable()
            try:
                data = os.read(self._fd, READ_BYTES)
            except OSError as err:
                raise LinkDown(f"{self._name} is gone: {err.strerror}; is it unplugged?") from err
            if data:
                return data
        raise LinkDown(f"{self._name} is gone: it says that there are bytes and gives none; is it unplugged?")

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._fd, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._fd)


@asynccontextmanager
async def _open_tcp(options: SerialOptions) -> AsyncIterator[ByteSource]:
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
        yield _TcpPort(options.endpoint, reader)
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


class _TcpPort:
    def __init__(self, name: str, reader: asyncio.StreamReader) -> None:
        self._name = name
        self._reader = reader

    async def read(self) -> bytes:
        try:
            data = await self._reader.read(READ_BYTES)
        except OSError as err:
            raise LinkDown(f"{self._name} broke off: {err.strerror or err}") from err
        if not data:
            raise LinkDown(f"{self._name} closed the connection; some serial servers take one client only")
        return data


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
