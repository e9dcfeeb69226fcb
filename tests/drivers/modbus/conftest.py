"""A Modbus slave of our own, with its own checksum, and the ways to reach it."""

import asyncio
import contextlib
import math
import os
import tty
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import Any

import pytest

from drivers.modbus.options import ModbusOptions
from drivers.modbus.profile import ModbusPoint, ModbusProfile

Reply = list[tuple[float, bytes]]


def seal(frame: bytes) -> bytes:
    """Append the checksum, worked out bit by bit from the polynomial x16 + x15 + x2 + 1."""
    crc = 0xFFFF
    for byte in frame:
        for bit in range(8):
            crc = (crc >> 1) ^ (0xA001 * ((crc ^ byte >> bit) & 1))
    return frame + bytes((crc & 0xFF, crc >> 8))


class Slave:
    """Every register says where it stands, so a value at the wrong place is seen.

    `script(n, request, reply)` may change what is sent for the n-th request: (delay in s, bytes) pairs. What is not
    sent `latest_s` after the n-th of `asked_at` is never sent: a device is not slower because this machine is busy.
    """

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self.refused: set[int] = set()
        self.silent: set[int] = set()
        self.code = 2
        self.dead_units: set[int] = set()
        self.script: Callable[[int, bytes, bytes], Reply] | None = None
        self.fifo = True
        self.latest_s = math.inf
        self.asked_at: list[float] = []
        self._free_at = 0.0

    @staticmethod
    def word(unit: int, function: int, address: int) -> int:
        return (unit * 7_919 + function * 1_009 + address * 31) & 0xFFFF

    def pdu(self, unit: int, pdu: bytes) -> bytes:
        if pdu[0] == 0x2B:
            return b"\x2b\x0e\x01\x81\0\0\x02\x00\x04Acme\x01\x02X1"
        function, address, count = pdu[0], int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
        places = range(address, address + count)
        if self.refused & set(places):
            return bytes((function | 0x80, self.code))
        words = [self.word(unit, function, place) for place in places]
        if function in (1, 2):
            data = bytearray((count + 7) // 8)
            for index, word in enumerate(words):
                data[index // 8] |= (word & 1) << index % 8
        else:
            data = bytearray(b"".join(word.to_bytes(2, "big") for word in words))
        return bytes((function, len(data))) + bytes(data)

    def rtu(self, frame: bytes) -> Reply:
        if seal(frame[:-2]) != frame or frame[0] in self.dead_units or self._is_silent(frame[2:6]):
            return []
        return self._scripted(frame, seal(frame[:1] + self.pdu(frame[0], frame[1:-2])))

    def mbap(self, frame: bytes) -> Reply:
        if frame[6] in self.dead_units or self._is_silent(frame[8:12]):
            return []
        answer = frame[6:7] + self.pdu(frame[6], frame[7:])
        return self._scripted(frame, frame[:4] + len(answer).to_bytes(2, "big") + answer)

    def ascii(self, frame: bytes) -> Reply:
        body = bytes.fromhex(frame[1:-2].decode())
        if sum(body) & 0xFF or body[0] in self.dead_units:
            return []
        answer = body[:1] + self.pdu(body[0], body[1:-1])
        answer += bytes((-sum(answer) & 0xFF,))
        return self._scripted(seal(body[:-1]), b":" + answer.hex().upper().encode() + b"\r\n")

    def send_in_time(self, number: int, data: bytes, send: Callable[[bytes], None]) -> None:
        """Send a part of the answer to the request of that number, where it is not too late."""
        if self.latest_s == math.inf or asyncio.get_running_loop().time() - self.asked_at[number] <= self.latest_s:
            send(data)

    def _is_silent(self, place: bytes) -> bool:
        """Some devices never answer a bad address."""
        first, count = int.from_bytes(place[:2], "big"), int.from_bytes(place[2:4], "big")
        return bool(self.silent & set(range(first, first + count)))

    def _scripted(self, request: bytes, reply: bytes) -> Reply:
        self.requests.append(request)
        parts = self.script(len(self.requests) - 1, request, reply) if self.script else [(0.0, reply)]
        if not self.fifo:
            return parts
        now = asyncio.get_running_loop().time()
        start = max(0.0, self._free_at - now)
        parts = [(start + delay, data) for delay, data in parts]
        self._free_at = now + max((delay for delay, _ in parts), default=start)
        return parts


def feed(slave: Slave, kind: str, buffer: bytearray, send: Callable[[bytes], None]) -> None:
    """Take whole requests out of `buffer` and send their replies when they are due."""
    loop = asyncio.get_running_loop()
    while size := request_size(kind, buffer):
        frame = bytes(buffer[:size])
        del buffer[:size]
        answers = {"rtu": slave.rtu, "rtu-over-tcp": slave.rtu, "ascii": slave.ascii}.get(kind, slave.mbap)
        for delay, data in answers(frame):
            send_one = partial(slave.send_in_time, len(slave.requests) - 1, data, send)
            loop.call_later(delay, send_one) if delay > 0 else send_one()


def request_size(kind: str, buffer: bytearray) -> int:
    """The bytes of the whole request at the start of `buffer`, 0 where there is none yet."""
    if kind == "ascii":
        return buffer.find(b"\r\n") + 2 if b"\r\n" in buffer else 0
    if len(buffer) < 7:
        return 0
    rtu = 7 if buffer[1:2] == b"\x2b" else 8
    size = rtu if kind.startswith("rtu") else 6 + buffer[5]
    return size if len(buffer) >= size else 0


class Pty:
    """The device's side of a pseudo terminal."""

    def __init__(self, slave: Slave, kind: str) -> None:
        self._slave = slave
        self._kind = kind
        self._buffer = bytearray()
        self.master, self._other = os.openpty()
        tty.setraw(self._other)
        self.path = os.ttyname(self._other)
        os.set_blocking(self.master, False)
        asyncio.get_running_loop().add_reader(self.master, self._readable)

    def _readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._buffer += os.read(self.master, 1024)
            feed(self._slave, self._kind, self._buffer, self.send)

    def send(self, data: bytes) -> None:
        if self.master >= 0:
            os.write(self.master, data)

    def vanish(self) -> None:
        if self.master >= 0:
            asyncio.get_running_loop().remove_reader(self.master)
            os.close(self.master)
            os.close(self._other)
            self.master = -1


class Talk(asyncio.Protocol):
    """One TCP connection to the device."""

    def __init__(self, slave: Slave, kind: str, talks: list["Talk"]) -> None:
        self._slave = slave
        self._kind = kind
        self._talks = talks
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._talks.append(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        feed(self._slave, self._kind, self._buffer, self.send)

    def send(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)


class Datagrams(asyncio.DatagramProtocol):
    """A device that answers by UDP; it talks to who asked last."""

    def __init__(self, slave: Slave) -> None:
        self._slave = slave

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._peer = addr
        feed(self._slave, "udp", bytearray(data), self.send)

    def send(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.sendto(data, self._peer)


class Served:
    """Where a slave can be reached, and the ways to disturb it."""

    def __init__(self, options: ModbusOptions, send: Callable[[bytes], None], vanish: Callable[[], None]) -> None:
        self.options = options
        self.send = send
        self.vanish = vanish


@contextlib.asynccontextmanager
async def serving(slave: Slave, kind: str, timeout_s: float = 0.1) -> AsyncIterator[Served]:
    """Serve `slave` on a new pty or a free port."""
    if kind in ("rtu", "ascii"):
        pty = Pty(slave, kind)
        try:
            options = ModbusOptions(transport=kind, port=pty.path, baud=115200, given_timeout_s=timeout_s)
            yield Served(options, pty.send, pty.vanish)
        finally:
            pty.vanish()
        return
    if kind == "udp":
        loop = asyncio.get_running_loop()
        transport, datagrams = await loop.create_datagram_endpoint(
            lambda: Datagrams(slave), local_addr=("127.0.0.1", 0)
        )
        port = transport.get_extra_info("sockname")[1]
        options = ModbusOptions(transport="udp", host="127.0.0.1", given_port=port, given_timeout_s=timeout_s)
        try:
            yield Served(options, datagrams.send, transport.abort)
        finally:
            transport.abort()
        return
    talks: list[Talk] = []
    server = await asyncio.get_running_loop().create_server(lambda: Talk(slave, kind, talks), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    options = ModbusOptions(transport=kind, host="127.0.0.1", given_port=port, given_timeout_s=timeout_s)
    try:
        yield Served(options, lambda data: talks[-1].send(data), lambda: talks[-1].transport.abort())
    finally:
        server.close()
        for talk in talks:
            talk.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)


def profile_of(points: Iterable[ModbusPoint], **keys: object) -> ModbusProfile:
    """A profile of these points."""
    return ModbusProfile(vendor="Test", model="T", kind="modbus", source="tests", point=tuple(points), **keys)


@pytest.fixture
def slave() -> Slave:
    return Slave()


@pytest.fixture(name="serving")
def _serving() -> Callable[..., contextlib.AbstractAsyncContextManager[Served]]:
    return serving


@pytest.fixture(name="profile_of")
def _profile_of() -> Callable[..., ModbusProfile]:
    return profile_of


@pytest.fixture(name="seal")
def _seal() -> Callable[[bytes], bytes]:
    return seal


@pytest.fixture(name="new_slave")
def _new_slave() -> type[Slave]:
    return Slave
