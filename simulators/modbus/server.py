"""Modbus servers on sockets and ptys: bytes in, the answers of the units out.

Every answer of a link goes through one `send`: that is the place where faults of the line belong.
A unit that is not there is silence on a serial line, and exception 0x0B from a TCP gateway
(Application Protocol V1.1b3, section 7).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from simulators.endpoints import Listening, listen
from simulators.modbus.device import NO_TARGET, Memory, respond
from simulators.modbus.framing import MbapRequests, NotModbus, RtuRequests, mbap_frame, rtu_frame
from simulators.pty import open_pty

Units = Mapping[int, Memory]
Send = Callable[[bytes], None]

SILENCE_S = 0.03
"""Longer than 3.5 characters at 1200 baud: what has not become a frame by then never will."""


class TcpUnits:
    """The units behind one Modbus TCP connection."""

    def __init__(self, units: Units, send: Send) -> None:
        self._units = units
        self._send = send
        self._requests = MbapRequests()

    def feed(self, data: bytes) -> None:
        """Answer every request in `data`; raises `NotModbus`."""
        for transaction, unit, pdu in self._requests.feed(data):
            memory = self._units.get(unit)
            answer = respond(pdu, memory) if memory else bytes((pdu[0] | 0x80, NO_TARGET))
            self._send(mbap_frame(transaction, unit, answer))

    def close(self) -> None:
        """Nothing waits."""


class RtuUnits:
    """The units on one serial line, or behind one RTU over TCP connection."""

    def __init__(self, units: Units, send: Send) -> None:
        self._units = units
        self._send = send
        self._requests = RtuRequests()
        self._quiet: asyncio.TimerHandle | None = None

    def feed(self, data: bytes) -> None:
        """Answer every request in `data`; what is left is looked at again when the line has been quiet."""
        self.close()
        for unit, pdu in self._requests.feed(data):
            self._answer(unit, pdu)
        self._quiet = asyncio.get_running_loop().call_later(SILENCE_S, self._silence)

    def close(self) -> None:
        """Forget the pending look at the line."""
        if self._quiet is not None:
            self._quiet.cancel()

    def _silence(self) -> None:
        for unit, pdu in self._requests.silence():
            self._answer(unit, pdu)

    def _answer(self, unit: int, pdu: bytes) -> None:
        memory = self._units.get(unit)
        if memory is not None:
            self._send(rtu_frame(unit, respond(pdu, memory)))


Responder = type[TcpUnits] | type[RtuUnits]


class _Connection(asyncio.Protocol):
    """One client. While it does not take its answers, nothing more is read from it."""

    def __init__(self, responder: Responder, units: Units, open_now: set[asyncio.Transport]) -> None:
        self._responder = responder
        self._units = units
        self._open_now = open_now

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._open_now.add(transport)
        self._answers = self._responder(self._units, transport.write)

    def data_received(self, data: bytes) -> None:
        try:
            self._answers.feed(data)
        except NotModbus:
            self._transport.abort()

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def connection_lost(self, _exc: Exception | None) -> None:
        self._answers.close()
        self._open_now.discard(self._transport)


@asynccontextmanager
async def serve_tcp(responder: Responder, units: Units, host: str, port: int) -> AsyncIterator[Listening]:
    """Serve `units` on a TCP port (0: any free one) until the context ends; raises `CannotServe`."""
    open_now: set[asyncio.Transport] = set()
    async with listen(lambda: _Connection(responder, units, open_now), host, port) as listening:
        try:
            yield listening
        finally:
            for transport in tuple(open_now):
                transport.abort()


@asynccontextmanager
async def serve_pty(units: Units, path: Path) -> AsyncIterator[Path]:
    """Serve `units` in RTU on a pty that `path` points to; raises `CannotServe`."""
    with open_pty(path) as pty:
        answers = RtuUnits(units, pty.write)
        loop = asyncio.get_running_loop()
        loop.add_reader(pty.fd, lambda: answers.feed(pty.read()))
        try:
            yield path
        finally:
            loop.remove_reader(pty.fd)
            answers.close()
