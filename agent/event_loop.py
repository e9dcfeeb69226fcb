"""Which event loop the agent runs on: that of Python, or uvloop, where that is wanted and installed.

`OC_AGENT_LOOP=uvloop` wants it; `pip install 'oc-agent[uvloop]'` brings it. A gateway never stays away for it: where it
is not there, the agent says so and runs on Python's.
"""

import asyncio
import importlib
import logging
import os
from collections.abc import Callable

log = logging.getLogger(__name__)

VARIABLE = "OC_AGENT_LOOP"


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the loop that is wanted; None for Python's own."""
    wanted = os.environ.get(VARIABLE) or "asyncio"
    if wanted == "asyncio":
        return None
    if wanted != "uvloop":
        log.warning("%s=%s is not known: asyncio, uvloop; it is asyncio now", VARIABLE, wanted)
        return None
    try:
        return importlib.import_module("uvloop").new_event_loop  # type: ignore[no-any-return]
    except ImportError as err:
        log.warning("%s=uvloop, but it cannot be loaded (%s): pip install uvloop; it is asyncio now", VARIABLE, err)
        return None


def loop_name() -> str:
    """`asyncio` or `uvloop`: what runs now."""
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]
