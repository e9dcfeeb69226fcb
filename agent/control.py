"""The control socket: how `oc-agent status` and other verbs talk to the running agent.

One JSON line in, one JSON line out, on a UNIX socket in the runtime folder; whoever may open it may do everything. An
*answer* shows something and changes nothing. An *order* has arguments and changes what it says; it is done to its end
also when nobody waits for it any more. A *lease* lends something: it lasts as long as its connection, so that whoever
borrowed and died has given back; after `LEASE_MAX_S` it ends with a second line that says so.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

log = logging.getLogger(__name__)

SOCKET_NAME = "control.sock"
REQUEST_MAX_BYTES = 64 * 1024
REQUEST_TIMEOUT_S = 5.0
ORDER_TIMEOUT_S = 600.0
ACCEPT_ROUNDS = 5
"""So many rounds of the loop asyncio has to go on with what it accepted; a server closed before leaves that open."""
CLOSE_S = 1.0
"""So long an answer that is under way is waited for when the agent stops."""
LEASE_MAX_S = 900.0
"""After so long a borrower has forgotten what it holds."""
_CREDENTIALS = struct.Struct("3i")
"""`struct ucred`: pid, uid, gid."""

Arguments = Mapping[str, Any]
Answer = Callable[[], Any]
Order = Callable[[Arguments], Awaitable[Any]]
"""Raises `OrderRefused`, or `msgspec.ValidationError` for arguments that it does not understand."""


class Peer(msgspec.Struct, frozen=True):
    """Who is at the other end of the socket, as the kernel says."""

    pid: int
    uid: int


Lease = Callable[[Arguments, Peer], AbstractAsyncContextManager[Any]]
"""What is lent while the context is open; the value that it gives is the answer. Raises as an `Order` does."""


class AgentNotRunning(Exception):
    """Nobody answers on the control socket."""


class AgentSilent(AgentNotRunning):
    """It took the request and says nothing."""


class OrderRefused(Exception):
    """An order cannot be carried out; the message says why, and what to try."""


class ControlRequest(msgspec.Struct, frozen=True):
    """One request: the verb that is asked, and the arguments of an order."""

    verb: str
    arguments: dict[str, Any] = {}


@asynccontextmanager
async def control_server(
    runtime_dir: Path,
    answers: Mapping[str, Answer],
    orders: Mapping[str, Order] | None = None,
    leases: Mapping[str, Lease] | None = None,
) -> AsyncIterator[None]:
    """Answer requests for the verbs in `answers`, `orders` and `leases` while the context is open.

    What is lent when it ends is taken back; nobody waits for a borrower.
    """
    desk = _Desk(answers, orders or {}, leases or {})
    path = runtime_dir / SOCKET_NAME
    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(desk.serve, path, limit=REQUEST_MAX_BYTES)
    path.chmod(0o660)
    try:
        yield
    finally:
        with suppress(FileNotFoundError):
            path.unlink()
        for _ in range(ACCEPT_ROUNDS):
            await asyncio.sleep(0)
        server.close()
        await desk.close()


class _Desk:
    """Serves one connection after another, all at once."""

    def __init__(self, answers: Mapping[str, Answer], orders: Mapping[str, Order], leases: Mapping[str, Lease]) -> None:
        self._answers = answers
        self._orders = orders
        self._leases = leases
        self._serving: set[asyncio.Task[Any]] = set()
        self._lending: set[asyncio.Task[Any]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request, and what it asks for."""
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                line = await reader.readline()
            await _say(writer, await self._answer(line, reader, writer))
        except (TimeoutError, ConnectionError, ValueError) as err:
            log.debug("control socket: a request was given up: %s", err)
        except asyncio.CancelledError:
            log.debug("control socket: a lease or an answer was broken off, for the agent stops")
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def close(self) -> None:
        """End all leases without waiting for who holds them, and close every connection, answered or not."""
        for task in self._lending:
            task.cancel()
        if self._serving:
            _, late = await asyncio.wait(self._serving, timeout=CLOSE_S)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    async def _answer(self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        try:
            request = msgspec.json.decode(line, type=ControlRequest)
            if request.verb in self._orders:
                return await self._orders[request.verb](request.arguments)
            if request.verb in self._leases:
                lease = self._leases[request.verb](request.arguments, _peer(writer))
                return await self._lend(lease, reader, writer)
        except msgspec.MsgspecError as err:
            return {"error": f"not a request: {err}"}
        except OrderRefused as err:
            return {"error": str(err)}
        answer = self._answers.get(request.verb)
        if answer is None:
            known = ", ".join(sorted([*self._answers, *self._orders, *self._leases]))
            return {"error": f"unknown verb {request.verb!r}; known: {known}"}
        return answer()

    async def _lend(
        self, lease: AbstractAsyncContextManager[Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Any:
        """Lend until the other end closes, or for so long that it must be told that this is the end."""
        task = asyncio.current_task()
        assert task is not None
        self._lending.add(task)
        try:
            async with lease as answer:
                await _say(writer, answer)
                taken_back = await _too_long(reader)
        finally:
            self._lending.discard(task)
        if taken_back:
            return {"ended": f"after {LEASE_MAX_S:g} s"}
        raise ConnectionAbortedError("given back")


async def _too_long(reader: asyncio.StreamReader) -> bool:
    """Wait until the other end closes, or says anything; True where that takes too long."""
    try:
        async with asyncio.timeout(LEASE_MAX_S):
            await reader.read(1)
    except TimeoutError:
        return True
    return False


async def _say(writer: asyncio.StreamWriter, answer: Any) -> None:
    async with asyncio.timeout(REQUEST_TIMEOUT_S):
        writer.write(msgspec.json.encode(answer) + b"\n")
        await writer.drain()


def _peer(connection: asyncio.StreamWriter) -> Peer:
    pid, uid, _ = _CREDENTIALS.unpack(
        connection.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    return Peer(pid, uid)


def ask_agent(runtime_dir: Path, verb: str) -> Any:
    """The running agent's answer to `verb`; raises `AgentNotRunning`, or `PermissionError`."""
    return _asked(runtime_dir, ControlRequest(verb), REQUEST_TIMEOUT_S)


def agent_pid(runtime_dir: Path) -> int:
    """The process that answers on the control socket, as the kernel says; raises as `ask_agent` does."""
    with _connected(runtime_dir) as sock:
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(credentials)[0])


def order_agent(runtime_dir: Path, verb: str, arguments: Arguments) -> Any:
    """Let the running agent do something, and wait for what comes of it.

    Raises `AgentNotRunning`, `PermissionError`, or `OrderRefused` with the agent's reason.
    """
    found = _asked(runtime_dir, ControlRequest(verb, dict(arguments)), ORDER_TIMEOUT_S)
    if isinstance(found, dict) and "error" in found:
        raise OrderRefused(found["error"])
    return found


class Borrowed:
    """Something that the agent has lent, at the borrower's end; `answer` is what it said of it."""

    def __init__(self, sock: socket.socket, file: BinaryIO, answer: Any) -> None:
        self.answer = answer
        self._sock = sock
        self._file = file

    def give_back(self) -> None:
        """End it, and whoever waits in `ended`."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def ended(self) -> bool:
        """Wait until it ends; True where the agent takes it back, False where the connection ends."""
        try:
            return bool(self._file.readline().strip())
        except OSError:
            return False


@contextmanager
def borrow_from_agent(runtime_dir: Path, verb: str, arguments: Arguments) -> Iterator[Borrowed]:
    """Borrow something of the running agent while the context is open; raises as `order_agent` does."""
    with _connected(runtime_dir) as sock, sock.makefile("rb") as file:
        sock.settimeout(ORDER_TIMEOUT_S)
        answer = _exchanged(sock, file, ControlRequest(verb, dict(arguments)))
        if isinstance(answer, dict) and "error" in answer:
            raise OrderRefused(answer["error"])
        sock.settimeout(None)
        yield Borrowed(sock, file, answer)


def _asked(runtime_dir: Path, request: ControlRequest, timeout_s: float) -> Any:
    with _connected(runtime_dir) as sock, sock.makefile("rb") as file:
        sock.settimeout(timeout_s)
        return _exchanged(sock, file, request)


def _exchanged(sock: socket.socket, file: BinaryIO, request: ControlRequest) -> Any:
    try:
        sock.sendall(msgspec.json.encode(request) + b"\n")
        line = file.readline()
    except TimeoutError as err:
        raise AgentSilent(str(err)) from err
    except ConnectionError as err:
        raise AgentNotRunning(str(err)) from err
    if not line.strip():
        raise AgentNotRunning("it closed the connection without an answer")
    return msgspec.json.decode(line)


@contextmanager
def _connected(runtime_dir: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(REQUEST_TIMEOUT_S)
        try:
            sock.connect(str(runtime_dir / SOCKET_NAME))
        except (FileNotFoundError, ConnectionError, TimeoutError) as err:
            raise AgentNotRunning(str(err)) from err
        yield sock
