"""The command line: one verb a file. stdout is data, stderr is talk.

Exit codes: 0 ok, 1 failed, 2 usage, 78 configuration (sysexits.h, EX_CONFIG).
"""

import agent.cli.sparing  # noqa: F401, I001 # first: it decides what the others load
import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from agent import __version__
from agent.cli.messages import set_language, tr
from agent.cli.output import Failed, say, show_problems
from agent.cli.parser import Parser, asked_language, asked_verb, translate
from agent.configuration import DEFAULT_FILE, ConfigError
from agent.logs import as_error, journald_reads

VERBS = (
    "run", "init", "reload", "check", "doctor", "ports", "scan", "read", "watch", "capture", "decode", "profiles",
    "status", "outbox", "support", "completion",
)  # fmt: skip
"""Each is a module of this package with `add_arguments` and `main`; its docstring is its help."""
EXIT_CONFIG = 78


def main(argv: Sequence[str] | None = None) -> None:
    """Run one verb and exit."""
    argv = sys.argv[1:] if argv is None else argv
    set_language(asked_language(argv) or ("en" if journald_reads() else None))
    verb = asked_verb(argv)
    parser = make_parser([verb] if verb in VERBS else VERBS)  # `run` carries no other verb in memory
    translate(parser)
    args = parser.parse_args(argv)
    try:
        code = _run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains again at its end
        code = 1
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def make_parser(verbs: Sequence[str] = VERBS) -> argparse.ArgumentParser:
    """The parser with these verbs, its help in English."""
    parser = Parser(prog="oc-agent", description="Sensors and cameras to the IOC.")
    parser.add_argument("--version", action="version", version=f"oc-agent {__version__}")
    parser.add_argument("--config", type=Path, default=DEFAULT_FILE, metavar="FILE", help="default %(default)s")
    parser.add_argument("--lang", choices=("vi", "en"), help="language of messages; default from the locale")
    subs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name in verbs:
        verb = import_module(f"{__name__}.{name}")
        lines = (verb.__doc__ or "").strip().splitlines()
        sub = subs.add_parser(name, help=lines[0], description=verb.__doc__)
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
