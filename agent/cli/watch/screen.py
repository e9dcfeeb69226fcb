"""The terminal as a page that is drawn again and again: its alternate screen, which leaves no trace.

Promises: whatever ends us but SIGKILL, the terminal is as it was before; a new size of the window is seen at once.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from agent.cli.layout import WIDTH
from agent.cli.watch.page import Line, Page

ENTER: Final = "\x1b[?1049h\x1b[?25l"
"""xterm: the alternate screen, without a cursor (ctlseqs, DECSET 1049 and 25)."""
LEAVE: Final = "\x1b[?25h\x1b[?1049l"
HEIGHT: Final = 24
_RED, _BOLD, _PLAIN = "\x1b[31m", "\x1b[1m", "\x1b[0m"


class Screen:
    """The alternate screen of stdout."""

    def __init__(self, *, coloured: bool) -> None:
        self._coloured = coloured
        self._page: Page | None = None

    def show(self, page: Page) -> None:
        """Draw this in the place of what was there."""
        self._page = page
        width, height = _size()
        lines = page.lines(width, height)
        drawn = [f"\x1b[{row};1H\x1b[2K{self._painted(line)}" for row, line in enumerate(lines, 1)]
        rest = f"\x1b[{len(lines) + 1};1H\x1b[J" if len(lines) < height else ""
        _write("".join(drawn) + rest + "\x1b[H")

    def wait(self, seconds: float) -> None:
        """So long; where the window becomes another meanwhile, what was shown is drawn anew."""
        end_s = time.monotonic() + seconds
        while signal.sigtimedwait([signal.SIGWINCH], max(0.0, end_s - time.monotonic())) and self._page:
            self.show(self._page)

    def _painted(self, line: Line) -> str:
        before = _BOLD * line.strong + (_RED if line.bad and self._coloured else "")
        return f"{before}{line.text}{_PLAIN}" if before else line.text


@contextmanager
def opened_screen(*, coloured: bool) -> Iterator[Screen]:
    """The terminal is ours while the context is open. SIGTERM ends it as an exit with 143."""

    def end(_number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + signal.SIGTERM)

    def pause(_number: int, _frame: FrameType | None) -> None:
        _write(LEAVE)
        os.kill(os.getpid(), signal.SIGSTOP)
        _write(ENTER)

    before = {
        number: signal.signal(number, handler) for number, handler in ((signal.SIGTERM, end), (signal.SIGTSTP, pause))
    }
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
    _write(ENTER)
    try:
        yield Screen(coloured=coloured)
    finally:
        _write(LEAVE)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)


def _size() -> tuple[int, int]:
    """Columns and rows now, of which LINES and COLUMNS know nothing; a serial console says 0."""
    width, height = os.get_terminal_size(sys.stdout.fileno())
    return width or WIDTH, height or HEIGHT


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
