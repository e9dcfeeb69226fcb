"""Where simulated devices listen: TCP ports, and what to say when one cannot be had."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom
from typing import Final

_LOWEST: Final = 10_000
_TRIES: Final = 100
_RANDOM: Final = SystemRandom()
_given: set[int] = set()


class CannotServe(Exception):
    """An address of the configuration cannot be served here; the message says what to try."""


@dataclass(frozen=True)
class Listening:
    """A TCP port that is open, with its real number."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@asynccontextmanager
async def listen(
    protocol: Callable[[], asyncio.Protocol], host: str, port: int, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Listening]:
    """Open `host:port` (0: any free port), with `tls` encrypted, until the context ends; raises `CannotServe`."""
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(protocol, host, port, ssl=tls, reuse_address=True)
    except OSError as err:
        raise CannotServe(
            f"cannot listen on {host}:{port}: {err.strerror or err}. Write an address of this machine, "
            "like 127.0.0.1, and a port above 1023 that nothing else uses"
        ) from err
    try:
        yield Listening(host, server.sockets[0].getsockname()[1])
    finally:
        server.close()


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that was free a moment ago, for programs that cannot be given port 0; never the same twice.

    Below those that the kernel gives to whoever connects: none of them takes it before it is listened on.
    """
    for port in (_RANDOM.randrange(_LOWEST, _ephemeral()) for _ in range(_TRIES)):
        if port not in _given and _is_free(host, port):
            _given.add(port)
            return port
    with socket.socket() as probe:
        probe.bind((host, 0))
        number: int = probe.getsockname()[1]
        return number


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _ephemeral() -> int:
    """The first port that the kernel gives away (ip(7))."""
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        first = 32_768
    return max(first, _LOWEST + 1_000)
