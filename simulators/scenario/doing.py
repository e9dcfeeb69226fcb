"""What else happens on the gateway's machine: the shell commands of `[[do]]`.

They are in our session, so that nobody takes them for processes of the gateway, and in a process group of their own,
which ends with the scenario: what a command leaves in the background as well.
"""

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from simulators.processes import ChildFailed
from simulators.scenario.machine import Runs

BEFORE_S: Final = 120.0
"""How long one may take that is awaited before the gateway starts."""
_END_S: Final = 2.0
_TAIL: Final = 1_000


@dataclass
class Doings:
    """Everything that was started; `log` has what they said."""

    machine: Runs
    env: Mapping[str, str]
    log: Path
    _running: list[tuple[str, asyncio.subprocess.Process]] = field(default_factory=list)

    async def start(self, shell: str) -> asyncio.subprocess.Process:
        """Begin with one."""
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self.machine.beside(["/bin/sh", "-c", shell]),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | dict(self.env),
                process_group=0,
            )
        self._running.append((shell, process))
        return process

    async def do(self, shell: str) -> None:
        """Do one, and wait until it is done; raises `ChildFailed` where it is not within two minutes."""
        process = await self.start(shell)
        with suppress(TimeoutError):
            async with asyncio.timeout(BEFORE_S):
                await process.wait()
        if process.returncode != 0:
            raise ChildFailed(self._failed(shell, process.returncode))

    async def end(self) -> Sequence[str]:
        """End what still runs; gives those that had failed, in words."""
        failed = [self._failed(shell, one.returncode) for shell, one in self._running if one.returncode]
        for _, process in self._running:
            _send(process, signal.SIGTERM)
        for _, process in self._running:
            with suppress(TimeoutError):
                async with asyncio.timeout(_END_S):
                    await process.wait()
            _send(process, signal.SIGKILL)
            await process.wait()
        self._running.clear()
        return failed

    def _failed(self, shell: str, code: int | None) -> str:
        said = self.log.read_text(encoding="utf-8", errors="replace")[-_TAIL:].strip()
        how = f"exit code {code}" if code is not None else f"not done within {BEFORE_S:g} s"
        return f"[[do]] `{shell.strip()}`: {how}: {said}"


def _send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """To the process and all that it has left behind."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
