"""Processes that a test starts and ends itself: a broker, and command lines with a ready line."""

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


def free_port() -> int:
    """A TCP port of loopback that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


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


class Mosquitto:
    """A real broker on loopback that can be killed and started again on the same port."""

    def __init__(self, binary: str, folder: Path, *, max_queued_messages: int = 0) -> None:
        self.port = free_port()
        self._binary = binary
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
            f"max_queued_messages {max_queued_messages}\n",
            encoding="ascii",
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def _command(self) -> list[str]:
        return [self._binary, "-c", str(self._config)]

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        wait_until(self._answers, 15, f"{type(self).__name__} answers")

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def reload(self) -> None:
        """Read access rules and passwords again."""
        assert self._process
        self._process.send_signal(signal.SIGHUP)

    def pause(self) -> None:
        """It is there and says nothing, until `resume`."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0


class Amqtt(Mosquitto):
    """The embedded broker, which knows MQTT 3.1.1 only."""

    @property
    def _command(self) -> list[str]:
        return python_module("simulators.amqtt_broker", "--port", str(self.port))


def python_module(name: str, *arguments: str | os.PathLike[str]) -> list[str]:
    """`python -m name arguments` with the interpreter of the test."""
    return [sys.executable, "-m", name, *map(str, arguments)]
