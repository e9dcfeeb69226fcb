"""The control socket: how `oc-agent status` and other verbs ask the running agent.

One JSON line in, one JSON line out, on a UNIX socket in the runtime folder. It shows; it changes nothing.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

log = logging.getLogger(__name__)

SOCKET_NAME = "control.sock"
REQUEST_MAX_BYTES = 64 * 1024
REQUEST_TIMEOUT_S = 5.0

Answer = Callable[[], Any]


class AgentNotRunning(Exception):
    """Nobody answers on the control socket."""


class ControlRequest(msgspec.Struct, frozen=True):
    """One request: the verb that wants an answer."""

    verb: str


@asynccontextmanager
async def control_server(runtime_dir: Path, answers: Mapping[str, Answer]) -> AsyncIterator[None]:
    """Answer requests for the verbs in `answers` while the context is open."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                line = await reader.readline()
                writer.write(_answer(line, answers) + b"\n")
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
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(REQUEST_TIMEOUT_S)
        try:
            sock.connect(str(runtime_dir / SOCKET_NAME))
            sock.sendall(msgspec.json.encode(ControlRequest(verb)) + b"\n")
            with sock.makefile("rb") as file:
                line = file.readline()
        except (FileNotFoundError, ConnectionError, TimeoutError) as err:
            raise AgentNotRunning(str(err)) from err
    if not line.strip():
        raise AgentNotRunning("it closed the connection without an answer")
    return msgspec.json.decode(line)


def _answer(line: bytes, answers: Mapping[str, Answer]) -> bytes:
    try:
        request = msgspec.json.decode(line, type=ControlRequest)
    except msgspec.MsgspecError as err:
        return msgspec.json.encode({"error": f"not a request: {err}"})
    answer = answers.get(request.verb)
    if answer is None:
        return msgspec.json.encode({"error": f"unknown verb {request.verb!r}; known: {', '.join(sorted(answers))}"})
    return msgspec.json.encode(answer())
