"""The reference IOC as a process that can be stopped, killed and started again."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from processes import Popen, python_module, ready_line, started, stop


class IocProcess:
    """The reference IOC; its database outlives it. Without `ack_every_s` it acknowledges nothing."""

    def __init__(self, folder: Path, port: int, ack_every_s: float | None) -> None:
        self.db = folder / "ioc.db"
        self._log = folder / "ioc.log"
        self._command = python_module(
            "simulators", "ioc", "--broker", f"mqtt://127.0.0.1:{port}", "--db", self.db,
            "--json", "--every", "3600",
        )  # fmt: skip
        self._command += ["--ack-every", str(ack_every_s)] if ack_every_s else ["--no-ack"]
        self._running = ExitStack()
        self._process: Popen | None = None

    def start(self) -> None:
        if self._process is None:
            self._process = self._running.enter_context(started(self._command, self._log))
            ready_line(self._process)

    def stop(self) -> dict[str, Any]:
        """End it in order; gives its last report."""
        assert self._process is not None
        said = stop(self._process)
        self.kill()
        return dict(json.loads(said.splitlines()[-1])["report"])

    def kill(self) -> None:
        self._running.close()
        self._process = None
