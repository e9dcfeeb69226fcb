"""The profiles: which device models this gateway knows, what one of them says, and a new one from a table of registers.

PROFILE is `vendor/model` or a path ending in .toml. A profile in `profiles/` beside the configuration goes before one
of the same name that came with oc-agent. Needs no hardware and no configuration.
"""

import argparse

from agent.cli.profiles import catalogue, new, show

VERBS = {"list": (catalogue, ["search"]), "show": (show, []), "new": (new, [])}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="profiles_verb", required=True, metavar="VERB")
    for name, (verb, aliases) in VERBS.items():
        lines = (verb.__doc__ or "").strip().splitlines()
        sub = verbs.add_parser(name, aliases=aliases, help=lines[0], description=verb.__doc__)
        verb.add_arguments(sub)
        sub.set_defaults(profiles_main=verb.main)


def main(args: argparse.Namespace) -> int:
    return int(args.profiles_main(args))
