"""Watch the running agent: last values with ages and quality, how busy each line is, outbox, uplink.

On a terminal the table is drawn anew in its place until Ctrl-C; else it is printed once. JSON: a line each time.
"""

import argparse

from agent.cli.messages import tr

SHORTEST_S, LONGEST_S = 0.2, 3_600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", action="append", default=[], metavar="NAME", help="only this one; several times")
    parser.add_argument("--bad", action="store_true", help="only what is not good")
    parser.add_argument("--interval", type=_interval, default=1.0, metavar="S", help="seconds between two; default 1")
    parser.add_argument("--count", type=_count, metavar="N", help="so many times, then end")
    parser.add_argument("--json", action="store_true", help="JSON on stdout, a document a line")


def main(args: argparse.Namespace) -> int:
    from agent.cli.watch.watching import watch  # not for each start of the service

    return watch(args)


def _interval(text: str) -> float:
    seconds = float(text)
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise argparse.ArgumentTypeError(tr("from {least:g} to {most:g}", least=SHORTEST_S, most=LONGEST_S))
    return seconds


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(tr("1 or more"))
    return number
