"""The options of `init` as a draft. All that is wrong with them is told at once."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agent.cli.init import notation
from agent.cli.init.draft import Draft, Table
from agent.cli.init.notation import NotUnderstood
from agent.cli.messages import tr
from agent.cli.output import Failed
from agent.configuration import ConfigError
from drivers.tomlfile import Problem, Section, TomlProblem, load_toml, nfc


def draft_of(args: argparse.Namespace) -> Draft:
    """What the options say; raises `Failed`, or `ConfigError` for the file of a scan."""
    wrong: list[str] = []

    def parsed(option: str, parse: Callable[[str], Any], text: str) -> Any:
        try:
            return parse(text)
        except NotUnderstood as err:
            wrong.append(f"{option}: {err}")
            return {}

    draft = Draft(gateway=_told(id=args.gateway_id), site=_told(oc=args.oc), uplink={})
    names = {"vi": args.name_vi, "en": args.name_en}
    if any(names.values()):
        draft.site["name"] = {language: nfc(name) for language, name in names.items() if name}
    if args.location:
        draft.site["location"] = parsed("--location", notation.location, args.location)
    if args.broker:
        draft.uplink |= parsed("--broker", notation.broker, args.broker)
    files = {"ca_file": args.ca, "cert_file": args.cert, "key_file": args.key, "password_file": args.password_file}
    draft.uplink |= _told(username=args.username) | {k: str(Path(v).absolute()) for k, v in files.items() if v}
    links, devices = _scanned(args.from_scan) if args.from_scan else ([], [])
    draft.links = [*links, *(parsed("--link", notation.link, text) for text in args.link)]
    draft.devices = [*devices, *(parsed("--device", notation.device, text) for text in args.device)]
    wrong += _missing(args) if args.yes else ()
    if wrong:
        raise Failed("\n  ".join(wrong))
    return draft


def _told(**values: Any) -> Table:
    return {key: value for key, value in values.items() if value}


def _missing(args: argparse.Namespace) -> Iterator[str]:
    """What only a person can know has no default: a guess would send readings under a wrong name."""
    for option in ("gateway_id", "oc", "broker"):
        if not getattr(args, option):
            yield tr("--{option} is needed with --yes", option=option.replace("_", "-"))


def _scanned(file: Path) -> tuple[list[Table], list[Table]]:
    """The `[[link]]` and `[[device]]` tables of a scan; what their keys say is checked with all the rest."""
    try:
        tree = load_toml(file)
    except TomlProblem as err:
        raise ConfigError([err.problem]) from err
    problems: list[Problem] = []
    root = Section.root(tree, problems)
    root.only(("link", "device"))
    links, devices = ([dict(one.data) for one in root.children(key)] for key in ("link", "device"))
    if problems:
        raise ConfigError(problems)
    return links, devices
