"""A process on a terminal of its own: what stands on its screen, its size, its keys."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from processes import wait_until

_TOKEN = re.compile(r"\x1b\[(\??)([\d;]*)([A-Za-z])|([^\x1b]+)")
CTRL_C = b"\x03"


class Terminal:
    """Understands what `oc-agent watch` sends; anything else fails the test that looks."""

    def __init__(self, rows: int, columns: int) -> None:
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns)
        self.modes = termios.tcgetattr(self.slave)
        self._heard = bytearray()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def resize(self, rows: int, columns: int) -> None:
        """Make the window another; the kernel tells the process."""
        self._rows = rows
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.master, keys)

    @property
    def heard(self) -> str:
        """All that was sent so far."""
        return bytes(self._heard).decode(errors="replace")

    @property
    def screen(self) -> list[str]:
        """What stands on the alternate screen; [] where the process has left it."""
        rows: dict[int, str] = {}
        at, is_there = 1, False
        for private, numbers, kind, text in _TOKEN.findall(self.heard):
            match (private, kind, numbers):
                case ("?", "h" | "l", "1049"):
                    is_there, rows = kind == "h", {}
                case ("?", "h" | "l", "25") | ("", "m", _):
                    pass
                case ("", "H", _):
                    at = int((numbers or "1").split(";")[0])
                case ("", "K", "2"):
                    rows[at] = ""
                case ("", "J", ""):
                    rows = {row: text for row, text in rows.items() if row < at}
                case ("", "", ""):
                    rows[at] = rows.get(at, "") + text
                case _:
                    raise AssertionError(f"not understood: {private}{numbers}{kind}")
        return [rows.get(row, "") for row in range(1, min(self._rows, max(rows, default=0)) + 1)] if is_there else []

    def wait_for(self, text: str) -> None:
        """Until a line of the screen has this."""
        wait_until(lambda: any(text in line for line in self.screen), 15, f"{text!r} stands on the screen")

    def close(self) -> None:
        """Hang up."""
        os.close(self.slave)
        self._thread.join(5)
        os.close(self.master)

    def _listen(self) -> None:
        while True:
            try:
                data = os.read(self.master, 65_536)
            except OSError:
                return
            if not data:
                return
            self._heard += data


@contextmanager
def on_terminal(
    command: Sequence[str], rows: int = 24, columns: int = 80, **options: Any
) -> Iterator[tuple[Terminal, "subprocess.Popen[bytes]"]]:
    """Run `command` on a terminal; killed at the end if it still runs."""
    terminal = Terminal(rows, columns)

    def own_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        command, stdin=terminal.slave, stdout=terminal.slave, stderr=terminal.slave,
        start_new_session=True, preexec_fn=own_terminal, **options,
    )  # fmt: skip
    try:
        yield terminal, process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        terminal.close()
