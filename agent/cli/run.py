"""Run the agent in the foreground, for systemd.

SIGTERM stops it in order: what was read is sealed, committed, sent for at most `uplink.drain_s`. The account is
one JSON line on stdout at the end.
"""

import argparse
import asyncio
import gc
import logging
import sys

import msgspec

from agent import allocator
from agent.app import run_agent
from agent.cli.output import Failed
from agent.configuration import load_configuration
from agent.event_loop import loop_factory
from agent.logs import set_up_logs
from agent.store import StoreError

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No arguments of its own."""


def main(args: argparse.Namespace) -> int:
    allocator.keep_little()
    configuration = load_configuration(args.config)
    set_up_logs(configuration.settings.log.level)
    for warning in configuration.warnings:
        log.warning("%s:%d: %s: %s", warning.file, warning.line, warning.key, warning.what)
    make_loop = loop_factory()
    allocator.give_back()
    gc.freeze()  # what is loaded stays: looking through it for garbage takes 20 ms each time
    try:
        with asyncio.Runner(loop_factory=make_loop) as runner:
            account = runner.run(run_agent(configuration.settings))
    except StoreError as err:
        raise Failed(str(err)) from err
    sys.stdout.write(msgspec.json.encode(account).decode() + "\n")
    return 0
