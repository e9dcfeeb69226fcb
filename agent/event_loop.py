"""Which event loop the agent runs on: that of Python, or uvloop, where that is wanted and installed.

`OC_AGENT_LOOP=uvloop` wants it; `pip install 'oc-agent[uvloop]'` brings it. A gateway never stays away for it: where it
is not there, the agent says so and runs on Python's.

Promise: no wait is shorter than asked, on either. The silences that tell one frame from the next are such waits.
"""

import asyncio
import importlib
import logging
import os
import time
from collections.abc import Callable
from contextvars import Context
from typing import Any

log = logging.getLogger(__name__)

VARIABLE = "OC_AGENT_LOOP"
EARLY_S = 0.0015
"""uvloop counts whole milliseconds: those of a wait are rounded, half of one down, and the first was begun already."""
AT_ONCE_S = 0.001
"""What is due at once: with less it would have no timer, and handles that are none do not say `when`."""


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the loop that is wanted; None for Python's own."""
    wanted = os.environ.get(VARIABLE) or "asyncio"
    if wanted == "asyncio":
        return None
    if wanted != "uvloop":
        log.warning("%s=%s is not known: asyncio, uvloop; it is asyncio now", VARIABLE, wanted)
        return None
    try:
        return _never_early(importlib.import_module("uvloop").Loop)
    except ImportError as err:
        log.warning("%s=uvloop, but it cannot be loaded (%s): pip install uvloop; it is asyncio now", VARIABLE, err)
        return None


def loop_name() -> str:
    """`asyncio` or `uvloop`: what runs now."""
    return getattr(asyncio.get_running_loop(), "name", "asyncio")


def _never_early(base: Any) -> type[asyncio.AbstractEventLoop]:
    class Loop(base):  # type: ignore[misc] # uvloop need not be installed
        """uvloop, whose timers are late as those of Python are, and never early."""

        name = "uvloop"

        def time(self) -> float:
            """uvloop's own is that of its last look, in whole milliseconds: what is due by it may be due already."""
            return time.monotonic()

        def call_later(
            self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
        ) -> asyncio.Handle:
            wait_s = delay + EARLY_S if delay > 0 else AT_ONCE_S
            return super().call_later(wait_s, callback, *args, context=context)  # type: ignore[no-any-return]

        def call_at(
            self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
        ) -> asyncio.Handle:
            return self.call_later(when - self.time(), callback, *args, context=context)

        def close(self) -> None:
            """Whatever uvloop finds still open (EBUSY, now and then after TLS): nothing runs on it any more."""
            try:
                super().close()
            except OSError as err:
                log.debug("the loop did not close: %s", err)

    return Loop
