"""A whole site as a process of its own: `oc-sim run`, which can be killed, and what it has served."""

import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from simulators.processes import Child, child
from simulators.testing.stage import Stage, wait_until
from simulators.world import Served

T = TypeVar("T")
WAIT_S = 20.0


class SiteProcess:
    """The devices of a configuration. What they have served stays known over `kill` and `start`.

    It is written twice a second; of a site that was killed the last half second may be missing. Faults are options
    (`"--fault", "no_reply on=meter-1 from=10"`); who wants them in the hands of the test takes `Bench.site`.
    """

    def __init__(self, stage: Stage, folder: Path, config: Path, options: Sequence[str]) -> None:
        self.addresses: Mapping[str, str] = {}
        self._stage = stage
        self._log = folder / "site.log"
        self._truth = folder / "truth.jsonl"
        self._argv = [sys.executable, "-m", "simulators", "run", "--config", str(config), "--truth", str(self._truth)]
        self._argv += options
        self._stack = AsyncExitStack()
        self._child: Child | None = None
        self._served: list[Served] = []
        self._read_bytes = 0

    def start(self) -> None:
        """Start it, and wait until all its devices are there; raises `ChildFailed`."""
        self._stage.run(self._start())

    def stop(self) -> None:
        """End it in order: all devices are gone, all that they have served is known."""
        self._stage.run(self._stop(signal.SIGTERM))

    def kill(self) -> None:
        """End it as a power cut would."""
        self._stage.run(self._stop(signal.SIGKILL))

    def served(self, device: str = "") -> list[Served]:
        """Each value that has left a device, or that one, in order."""
        self._read()
        return [one for one in self._served if device in ("", one.device)]

    def wait_for(self, condition: Callable[[Self], T], timeout_s: float = WAIT_S, what: str = "") -> T:
        """Until it gives something true, and that; raises `AssertionError`."""
        return wait_until(lambda: condition(self), timeout_s, what or "what the test waits for at the site")

    def _read(self) -> None:
        """What has been written since; a line that is not complete waits."""
        if self._truth.exists():
            with self._truth.open("rb") as file:
                file.seek(self._read_bytes)
                lines = file.read().rpartition(b"\n")[0]
            self._read_bytes += len(lines) + 1 if lines else 0
            self._served += [msgspec.json.decode(line, type=Served) for line in lines.splitlines()]

    async def _start(self) -> None:
        if self._child is None:
            self._child = await self._stack.enter_async_context(child("the site", self._argv, self._log))
            self.addresses = dict((await self._child.ready())["links"])

    async def _stop(self, number: signal.Signals) -> None:
        if self._child is not None:
            await self._child.stop(number)
        await self._stack.aclose()
        self._child = None

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop(signal.SIGTERM)
