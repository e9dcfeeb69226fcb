"""Modbus TCP devices whose register counts the answers: each served number is seen at the IOC, or it is missing."""

import asyncio
import threading
import time
from collections import defaultdict
from typing import NamedTuple, Self

PROFILE = """\
vendor = "Test"
model = "Counter"
kind = "modbus"
source = "tests/support/counting_device.py"
[[point]]
name = "n"
table = "holding"
address = 0
type = "u32"
[[point]]
name = "mirrored"
table = "holding"
address = 2
type = "u32"
"""


class Answered(NamedTuple):
    """A number that was served, and when (monotonic clock, seconds)."""

    number: int
    at_s: float


class CountingDevices:
    """Units behind one TCP port, in a thread of their own. `served` by unit, as of now."""

    def __init__(self) -> None:
        self.served: dict[int, list[Answered]] = defaultdict(list)
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="counting devices", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        self._loop.run_until_complete(self._listen())
        self._loop.run_forever()
        self._loop.run_until_complete(self._close())
        self._loop.close()

    async def _close(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self._ready.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readexactly(7)
                pdu = await reader.readexactly(int.from_bytes(head[4:6], "big") - 1)
                answer = self._answer(head[6], pdu)
                writer.write(head[:4] + (len(answer) + 1).to_bytes(2, "big") + head[6:] + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, unit: int, pdu: bytes) -> bytes:
        function, address, count = pdu[0], int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
        if (function, address, count) != (3, 0, 4):
            return bytes((function | 0x80, 2))
        number = len(self.served[unit]) + 1
        self.served[unit].append(Answered(number, time.monotonic()))
        return b"\x03\x08" + number.to_bytes(4, "big") + (number ^ 0xFFFFFFFF).to_bytes(4, "big")
