"""Programs as processes of their own: started, watched for their ready line, ended by their id.

A child's stdout is read line by line, so that it never waits for us; its stderr goes to a file, its stdout where asked.
"""

import asyncio
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 15.0
MAX_LINES = 1_000
LINE_BYTES = 4 * 1024 * 1024
_TAIL_LINES = 15


class ChildFailed(Exception):
    """A program did not start, or ended when it should not have; the message holds the end of its log."""


class Child:
    """One running program. `lines` are the last JSON objects that it has printed on stdout."""

    def __init__(
        self, name: str, process: asyncio.subprocess.Process, log: Path, output: BinaryIO | None = None
    ) -> None:
        self.name = name
        self.process = process
        self.log = log
        self.lines: deque[dict[str, Any]] = deque(maxlen=MAX_LINES)
        self.on_line: Callable[[dict[str, Any]], None] = lambda _line: None
        self._output = output
        self._printed = asyncio.Event()
        self._reader = asyncio.get_running_loop().create_task(self._read(), name=f"stdout of {name}")

    @property
    def running(self) -> bool:
        return self.process.returncode is None

    async def ready(self, timeout_s: float = START_TIMEOUT_S) -> dict[str, Any]:
        """Wait for its first line; raises `ChildFailed`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._printed.wait()
        if not self.lines:
            raise ChildFailed(f"{self.name} did not start within {timeout_s:g} s:\n{self.log_tail()}")
        return self.lines[0]

    async def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Ask it to end, make it end after `timeout_s`; gives its exit code. All that it printed is in `lines`."""
        if self.running:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)
            try:
                async with asyncio.timeout(timeout_s):
                    await self.process.wait()
            except TimeoutError:
                self.process.kill()
        code = await self.process.wait()
        await self._reader
        return code

    def log_tail(self) -> str:
        """The last lines of its stderr."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:])

    async def _read(self) -> None:
        async for line in self._stdout():
            if self._output:
                self._output.write(line)
            with suppress(msgspec.DecodeError):
                value = msgspec.json.decode(line)
                if isinstance(value, dict):
                    self.lines.append(value)
                    self.on_line(value)
                    self._printed.set()
        self._printed.set()

    async def _stdout(self) -> AsyncIterator[bytes]:
        """Its lines. Of one that is longer than `LINE_BYTES` only the end comes."""
        assert self.process.stdout is not None
        while True:
            with suppress(ValueError):
                line = await self.process.stdout.readline()
                if not line:
                    return
                yield line


@asynccontextmanager
async def child(
    name: str,
    argv: Sequence[str],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    output: Path | None = None,
    stdin: int = asyncio.subprocess.DEVNULL,
) -> AsyncIterator[Child]:
    """Run a program until the context ends; raises `ChildFailed` where it cannot be started.

    `env` comes on top of our environment; what it prints on stdout is appended to `output` too.
    """
    with ExitStack() as files:
        stderr = files.enter_context(log.open("ab"))
        stdout = files.enter_context(output.open("ab", buffering=0)) if output else None
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=stdin,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                limit=LINE_BYTES,
                env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(env or {}),
                start_new_session=True,
            )
        except OSError as err:
            raise ChildFailed(f"cannot start {name} ({argv[0]}): {err.strerror}") from err
        running = Child(name, process, log, stdout)
        try:
            yield running
        finally:
            await running.stop()
