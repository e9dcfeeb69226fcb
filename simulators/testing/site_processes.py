"""A whole site as a process of its own: `oc-sim run`, which can be killed, and what it has served."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import msgspec

from simulators.testing.programs import BenchProgram
from simulators.testing.stage import Stage, wait_until
from simulators.world import Served

T = TypeVar("T")
WAIT_S = 20.0


class SiteProcess(BenchProgram):
    """The devices of a configuration. What they have served stays known over `kill` and `start`.

    It is written twice a second; of a site that was killed the last half second may be missing. Faults are options
    (`"--fault", "no_reply on=meter-1 from=10"`); who wants them in the hands of the test takes `Bench.site`.
    `addresses` has the real address of each link.
    """

    def __init__(self, stage: Stage, folder: Path, config: Path, options: Sequence[str]) -> None:
        self.addresses: Mapping[str, str] = {}
        self._truth = folder / "truth.jsonl"
        self._served: list[Served] = []
        self._read_bytes = 0
        argv = [sys.executable, "-m", "simulators", "run", "--config", str(config), "--truth", str(self._truth)]
        super().__init__(stage, "the site", [*argv, *options], folder / "site.log")

    def stop(self) -> None:
        """End it in order: all devices are gone, all that they have served is known. Raises `ChildFailed`."""
        self._stage.run(self._stop())

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

    def _ready(self, line: dict[str, Any]) -> None:
        self.addresses = dict(line["links"])
