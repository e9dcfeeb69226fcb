"""oc-agent in this process, with its data folder on a faulty card: `agent_on_faulty_card.py DATA MIRROR CONTROL ARGS…`.

MIRROR always holds what the card would after a power cut, nothing unsynced surviving. CONTROL is a JSON file, looked at
again whenever it has changed: `error` is "full", "io" or "readonly", `sync_delay_s` how long each sync takes,
`wall_offset_ms` by how much the wall clock is off, `boot_id` names the boot (as of the start).
"""

import errno
import json
import sys
from pathlib import Path
from typing import Any

from card_model import Mirror
from faulty_card import CHANGES, Faults, FaultyCard

import agent.app
from agent.cli import main as oc_agent
from agent.clock import SystemClock

ERRORS = {"io": (errno.EIO, ("write", "sync")), "readonly": (errno.EROFS, tuple(CHANGES))}


class Control:
    """What the control file says now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed_ns = -1
        self.faults = Faults()
        self.says: dict[str, Any] = {}

    def look(self) -> None:
        changed_ns = self._path.stat().st_mtime_ns
        if changed_ns == self._changed_ns:
            return
        self._changed_ns = changed_ns
        self.says = json.loads(self._path.read_text(encoding="utf-8"))
        self.faults.heal()
        error = self.says["error"]
        if error == "full":
            self.faults.room_bytes = 0
        elif error:
            self.faults.fail(ERRORS[error][0], *ERRORS[error][1])
        self.faults.sync_delay_s = self.says["sync_delay_s"]


class ControlledClock(SystemClock):
    """The clock of this machine, as far as the control file lets it be right."""

    def __init__(self, control: Control) -> None:
        super().__init__()
        self._control = control
        self.boot_id = control.says["boot_id"]

    def wall_ms(self) -> int:
        self._control.look()
        return super().wall_ms() + int(self._control.says["wall_offset_ms"])


def main() -> None:
    data, mirror, control_file, *arguments = sys.argv[1:]
    control = Control(Path(control_file))
    card = FaultyCard(Path(data), Mirror(Path(mirror)), before_each=control.look)
    control.faults = card.faults
    control.look()
    agent.app.SystemClock = lambda: ControlledClock(control)  # type: ignore[assignment, misc]
    with card.inserted():
        oc_agent(arguments)


if __name__ == "__main__":
    main()
