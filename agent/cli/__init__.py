"""The command line: one verb a file. stdout is data, stderr is talk.

Exit codes: 0 ok, 1 failed, 2 usage, 78 configuration (sysexits.h, EX_CONFIG).
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from agent import __version__
from agent.cli import (
    capture,
    check,
    completion,
    decode,
    doctor,
    init,
    outbox,
    ports,
    profiles,
    read,
    run,
    scan,
    status,
    support,
)
from agent.cli.messages import set_language, tr
from agent.cli.output import Failed, say, show_problems
from agent.cli.parser import Parser, asked_language, translate
from agent.configuration import DEFAULT_FILE, ConfigError
from agent.logs import as_error, journald_reads

VERBS = (
    run, init, check, doctor, ports, scan, read, capture, decode, profiles, status, outbox, support, completion,
)  # fmt: skip
EXIT_CONFIG = 78


def main(argv: Sequence[str] | None = None) -> None:
    """Run one verb and exit."""
    argv = sys.argv[1:] if argv is None else argv
    set_language(asked_language(argv) or ("en" if journald_reads() else None))
    parser = make_parser()
    translate(parser)
    args = parser.parse_args(argv, argparse.Namespace(root=parser))
    try:
        code = _run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains again at its end
        code = 1
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def make_parser() -> argparse.ArgumentParser:
    """The parser with every verb, its help in English."""
    parser = Parser(prog="oc-agent", description="Sensors and cameras to the IOC.")
    parser.add_argument("--version", action="version", version=f"oc-agent {__version__}")
    parser.add_argument("--config", type=Path, default=DEFAULT_FILE, metavar="FILE", help="default %(default)s")
    parser.add_argument("--lang", choices=("vi", "en"), help="language of messages; default from the locale")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in VERBS:
        name = verb.__name__.rpartition(".")[2]
        lines = (verb.__doc__ or "").strip().splitlines()
        sub = verbs.add_parser(name, help=lines[0], description=verb.__doc__)
        verb.add_arguments(sub)
        sub.set_defaults(main=verb.main, json=False)
    return parser


def _run(args: argparse.Namespace) -> int:
    try:
        return int(args.main(args))
    except ConfigError as err:
        show_problems(err.problems, as_json=args.json)
        return EXIT_CONFIG
    except Failed as err:
        say(as_error(tr("error: {what}", what=err)))
        return 1
