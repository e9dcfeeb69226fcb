"""What verbs share: lines of JSON on stdout, and waiting for the signal to end."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec


def show_line(value: Any) -> None:
    """One JSON document on one line, at once: somebody may be waiting for it."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def show_text(text: str) -> None:
    """Text for a person, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class SpareOutput:
    """Shows lines without ever waiting for who reads them: while the last ones are not taken, new ones are left out."""

    def __init__(self) -> None:
        self._writing: threading.Thread | None = None

    def show(self, text: str) -> None:
        """Text on stdout, soon; nothing where the reader is behind."""
        if self._writing is None or not self._writing.is_alive():
            data = (text + "\n").encode()
            self._writing = threading.Thread(target=_write_all, args=(data,), name="output", daemon=True)
            self._writing.start()

    def finish(self, seconds: float) -> None:
        """Give the reader a last chance of `seconds` to take what was shown."""
        if self._writing is not None:
            self._writing.join(seconds)


def _write_all(data: bytes) -> None:
    """Past the buffer of `sys.stdout`, whose lock would stop the interpreter at its end."""
    with suppress(OSError):
        while data:
            data = data[os.write(1, data) :]


@asynccontextmanager
async def stop_signal() -> AsyncIterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def wait_for(stop: asyncio.Event, timeout_s: float | None) -> bool:
    """Wait for `stop`; False where `timeout_s` was over first."""
    try:
        async with asyncio.timeout(timeout_s):
            await stop.wait()
    except TimeoutError:
        return False
    return True
