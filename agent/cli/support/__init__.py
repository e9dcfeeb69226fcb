"""Collect what others need to help, in one archive without secrets: configuration, states, versions, journal.

Nothing is sent: the path of the archive goes to stdout, and it is yours to look at and to send. Passwords, keys and
the user name at the broker are taken out; names of hosts and devices, addresses and places stay in, for without them
nobody can help. Values that were measured are left out without --with-readings.

With sudo more is seen: the journal, who holds the ports, and secrets that are to be taken out wherever they stand.
"""

import argparse
import socket
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent import __version__
from agent.cli.layout import wrapped
from agent.cli.messages import tr
from agent.cli.output import Failed, say, show_json, show_line

if TYPE_CHECKING:
    from agent.cli.support.archive import Packed
    from agent.cli.support.parts import Part


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, default=Path(), metavar="DIR", help="write it there; default: here")
    parser.add_argument("--with-readings", action="store_true", help="with the last value of every point")
    parser.add_argument("--days", type=int, default=2, metavar="N", help="so much of the journal; default %(default)s")
    parser.add_argument("--journal-mb", type=int, default=5, metavar="N", help="at most so many; default %(default)s")
    parser.add_argument("--unit", default="oc-agent.service", metavar="NAME", help="the service; default %(default)s")
    parser.add_argument("--list", action="store_true", help="only say what would be in it")
    parser.add_argument("--json", action="store_true", help="JSON on stdout")


def main(args: argparse.Namespace) -> int:
    from agent.cli.support.parts import MEGABYTE, Wishes, parts

    config = args.config.absolute()
    wishes = Wishes(
        config=config,
        unit=args.unit,
        days=max(1, args.days),
        journal_bytes=max(1, args.journal_mb) * MEGABYTE,
        readings=args.with_readings,
    )
    todo = parts(wishes)
    if args.list and args.json:
        show_json({"parts": [{"name": part.name, "what": part.what} for part in todo]})
        return 0
    _announce(todo, show_line if args.list else say)
    return 0 if args.list else _make(todo, config, args)


def _announce(todo: "list[Part]", tell: Any) -> None:
    """What will be in it, and what will be taken out, before anything is read."""
    tell(tr("In the archive will be:"))
    wide = max(len(part.name) for part in todo) + 4
    for part in todo:
        for line in wrapped(part.what, first=f"  {part.name:<{wide - 2}}", rest=" " * wide):
            tell(line)
    for text in (
        tr("Taken out: passwords, keys, tokens, the user name at the broker, variables of the environment."),
        tr("Left in: names and addresses of hosts, gateway and devices, places, serial numbers."),
    ):
        for line in wrapped(text):
            tell(line)


def _make(todo: "list[Part]", config: Path, args: argparse.Namespace) -> int:
    from agent.cli.support.archive import new_archive
    from agent.cli.support.parts import configuration_files
    from agent.cli.support.scrubbing import Scrubber
    from agent.cli.support.secrets import secrets_of

    secrets = secrets_of(configuration_files(config))
    for file in secrets.unread:
        say(tr("{file} cannot be read, so it cannot be looked for elsewhere: use sudo", file=file))
    scrubber = Scrubber(secrets.known)
    now = datetime.now(UTC)
    name = f"oc-agent-support-{_gateway(config)}-{now:%Y%m%dT%H%M%SZ}"
    path = args.output.absolute() / f"{name}.tar.gz"
    try:
        with new_archive(path, name) as archive:
            for part in todo:
                _tell(archive.add(part, scrubber))
            packed = archive.packed
            manifest = {
                "made_by": f"oc-agent {__version__}",
                "time": f"{now:%Y-%m-%dT%H:%M:%SZ}",
                "readings": args.with_readings,
                "taken_out": dict(scrubber.taken),
                "secrets_not_read": secrets.unread,
            }
            archive.add_manifest(manifest)
    except OSError as err:
        raise Failed(tr("{file}: it cannot be written: {why}", file=path, why=err.strerror)) from err
    say(tr("taken out: {count} places", count=scrubber.taken.total()))
    if args.json:
        show_json({"ok": True, "file": str(path), **manifest, "parts": packed})
    else:
        show_line(str(path))
    return 0


def _tell(packed: "Packed") -> None:
    state = tr("failed: {why}", why=packed.error) if packed.error else tr("{bytes} bytes", bytes=packed.bytes)
    for line in wrapped(f"{packed.name}: {state}", rest="    "):
        say(line)


def _gateway(config: Path) -> str:
    """The id of the gateway, also where the configuration has other faults; else the name of the machine."""
    try:
        found = tomllib.loads(config.read_text(encoding="utf-8"))["gateway"]["id"]
    except (OSError, ValueError, KeyError, TypeError):
        found = socket.gethostname()
    return "".join(char if char.isascii() and char.isalnum() else "-" for char in str(found))[:63] or "x"
