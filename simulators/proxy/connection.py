"""One connection through the proxy: two lanes of bytes, each on its own course, and one end for both.

Promises: what goes on is whole packets in the order of arrival where packets are looked at, and the very bytes where
they are not; nothing is read faster than it goes on, beyond `MAX_QUEUED_BYTES`; both sockets are closed at the end.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from simulators.proxy.faults import Course, Direction, Fault
from simulators.proxy.meddling import Meddler, Out
from simulators.proxy.pace import Pacer
from simulators.proxy.packets import NotMqtt, Publish

READ_BYTES: Final = 16 * 1024
MAX_QUEUED_BYTES: Final = 256 * 1024
LINGER_S: Final = 1.0
"""A side that was told that all is over has so long to close; what it still sends goes nowhere."""
_RESET: Final = struct.pack("ii", 1, 0)
OTHER: Final[dict[Direction, Direction]] = {"up": "down", "down": "up"}


class Side(NamedTuple):
    """The socket to the client, or to the broker."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class _Over(Exception):
    """Both sides are to be closed; `reset` without ceremony."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self.reset = reset


class _Queue:
    """What is to go on in one direction; a reader waits while there is too much."""

    def __init__(self) -> None:
        self._waiting: deque[bytes | None] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()

    def put(self, data: bytes | None) -> None:
        """Queue bytes that stay together, or None for the end."""
        self._waiting.append(data)
        self._bytes += len(data or b"")
        self._filled.set()

    async def room(self) -> None:
        while self._bytes > MAX_QUEUED_BYTES:
            self._room.clear()
            await self._room.wait()

    async def get(self) -> bytes | None:
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        data = self._waiting.popleft()
        self._bytes -= len(data or b"")
        self._room.set()
        return data


class Connection:
    """A client and the broker behind it. Without a `meddler` it knows nothing of MQTT."""

    def __init__(
        self,
        client: Side,
        broker: Side,
        faults: Sequence[Fault],
        meddler: Meddler | None,
        on_fault: Callable[[Fault], None],
        pacer: Pacer | None = None,
    ) -> None:
        self._meddler = meddler
        self._pacer = pacer or Pacer()
        self._from: dict[Direction, Side] = {"up": client, "down": broker}
        self._courses: dict[Direction, Course] = {
            way: Course([fault for fault in faults if fault.direction == way], on_fault) for way in OTHER
        }
        self._queues: dict[Direction, _Queue] = {way: _Queue() for way in OTHER}
        self._gone: set[Direction] = set()
        self._healed = asyncio.Event()
        self._told_to_end = asyncio.Event()
        self._reset = False

    async def run(self) -> None:
        """Pass bytes on until one side ends, or a fault ends both."""
        reset = True
        try:
            async with asyncio.TaskGroup() as tasks:
                for way in OTHER:
                    tasks.create_task(self._read(way), name=f"proxy read {way}")
                    tasks.create_task(self._write(way), name=f"proxy write {way}")
                tasks.create_task(self._when_told(), name="proxy end")
        except* _Over as group:
            reset = any(isinstance(err, _Over) and err.reset for err in group.exceptions)
        finally:
            await self._close(reset=reset)

    def inject(self, message: Publish) -> bool:
        """Send a message to the client that no broker has sent; False where it is not connected yet."""
        outs = self._meddler.injected(message) if self._meddler else []
        self._send(outs)
        return bool(outs)

    def lose(self) -> None:
        """From now on it is half open: nothing goes on in either direction, and nobody is told."""
        for way, course in self._courses.items():
            course.meet(Fault(name="half_open", direction=way))

    def heal(self) -> None:
        """Nothing else goes wrong here; a connection that is half open, which cannot be healed, ends."""
        for course in self._courses.values():
            course.heal()
        self._healed.set()
        self.end_if_lost()

    def end_if_lost(self) -> None:
        """Close both sides of a connection that is half open: it cannot be healed."""
        if self._half_open:
            self.end()

    def end(self, *, reset: bool = False) -> None:
        """Close both sides now."""
        self._reset = reset
        self._told_to_end.set()

    @property
    def _half_open(self) -> bool:
        return any(course.end and course.end.name == "half_open" for course in self._courses.values())

    async def _when_told(self) -> None:
        await self._told_to_end.wait()
        raise _Over(reset=self._reset)

    async def _read(self, way: Direction) -> None:
        queue, reader = self._queues[way], self._from[way].reader
        try:
            while data := await reader.read(READ_BYTES):
                if self._meddler:
                    self._send(self._meddler.take(way, data))
                else:
                    queue.put(data)
                await queue.room()
        except NotMqtt as err:
            raise _Over(reset=True) from err
        except OSError as err:
            self._ended(way, err)
        queue.put(None)

    def _send(self, outs: Sequence[Out]) -> None:
        loop = asyncio.get_running_loop()
        for out in outs:
            if out.wait_s:
                loop.call_later(out.wait_s, self._queues[out.direction].put, out.packet)
            else:
                self._queues[out.direction].put(out.packet)

    async def _write(self, way: Direction) -> None:
        queue, course = self._queues[way], self._courses[way]
        writer = self._from[OTHER[way]].writer
        self._ends(course)
        while (data := await queue.get()) is not None:
            for step in course.take(data):
                await self._wait(step.wait_s)
                if not self._is_gone(OTHER[way]):
                    await self._pass_on(way, writer, step.data)
            self._ends(course)
        self._ended(way)

    async def _wait(self, seconds: float) -> None:
        if seconds and not self._healed.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._healed.wait()

    async def _pass_on(self, way: Direction, writer: asyncio.StreamWriter, data: bytes) -> None:
        try:
            while data:
                size = await self._pacer.room(len(data))
                writer.write(data[:size])
                await writer.drain()
                data = data[size:]
        except OSError as err:
            self._ended(OTHER[way], err)

    def _ends(self, course: Course) -> None:
        """What the fault that has ended a direction does to both; half open, to neither."""
        if course.end and course.end.name != "half_open":
            raise _Over(reset=course.end.name == "rst")

    def _ended(self, way: Direction, err: OSError | None = None) -> None:
        """The side that `way` comes from has closed. A half open connection tells nobody, until both have."""
        self._gone.add(way)
        if not self._half_open or len(self._gone) == len(OTHER):
            raise _Over(reset=err is not None)
        self._from[way].writer.transport.abort()

    def _is_gone(self, side: Direction) -> bool:
        return side in self._gone

    async def _close(self, *, reset: bool) -> None:
        sides = self._from.values()
        try:
            if not reset:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LINGER_S):
                        await asyncio.gather(*(_say_goodbye(side) for side in sides))
        finally:
            for side in sides:
                close(side.writer, reset=reset)


async def _say_goodbye(side: Side) -> None:
    """FIN, then nothing that still comes is read: a close with unread bytes would be a reset."""
    with suppress(OSError):
        side.writer.write_eof()
        while await side.reader.read(READ_BYTES):
            pass


def close(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    """Close a socket at once, with RST where that is asked for."""
    sock = writer.get_extra_info("socket")
    if reset and sock is not None and sock.fileno() >= 0:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
