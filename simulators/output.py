"""What verbs share: lines of JSON on stdout, and waiting for the signal to end."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
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
