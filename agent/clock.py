"""Time: the monotonic clock, the wall clock, the boot id, and whether the wall clock may be believed.

Only the kernel's own word counts as synchronised: a board without a battery clock wakes up with a plausible
wrong time, not with 1970 (adjtimex(2): TIME_ERROR, STA_UNSYNC).
"""

import ctypes
import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
_TIME_ERROR = 5
_STA_UNSYNC = 0x0040
_TIMEX_BYTES = 256
_STATUS_OFFSET = 40 if ctypes.sizeof(ctypes.c_long) == 8 else 20


class ClockState(StrEnum):
    """`sync` now; `hold`: was in this boot, free-running now; `unsync`: never yet in this boot."""

    SYNC = "sync"
    HOLD = "hold"
    UNSYNC = "unsync"


class Clock(Protocol):
    """Where everything in the agent takes its time from."""

    @property
    def boot_id(self) -> str:
        """Names this boot; monotonic times of different boots have nothing to do with each other."""

    def mono_ns(self) -> int:
        """Monotonic time in nanoseconds; never steps."""

    def wall_ms(self) -> int:
        """Wall clock in milliseconds since 1970 UTC; may be wrong and may step."""

    def state(self) -> ClockState:
        """How far `wall_ms` may be believed now."""


STATE_WORDS: Final = {
    ClockState.SYNC: "synchronised",
    ClockState.HOLD: "no longer synchronised",
    ClockState.UNSYNC: "never set in this boot",
}


def described(clock: Clock, translate: Callable[[str], str] = str) -> str:
    """What the clock says, and how far that may be believed, for people."""
    at = datetime.fromtimestamp(clock.wall_ms() / 1000, UTC)
    return f"{at:%Y-%m-%d %H:%M:%S} UTC ({translate(STATE_WORDS[clock.state()])})"


class SystemClock:
    """The clock of this machine."""

    def __init__(self) -> None:
        self.boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        self._adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
        self._was_synchronised = False

    def mono_ns(self) -> int:
        return time.monotonic_ns()

    def wall_ms(self) -> int:
        return time.time_ns() // NS_PER_MS

    def state(self) -> ClockState:
        if self._kernel_synchronised():
            self._was_synchronised = True
            return ClockState.SYNC
        return ClockState.HOLD if self._was_synchronised else ClockState.UNSYNC

    def _kernel_synchronised(self) -> bool:
        timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes = 0: read only
        answer: int = self._adjtimex(timex)
        status = int.from_bytes(timex.raw[_STATUS_OFFSET : _STATUS_OFFSET + 4], "little")
        return 0 <= answer < _TIME_ERROR and not status & _STA_UNSYNC
