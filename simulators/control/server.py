"""The run's end of the control socket. Only the user of this process may open it.

Promises: what comes in ends nothing, neither the run nor other connections; a tester who does not take the answers is
let go after `TIMEOUT_S`.
"""

import asyncio
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from simulators.endpoints import CannotServe

MAX_LINE_BYTES: Final = 65_536
TIMEOUT_S: Final = 5.0

Answer = Callable[[bytes], dict[str, Any]]
"""What comes back for one line; never raises."""


@asynccontextmanager
async def control_socket(path: Path, answer: Answer) -> AsyncIterator[Path]:
    """Answer at `path` until the context ends; raises `CannotServe`."""
    talks: dict[asyncio.Task[Any], asyncio.StreamWriter] = {}

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.set_name("control")
        talks[task] = writer
        try:
            await _talk(reader, writer, answer)
        finally:
            del talks[task]
            writer.close()

    with _bound(path) as sock:
        server = await asyncio.start_unix_server(talk, sock=sock, limit=MAX_LINE_BYTES)
        try:
            yield path
        finally:
            server.close()
            for writer in talks.values():
                writer.transport.abort()
            await asyncio.gather(*talks, return_exceptions=True)


@contextmanager
def _bound(path: Path) -> Iterator[socket.socket]:
    """A socket at `path` that nobody else can open; one that nobody answers any more makes room."""
    _make_room(path)
    with _private(path) as sock:
        try:
            yield sock
        finally:
            path.unlink(missing_ok=True)


def _private(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(sock.fileno(), 0o600)  # Linux makes the file with these rights; a umask would be that of all threads
        sock.bind(str(path))
    except OSError as err:
        sock.close()
        raise CannotServe(f"cannot make the control socket {path}: {err.strerror or err}. {_FIX}") from err
    return sock


_FIX: Final = "Write a short path in a folder of yours, like /tmp/oc-sim.sock"


def _make_room(path: Path) -> None:
    """Remove a socket that is left over; raises `CannotServe` for anything else."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise CannotServe(f"{path} is there, and is no socket. {_FIX}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(TIMEOUT_S)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError as err:
            raise CannotServe(f"{path} cannot be opened: {err.strerror or err}. {_FIX}") from err
        else:
            raise CannotServe(f"another oc-sim answers at {path}. Give each a path of its own")


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: Answer) -> None:
    """One connection: a line, its answer, and so on until the tester has gone."""
    with suppress(ConnectionError, TimeoutError):
        while line := await _line(reader, writer):
            if line.strip():
                await _say(writer, answer(line))


async def _line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The next line, empty at the end. A tester may be quiet for as long as he likes."""
    try:
        return await reader.readline()
    except ValueError:
        await _say(writer, {"error": f"a line has at most {MAX_LINE_BYTES} bytes; this connection is closed"})
        return b""


async def _say(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    writer.write(msgspec.json.encode(answer) + b"\n")
    async with asyncio.timeout(TIMEOUT_S):
        await writer.drain()
