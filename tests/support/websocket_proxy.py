"""A WebSocket server in front of a broker that has none (Debian builds Mosquitto without): RFC 6455, as far as needed.

It is unkind on purpose: what the broker says comes in frames that are cut anywhere, with pings between them; and it can
read slowly, so that the client's writes do not fit into its socket.
"""

import asyncio
import base64
import hashlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import cycle

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_BINARY, _CLOSE, _PING = 0x2, 0x8, 0x9


@asynccontextmanager
async def websocket_proxy(
    broker_port: int, *, context: ssl.SSLContext | None = None, path: str = "/mqtt", pause_s: float = 0.0
) -> AsyncIterator[int]:
    """Give its port. `pause_s` is how long it waits before each read, from a small buffer."""

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        serving.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                if await _upgraded(reader, writer, path):
                    await _bridged(reader, writer, broker_port, pause_s)
        finally:
            serving.discard(task)
            writer.close()

    sock = socket.create_server(("127.0.0.1", 0))
    if pause_s:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    server = await asyncio.start_server(serve, sock=sock, ssl=context, limit=8192)
    async with server:
        try:
            yield sock.getsockname()[1]
        finally:
            for task in serving.copy():
                task.cancel()
            await asyncio.gather(*serving, return_exceptions=True)


async def _bridged(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, broker_port: int, pause_s: float
) -> None:
    broker_reader, broker_writer = await asyncio.open_connection("127.0.0.1", broker_port)
    ways = {
        asyncio.ensure_future(_to_broker(reader, broker_writer, pause_s)),
        asyncio.ensure_future(_to_client(broker_reader, writer)),
    }
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        broker_writer.close()


async def _upgraded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> bool:
    request = await reader.readuntil(b"\r\n\r\n")
    lines = request.split(b"\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
    if lines[0] != b"GET %s HTTP/1.1" % path.encode() or headers.get(b"sec-websocket-protocol") != b"mqtt":
        writer.write(b"HTTP/1.1 404 Not Found\r\n\r\n")
        await writer.drain()
        return False
    accept = base64.b64encode(hashlib.sha1(headers[b"sec-websocket-key"] + _GUID).digest())
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    writer.write(answer + b"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n" % accept)
    return True


async def _to_broker(reader: asyncio.StreamReader, broker: asyncio.StreamWriter, pause_s: float) -> None:
    while True:
        if pause_s:
            await asyncio.sleep(pause_s)
        first, second = await reader.readexactly(2)
        length = second & 0x7F
        if length >= 126:
            length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
        mask = await reader.readexactly(4) if second & 0x80 else bytes(4)
        payload = await reader.readexactly(length)
        if first & 0x0F == _CLOSE:
            return
        if first & 0x0F == _BINARY:
            whole = int.from_bytes(payload, "big") ^ int.from_bytes((mask * (length // 4 + 1))[:length], "big")
            broker.write(whole.to_bytes(length, "big"))
            await broker.drain()


async def _to_client(broker: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    sizes: Iterator[int] = cycle((1, 2, 3, 125, 126, 5, 4000, 70_000))
    while data := await broker.read(65_536):
        while data:
            size = next(sizes)
            writer.write(_frame(_BINARY, data[:size]))
            if size in (3, 4000):
                writer.write(_frame(_PING, b"?"))
            data = data[size:]
        await writer.drain()


def _frame(kind: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return bytes([0x80 | kind, length]) + payload
    return bytes([0x80 | kind, 126 if length < 65_536 else 127]) + (
        length.to_bytes(2 if length < 65_536 else 8, "big") + payload
    )
