"""A program of ours beside a test: a process that can be ended, killed and started again."""

import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from simulators.processes import Child, ChildFailed, child
from simulators.testing.stage import Stage


class BenchProgram:
    """One command line. What ends by itself, or not with exit code 0 where it was asked to, fails the test."""

    def __init__(self, stage: Stage, name: str, argv: Sequence[str], log: Path) -> None:
        self._stage = stage
        self._name = name
        self._argv = argv
        self._log = log
        self._stack = AsyncExitStack()
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        """Its process, for who measures what it takes; None while it does not run."""
        return self._child.process.pid if self._child else None

    def start(self) -> None:
        """Start it, and wait until it is ready; raises `ChildFailed`."""
        self._stage.run(self._start())

    def kill(self) -> None:
        """End it as a power cut would."""
        self._stage.run(self._stop(signal.SIGKILL))

    def _lines(self) -> list[dict[str, Any]]:
        """What it has printed since its start."""
        return list(self._child.lines) if self._child else []

    def _ready(self, line: dict[str, Any]) -> None:
        """Its first line."""

    async def _start(self) -> None:
        if self._child is None:
            self._child = await self._stack.enter_async_context(child(self._name, self._argv, self._log))
            try:
                self._ready(await self._child.ready())
            except ChildFailed:
                await self._stop(signal.SIGKILL)
                raise

    async def _stop(self, number: signal.Signals = signal.SIGTERM) -> list[dict[str, Any]]:
        """All that it had printed; raises `ChildFailed`."""
        ending = self._child
        if ending is None:
            return []
        code = await ending.stop(number)
        await self._stack.aclose()
        self._child = None
        if code and number == signal.SIGTERM:
            raise ChildFailed(f"{self._name} exited {code}:\n{ending.log_tail()}")
        return list(ending.lines)

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()
