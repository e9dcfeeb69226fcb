"""The proxy itself: a port that stands for a broker's, and the faults that its connections meet, one after another.

Promises: the same seed gives the same faults to the first, the second, the n-th connection; a port that refuses stays
ours, so that nobody else gets it meanwhile; what was begun here is ended when the context ends.
"""

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any, Final

from simulators.proxy.connection import READ_BYTES, Connection, Side, close
from simulators.proxy.faults import ENDS, Direction, Fault
from simulators.proxy.meddling import Meddler, Meddling, Watch
from simulators.proxy.pace import Pace, Pacer
from simulators.proxy.packets import Publish

HOST: Final = "127.0.0.1"
DIAL_S: Final = 5.0


def nobody(direction: Direction, message: Publish) -> None:
    """Watch nothing."""


class Proxy:
    """One port before one broker. `done` counts by name what was done to whom; change `faults` and `meddling` any time.

    `faults` gives those of the next connection; None for none. `pacer` slows all down that there are; while `swallows`,
    new ones are accepted and never answered. Where `mqtt` is false the bytes are not looked at.
    """

    def __init__(self, broker_port: int, *, seed: int = 0, mqtt: bool = True, watch: Watch = nobody) -> None:
        self.done: Counter[str] = Counter()
        self.faults: Iterator[Sequence[Fault]] | None = None
        self.meddling: Meddling | None = None
        self.port = 0
        self.pacer = Pacer()
        self.swallows = False
        self.connections = 0
        self._broker_port = broker_port
        self._random = Random(seed)
        self._mqtt = mqtt
        self._watch = watch
        self._holder = socket.socket()
        self._server: asyncio.Server | None = None
        self._open_connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._swallowed: set[asyncio.StreamWriter] = set()
        self._may_listen = asyncio.Event()
        self._failure: BaseException | None = None

    @property
    def cuts(self) -> int:
        """How many connections a fault has ended."""
        return sum(count for name, count in self.done.items() if name in ENDS)

    async def open(self) -> None:
        """Take a free port and listen."""
        self._holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._holder.bind((HOST, 0))
        self.port = self._holder.getsockname()[1]
        await self._listen()

    async def close(self) -> None:
        """End everything; raises what went wrong in here that nobody has asked for."""
        if self._server:
            self._server.close()
            self._server = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._holder.close()
        await asyncio.sleep(0)  # the transports close their sockets in the next round of the loop
        if self._failure:
            raise self._failure

    def heal(self) -> None:
        """Nothing goes wrong any more, on the connections that there are either."""
        self.faults = self.meddling = None
        self.swallows = False
        self.pacer.set(Pace())
        self._may_listen.set()
        for connection in self._open_connections:
            connection.heal()
        self.give_back()

    def cut(self, *, reset: bool = False) -> int:
        """End every connection now; gives how many there were."""
        self.done["rst" if reset else "cut"] += len(self._open_connections)
        for connection in self._open_connections:
            connection.end(reset=reset)
        return len(self._open_connections)

    def inject(self, topic: str, payload: bytes) -> bool:
        """Send a message (QoS 0) to the clients that no broker has sent; False where none is connected."""
        reached = [connection.inject(Publish(topic, payload)) for connection in self._open_connections]
        self.done["injected"] += sum(reached)
        return any(reached)

    def refuse(self, seconds: float) -> None:
        """Close the port for so long; who is connected stays."""
        if self._server:
            self._server.close()
            self._server = None
            self._may_listen.clear()
            self._start(self._listen_again(seconds))

    def admit(self) -> None:
        """End what `refuse` has begun."""
        self._may_listen.set()

    def lose(self) -> int:
        """Let every connection be half open from now on; gives how many there were."""
        for connection in self._open_connections:
            connection.lose()
        return len(self._open_connections)

    def give_back(self) -> None:
        """Close what was swallowed, and what is half open: whoever waits there connects anew."""
        for writer in self._swallowed:
            close(writer, reset=False)
        for connection in self._open_connections:
            connection.end_if_lost()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accepted, HOST, self.port, reuse_port=True)

    async def _listen_again(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._may_listen.wait()
        await self._listen()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:  # the port was closed while this one was coming in
            close(writer, reset=True)
            return
        self.connections += 1
        faults = tuple(next(self.faults, ())) if self.faults else ()
        self._start(self._serve(Side(reader, writer), faults))

    async def _serve(self, client: Side, faults: Sequence[Fault]) -> None:
        if self.swallows or any(fault.name == "blackhole" for fault in faults):
            await self._swallow(client)
            return
        try:
            async with asyncio.timeout(DIAL_S):
                broker = Side(*await asyncio.open_connection(HOST, self._broker_port))
        except OSError:
            close(client.writer, reset=True)
            return
        meddler = Meddler(lambda: self.meddling, self._random, self._watch, self._did) if self._mqtt else None
        connection = Connection(client, broker, faults, meddler, self._met, self.pacer)
        self._open_connections.add(connection)
        try:
            await connection.run()
        finally:
            self._open_connections.discard(connection)

    async def _swallow(self, client: Side) -> None:
        """Accepted, and that was all."""
        self._did("blackhole")
        self._swallowed.add(client.writer)
        try:
            with suppress(OSError):
                while await client.reader.read(READ_BYTES):
                    pass
        finally:
            self._swallowed.discard(client.writer)
            close(client.writer, reset=False)

    def _met(self, fault: Fault) -> None:
        self._did(fault.name)
        if fault.name == "refuse":
            self.refuse(fault.seconds)

    def _did(self, name: str) -> None:
        self.done[name] += 1

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="proxy")
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (err := task.exception()):
            self._failure = err


@asynccontextmanager
async def proxy(broker_port: int, *, seed: int = 0, mqtt: bool = True, watch: Watch = nobody) -> AsyncIterator[Proxy]:
    """Run a proxy before `127.0.0.1:broker_port` on a free port, until the context ends."""
    one = Proxy(broker_port, seed=seed, mqtt=mqtt, watch=watch)
    await one.open()
    try:
        yield one
    finally:
        await one.close()
