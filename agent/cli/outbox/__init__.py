"""The outbox: what waits, what was sent, what was lost; of a running agent or of a copy from a dead card.

FILE is an outbox.db, or the folder it is in; without it the outbox of the configuration is meant.
"""

import argparse

from agent.cli.outbox import export, forget, salvage, show, status, verify

VERBS = (status, show, export, verify, salvage, forget)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="outbox_verb", required=True, metavar="VERB")
    for verb in VERBS:
        name = verb.__name__.rpartition(".")[2]
        lines = (verb.__doc__ or "").strip().splitlines()
        sub = verbs.add_parser(name, help=lines[0], description=verb.__doc__)
        verb.add_arguments(sub)
        sub.set_defaults(outbox_main=verb.main)


def main(args: argparse.Namespace) -> int:
    return int(args.outbox_main(args))
