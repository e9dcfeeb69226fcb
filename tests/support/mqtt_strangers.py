"""Clients that do not belong here: one with the gateway's id, and one that listens to everything.

Written by hand: they say what no decent library would.
"""

import asyncio
import json
from contextlib import suppress
from typing import Final

from simulators.proxy.packets import Publish, Version, publish

AGAIN_S: Final = 0.05
"""So long a stranger stays away when it was thrown out itself."""
UPLINKS: Final = "ocg/v1/+/up/#"


async def usurp(port: int, gateway: str, seconds: float, version: Version, *, says_so: bool) -> None:
    """Take the session for `seconds`, again and again; with `says_so` it publishes as if it were the gateway.

    A second gateway with the same key, or somebody who has stolen it.
    """
    first = publish(_status(gateway), version) if says_so else b""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await _for_ever(port, _connect(gateway, version), first)


async def listen_for_ever(port: int) -> None:
    """Subscribe to all uplinks, as a dashboard does: for the broker there is somebody, though no IOC."""
    await _for_ever(port, _connect("dashboard", 4), _subscribe(UPLINKS))


async def _for_ever(port: int, connect: bytes, then: bytes) -> None:
    """Connect, send, and stay until the broker ends it; then again."""
    while True:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(connect)
                await reader.readexactly(4)
                writer.write(then)
                while await reader.read(65_536):
                    pass
            finally:
                writer.transport.abort()
        await asyncio.sleep(AGAIN_S)


def _status(gateway: str) -> Publish:
    said = {"v": 1, "gateway": gateway, "online": True, "why": "connect", "epoch": "f" * 16, "boot": 1, "connection": 1}
    payload = json.dumps(said | {"time_ms": 1, "config": "0" * 8}).encode()
    return Publish(f"ocg/v1/{gateway}/up/status", payload, retain=True)


def _connect(client_id: str, version: Version) -> bytes:
    name = client_id.encode()
    body = b"\x00\x04MQTT" + bytes((version, 0x02, 0, 60)) + (b"\x00" if version == 5 else b"")
    body += len(name).to_bytes(2, "big") + name
    return bytes((0x10, len(body))) + body


def _subscribe(topic_filter: str) -> bytes:
    """With QoS 0, in MQTT 3.1.1."""
    body = b"\x00\x01" + len(topic_filter).to_bytes(2, "big") + topic_filter.encode() + b"\x00"
    return bytes((0x82, len(body))) + body
