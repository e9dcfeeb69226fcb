"""The control socket: how `oc-agent status` and other verbs talk to the running agent.

One JSON line in, one JSON line out, on a UNIX socket in the runtime folder; whoever may open it may do both. An
*answer* shows something and changes nothing. An *order* has arguments and changes what it says; it is done to its end
also when nobody waits for it any more.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

log = logging.getLogger(__name__)

SOCKET_NAME = "control.sock"
REQUEST_MAX_BYTES = 64 * 1024
REQUEST_TIMEOUT_S = 5.0
ORDER_TIMEOUT_S = 600.0
_CREDENTIALS = struct.Struct("3i")
"""`struct ucred`: pid, uid, gid."""

Arguments = Mapping[str, Any]
Answer = Callable[[], Any]
Order = Callable[[Arguments], Awaitable[Any]]
"""Raises `OrderRefused`, or `msgspec.ValidationError` for arguments that it does not understand."""


class AgentNotRunning(Exception):
    """Nobody answers on the control socket."""


class OrderRefused(Exception):
    """An order cannot be carried out; the message says why, and what to try."""


class ControlRequest(msgspec.Struct, frozen=True):
    """One request: the verb that is asked, and the arguments of an order."""

    verb: str
    arguments: dict[str, Any] = {}


@asynccontextmanager
async def control_server(
    runtime_dir: Path, answers: Mapping[str, Answer], orders: Mapping[str, Order] | None = None
) -> AsyncIterator[None]:
    """Answer requests for the verbs in `answers` and `orders` while the context is open."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                line = await reader.readline()
            answer = await _answer(line, answers, orders or {})
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
        except (TimeoutError, ConnectionError, ValueError) as err:
            log.debug("control socket: a request was given up: %s", err)
        finally:
            writer.close()

    path = runtime_dir / SOCKET_NAME
    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(serve, path, limit=REQUEST_MAX_BYTES)
    path.chmod(0o660)
    try:
        yield
    finally:
        server.close()
        with suppress(FileNotFoundError):
            path.unlink()


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


def _asked(runtime_dir: Path, request: ControlRequest, timeout_s: float) -> Any:
    with _connected(runtime_dir) as sock:
        try:
            sock.sendall(msgspec.json.encode(request) + b"\n")
            sock.settimeout(timeout_s)
            with sock.makefile("rb") as file:
                line = file.readline()
        except (ConnectionError, TimeoutError) as err:
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


async def _answer(line: bytes, answers: Mapping[str, Answer], orders: Mapping[str, Order]) -> Any:
    try:
        request = msgspec.json.decode(line, type=ControlRequest)
        if request.verb in orders:
            return await orders[request.verb](request.arguments)
    except msgspec.MsgspecError as err:
        return {"error": f"not a request: {err}"}
    except OrderRefused as err:
        return {"error": str(err)}
    answer = answers.get(request.verb)
    if answer is None:
        return {"error": f"unknown verb {request.verb!r}; known: {', '.join(sorted([*answers, *orders]))}"}
    return answer()
