"""`oc-sim`: one verb a file. stdout is data, stderr is talk.

Exit codes: 0 ok, 1 failed, 2 usage, 78 configuration (sysexits.h, EX_CONFIG).
"""

import argparse
import sys
from collections.abc import Sequence

from simulators.endpoints import CannotServe
from simulators.problems import SiteError
from simulators.processes import ChildFailed
from simulators.verbs import broker, check, demo, device, fleet, ioc, proxy, replay, run, tell

VERBS = (run, device, replay, tell, check, ioc, broker, proxy, fleet, demo)
COMMANDED = frozenset(verb.__name__.rpartition(".")[2] for verb in VERBS if getattr(verb, "TAKES_COMMAND", False))
EXIT_FAILED, EXIT_CONFIG, EXIT_INTERRUPTED = 1, 78, 130


def main(argv: Sequence[str] | None = None) -> None:
    """Run one verb and exit."""
    parser = argparse.ArgumentParser(prog="oc-sim", description="Simulated sites, IOC and broker for testers.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in VERBS:
        text = verb.__doc__ or ""
        name = verb.__name__.rpartition(".")[2]
        sub = verbs.add_parser(name, help=text.strip().splitlines()[0], description=text)
        verb.add_arguments(sub)
        sub.set_defaults(main=verb.main)
    own, command = _split(sys.argv[1:] if argv is None else argv)
    args = parser.parse_args(own)
    if command is not None and args.verb not in COMMANDED:
        parser.error(f"{args.verb} takes no command after --")
    args.command = command
    try:
        sys.exit(args.main(args))
    except SiteError as err:
        print(err, file=sys.stderr)
        sys.exit(EXIT_CONFIG)
    except (CannotServe, ChildFailed) as err:
        print(f"error: {err}", file=sys.stderr)
        sys.exit(EXIT_FAILED)
    except BrokenPipeError:
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def _split(argv: Sequence[str]) -> tuple[Sequence[str], Sequence[str] | None]:
    """Our own arguments, and the command after the first `--`; None without one."""
    argv = list(argv)
    at = argv.index("--") if "--" in argv else len(argv)
    return argv[:at], argv[at + 1 :] if at < len(argv) else None
