"""Asking the running agent again and again, and showing what it says: on a terminal, in a pipe, as JSON."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path

import msgspec

from agent.cli.output import Failed
from agent.cli.state import report_of
from agent.cli.watch.choosing import Report, chosen
from agent.cli.watch.page import Page, page_of, said
from agent.cli.watch.screen import opened_screen
from agent.configuration import load_configuration


def watch(args: argparse.Namespace) -> int:
    """The verb; gives its exit code."""
    runtime_dir = Path(load_configuration(args.config).settings.gateway.runtime_dir)

    def report() -> Report:
        return chosen(report_of(runtime_dir, "live"), args.device, only_bad=args.bad)

    if args.json:
        for _ in _times(args.count, args.interval):
            print(msgspec.json.encode(report()).decode(), flush=True)
    elif sys.stdout.isatty():
        report()  # what is wrong from the start is said outside of the screen
        _watch(report, args)
    else:
        for number in _times(args.count or 1, args.interval):
            print("\n" * bool(number) + "\n".join(line.text for line in page_of(report()).lines()), flush=True)
    return 0


def _watch(report: Callable[[], Report], args: argparse.Namespace) -> None:
    """Until Ctrl-C, which is how one ends it; an agent that is away may come back."""
    try:
        with opened_screen(coloured="NO_COLOR" not in os.environ) as screen:
            for _ in islice(count(), args.count):
                screen.show(_page(report))
                screen.wait(args.interval)
    except KeyboardInterrupt:
        return


def _page(report: Callable[[], Report]) -> Page:
    try:
        return page_of(report())
    except Failed as err:
        return said(str(err))


def _times(times: int | None, interval_s: float) -> Iterator[int]:
    """0, 1, 2, …, with a pause before each but the first."""
    for number in islice(count(), times):
        if number:
            time.sleep(interval_s)
        yield number
