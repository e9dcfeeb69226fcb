"""Another client with the gateway's id: a second gateway with the same key, or somebody who has stolen it."""

import asyncio
import json
import time
from contextlib import suppress
from typing import Final

from simulators.proxy.packets import Publish, Version, publish

AGAIN_S: Final = 0.1
"""So long it stays away when it was thrown out itself."""


async def usurp(port: int, gateway: str, seconds: float, version: Version, *, says_so: bool) -> int:
    """Take the session for `seconds`, again and again; with `says_so` it publishes as if it were the gateway.

    Gives how often it was let in.
    """
    until_s, times = time.monotonic() + seconds, 0
    while (left_s := until_s - time.monotonic()) > 0:
        with suppress(OSError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                async with asyncio.timeout(left_s):
                    writer.write(_connect(gateway, version))
                    await reader.readexactly(4)
                    times += 1
                    if says_so:
                        writer.write(publish(_status(gateway), version))
                    while await reader.read(1024):
                        pass
            finally:
                writer.transport.abort()
        await asyncio.sleep(AGAIN_S)
    return times


def _status(gateway: str) -> Publish:
    said = {"v": 1, "gateway": gateway, "online": True, "why": "connect", "epoch": "f" * 16, "boot": 1, "connection": 1}
    return Publish(
        f"ocg/v1/{gateway}/up/status", json.dumps(said | {"time_ms": 1, "config": "0" * 8}).encode(), retain=True
    )


def _connect(client_id: str, version: Version) -> bytes:
    name = client_id.encode()
    body = b"\x00\x04MQTT" + bytes((version, 0x02, 0, 60)) + (b"\x00" if version == 5 else b"")
    body += len(name).to_bytes(2, "big") + name
    return bytes((0x10, len(body))) + body
