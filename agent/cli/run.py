"""Run the agent in the foreground, for systemd.

SIGTERM stops it in order: what was read is sealed, committed, sent for at most `uplink.drain_s`. The account is
one JSON line on stdout at the end.
"""

import argparse
import asyncio
import ctypes
import gc
import logging
import sys
from contextlib import suppress
from typing import Final

import msgspec

from agent.app import run_agent
from agent.cli.output import Failed
from agent.configuration import load_configuration
from agent.logs import set_up_logs
from agent.store import StoreError

log = logging.getLogger(__name__)

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8
"""Names of malloc.h."""
_LARGE_BYTES: Final = 128 * 1024
"""What the C library itself begins with; it is the buffers of LZMA and the larger ones of SQLite, once a minute."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments of its own."""


def main(args: argparse.Namespace) -> int:
    _keep_little()
    configuration = load_configuration(args.config)
    set_up_logs(configuration.settings.log.level)
    for warning in configuration.warnings:
        log.warning("%s:%d: %s: %s", warning.file, warning.line, warning.key, warning.what)
    _give_back()
    gc.freeze()  # what is loaded stays: looking through it for garbage takes 20 ms each time
    try:
        account = asyncio.run(run_agent(configuration.settings))
    except StoreError as err:
        raise Failed(str(err)) from err
    sys.stdout.write(msgspec.json.encode(account).decode() + "\n")
    return 0


def _keep_little() -> None:
    """Have the C library give back what was large; otherwise 5 MB that nobody uses are ours after the first minute.

    A heap for each thread, and large blocks in these heaps once one of their size was freed: both are for speed, and
    make holes (mallopt(3)). Not with musl, which does neither.
    """
    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in ((_ARENA_MAX, 1), (_MMAP_THRESHOLD, _LARGE_BYTES), (_TRIM_THRESHOLD, 2 * _LARGE_BYTES)):
            mallopt(parameter, value)


def _give_back() -> None:
    """What reading the configuration took, half a megabyte; the C library keeps it otherwise. Not with musl."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
