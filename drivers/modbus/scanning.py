"""Looking for devices on a Modbus path: one request, and everything that comes after it, as it is.

Unlike `drivers.modbus.line` it trusts nothing and remembers nothing: it is for a bus of which nothing is known. It
only reads (functions 1 to 4, 43/14), and never asks unit 0. Promises: a silent unit costs one timeout; a reply ends
the wait at once. Must not know: profiles, values, what a symptom means.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from drivers.errors import BadReply, LinkDown
from drivers.modbus.framing import NOISE, ascii_answer, mbap_frames, rtu_answer
from drivers.modbus.options import ModbusOptions
from drivers.modbus.pdu import Answer, Identify, Request, answer
from drivers.modbus.transport import Wire

_GAP_CHARS = 20
_GAP_MIN_S = 0.05
_LONGEST_CHARS = 300


@dataclass(frozen=True, slots=True)
class Heard:
    """What came after one request. `began_s` is when, after the request had left; None where nothing came."""

    request: Request | Identify
    sent: bytes
    data: bytes
    answer: Answer | None = None
    began_s: float | None = None


@asynccontextmanager
async def open_ear(options: ModbusOptions) -> AsyncIterator["Ear"]:
    """Open the path of `options`; raises `LinkDown`."""
    ear = Ear(options)
    await ear.open()
    try:
        yield ear
    finally:
        ear.close()


class Ear:
    """One path, for one caller at a time."""

    def __init__(self, options: ModbusOptions) -> None:
        self._options = options
        self._wire = Wire(options, self._on_bytes, self._on_lost)
        self._heard = bytearray()
        self._news = asyncio.Event()
        self._lost = False
        self._heard_at = 0.0

    async def open(self) -> None:
        """Open the path; raises `LinkDown`."""
        await self._wire.open()
        self._lost = False

    def close(self) -> None:
        """Close the path."""
        self._wire.close()

    async def listen(self, seconds: float) -> bytes:
        """What comes by itself in so many seconds; raises `LinkDown`."""
        self._heard.clear()
        await asyncio.sleep(seconds)
        self._check()
        return bytes(self._heard)

    async def ask(self, request: Request | Identify, timeout_s: float) -> Heard:
        """Ask, and wait `timeout_s` for the first byte, then for the end of what comes; raises `LinkDown`."""
        if not request.unit:
            raise ValueError("unit 0 is everybody: it is never asked")
        self._check()
        await asyncio.sleep(max(0.0, self._heard_at + self._options.silence_s - time.monotonic()))
        self._heard.clear()
        sent = self._wire.send(request)
        left_at = time.monotonic() + len(sent) * self._options.char_s
        found, began_s = await self._wait(request, sent, left_at, timeout_s)
        return Heard(request, sent, bytes(self._heard), found, began_s)

    async def _wait(
        self, request: Request | Identify, sent: bytes, left_at: float, timeout_s: float
    ) -> tuple[Answer | None, float | None]:
        gap_s = max(_GAP_MIN_S, _GAP_CHARS * self._options.char_s)
        began_at = None
        until = left_at + timeout_s
        last = until + gap_s + _LONGEST_CHARS * self._options.char_s
        while (rest_s := min(until, last) - time.monotonic()) > 0:
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(rest_s):
                    await self._news.wait()
            self._check()
            if not self._news.is_set():
                break
            if found := self._answer(request, sent):
                return found, max(0.0, (began_at or time.monotonic()) - left_at)
            if not _is_only(sent, bytes(self._heard)):
                began_at = began_at or time.monotonic()
                until = max(left_at + timeout_s, self._heard_at + gap_s)
        return None, None if began_at is None else max(0.0, began_at - left_at)

    def _answer(self, request: Request | Identify, sent: bytes) -> Answer | None:
        heard = bytes(self._heard)
        if self._options.framing == "mbap":
            with suppress(BadReply):
                for number, unit, pdu in mbap_frames(heard):
                    if number == int.from_bytes(sent[:2], "big") and unit == request.unit:
                        return answer(request, pdu)
            return None
        found = (ascii_answer if self._options.framing == "ascii" else rtu_answer)(request, heard, sent)
        return found[0] if found else None

    def _on_bytes(self, data: bytes) -> None:
        self._heard += data
        self._heard_at = time.monotonic()
        self._news.set()

    def _on_lost(self) -> None:
        self._lost = True
        self._news.set()

    def _check(self) -> None:
        if self._lost:
            raise LinkDown(f"{self._options.endpoint} is gone")


def _is_only(sent: bytes, heard: bytes) -> bool:
    """Is it nothing but our own request coming back, or noise?"""
    return sent.startswith(heard) or not heard.replace(sent, b"", 1).strip(NOISE)
