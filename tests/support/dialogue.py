"""A program on a terminal of its own, as a person has it: it asks, the test answers."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping, Sequence
from typing import Self

_ON_TERMINAL = """\
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
PATIENCE_S = 60.0


class Dialogue:
    """The program runs while the context is open; `text` is all that it has shown."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._command = command
        self._environment = {**os.environ, **(environment or {})}
        self.text = ""
        self._seen = 0

    def __enter__(self) -> Self:
        self._fd, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 50, 200, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", _ON_TERMINAL, *self._command],
            stdin=slave, stdout=slave, stderr=slave, env=self._environment, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._fd)

    def expect(self, wanted: str) -> None:
        """Wait until `wanted` is shown behind what was expected before."""
        self._until(lambda: wanted in self.text[self._seen :], wanted)
        self._seen = self.text.index(wanted, self._seen) + len(wanted)

    def answer(self, question: str, line: str) -> None:
        """Wait for `question` and what stands behind it up to ": ", then type a line."""
        self.expect(question)
        self.expect(": ")
        self.type(line + "\n")

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def ends(self) -> int:
        """The exit code, once it has ended by itself."""
        self._until(lambda: False, "the end", at_end=True)
        return self.process.wait(PATIENCE_S)

    def _until(self, done, wanted: str, *, at_end: bool = False) -> None:
        end = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < end, f"waited for {wanted!r}, have:\n{self.text}"
            if not select.select([self._fd], [], [], 1.0)[0]:
                continue
            try:
                data = os.read(self._fd, 65_536)
            except OSError:  # EIO: the program has ended
                data = b""
            if not data:
                assert at_end, f"ended before {wanted!r}, have:\n{self.text}"
                return
            self.text += data.decode(errors="replace").replace("\r\n", "\n")
