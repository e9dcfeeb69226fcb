"""Processes that a test starts and ends itself: command lines, with or without a ready line."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Popen = subprocess.Popen[str]


@contextmanager
def closed_port() -> Iterator[int]:
    """A TCP port of loopback that refuses connections, and that nobody else can take meanwhile."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield int(sock.getsockname()[1])


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait for something true and return it; fails saying what was waited for."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := condition():
            return result
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds:g} s: {what}")


@contextmanager
def started(command: Sequence[str], log: Path, **options: Any) -> Iterator[Popen]:
    """A process whose stdout is a pipe and whose stderr goes to `log`; killed at the end if it still runs."""
    with log.open("a", encoding="utf-8") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True, **options)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        assert process.stdout
        process.stdout.close()


def ready_line(process: Popen) -> dict[str, Any]:
    """The JSON line that a simulator prints when it is ready."""
    assert process.stdout
    line = process.stdout.readline()
    assert line, f"{process.args} ended before it was ready"
    return dict(json.loads(line))


def stop(process: Popen, seconds: float = 20) -> str:
    """SIGTERM; returns the rest of stdout after a clean exit."""
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, f"{process.args} exited {process.returncode}"
    return out


def python_module(name: str, *arguments: str | os.PathLike[str]) -> list[str]:
    """`python -m name arguments` with the interpreter of the test."""
    return [sys.executable, "-m", name, *map(str, arguments)]
