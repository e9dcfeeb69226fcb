"""Write a new configuration: ask for what is needed, or take it from the options; with a comment at each key.

On a terminal it asks; `?` explains a question, an empty answer takes what stands in brackets, Ctrl-C writes nothing.
With --yes it asks nothing. It goes where --config says, and only when `oc-agent check` would find nothing wrong.

A broker is mqtts://host:8883 (mqtt:// is without TLS, wss:// over WebSockets). A link is
NAME=KIND:/dev/PORT,BAUD,8N1 or NAME=KIND:HOST:PORT; KIND is rtu, ascii, tcp, rtu-over-tcp, udp, tls, serial or camera.
A device is NAME=LINK,UNIT,PROFILE,INTERVAL; UNIT and INTERVAL may be left out.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.cli.messages import tr
from agent.cli.output import Failed, say, show_json, show_line, show_problems
from agent.configuration import ConfigError

if TYPE_CHECKING:
    from agent.cli.init.draft import Draft
    from agent.cli.init.placing import Placed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--gateway-id", metavar="ID", help="name of this gateway at the IOC: a-z 0-9 -")
    parser.add_argument("--oc", metavar="CODE", help="code of the operations centre")
    parser.add_argument("--name-vi", metavar="TEXT", help="name of the operations centre, in Vietnamese")
    parser.add_argument("--name-en", metavar="TEXT", help="name of the operations centre, in English")
    parser.add_argument("--location", metavar="LONGITUDE,LATITUDE", help="where it is (WGS 84)")
    parser.add_argument("--broker", metavar="URL", help="the IOC's broker, like mqtts://ioc.example.vn:8883")
    parser.add_argument("--ca", metavar="FILE", help="the authority that signed the broker's certificate (PEM)")
    parser.add_argument("--cert", metavar="FILE", help="this gateway's certificate (PEM)")
    parser.add_argument("--key", metavar="FILE", help="its key (PEM)")
    parser.add_argument("--username", metavar="NAME", help="where the broker wants a name and a password")
    parser.add_argument("--password-file", metavar="FILE", help="a file with the password in it")
    parser.add_argument("--link", action="append", default=[], metavar="LINK", help="one link; repeatable")
    parser.add_argument("--device", action="append", default=[], metavar="DEVICE", help="one device; repeatable")
    parser.add_argument(
        "--from-scan", type=Path, metavar="FILE", help="links and devices as `oc-agent scan` wrote them"
    )
    parser.add_argument("--yes", action="store_true", help="ask nothing: what is not told is left out")
    parser.add_argument(
        "--force", action="store_true", help="replace a configuration that is there; it is kept as a copy"
    )
    parser.add_argument("--json", action="store_true", help="JSON on stdout")


def main(args: argparse.Namespace) -> int:
    from agent.cli.init import placing
    from agent.cli.init.flags import draft_of
    from agent.cli.init.writing import configuration_text

    target = args.config.absolute()
    if not args.yes and not sys.stdin.isatty():
        raise Failed(tr("there is no terminal to ask on: write --yes, and what is needed as options (see --help)"))
    placing.check_place(target, force=args.force)
    draft = draft_of(args)
    try:
        if not args.yes and not _asked(draft, target):
            say(tr("nothing was written"))
            return 1
        placed = _placed(draft, configuration_text, target, force=args.force)
    except KeyboardInterrupt:
        say("\n" + tr("nothing was written"))
        raise
    except OSError as err:
        raise Failed(tr("{file}: it cannot be written: {why}", file=target, why=err.strerror)) from err
    _tell(placed, as_json=args.json)
    return 0


def _asked(draft: "Draft", target: Path) -> bool:
    """Ask for all that the draft does not have; False where it is not to be written."""
    from agent.cli.init.asking import ask_yes
    from agent.cli.init.instruments import Instruments
    from agent.cli.init.interview import ask_about_gateway, ask_about_uplink
    from agent.cli.init.placing import problems_of
    from agent.cli.init.wiring import ask_about_links
    from agent.cli.init.writing import configuration_text

    say(tr("`?` explains a question, an empty answer takes what stands in [brackets], Ctrl-C writes nothing."))
    ask_about_gateway(draft)
    ask_about_uplink(draft, target.parent)
    _name_password(draft)

    def look(now: "Draft") -> Any:
        return problems_of(configuration_text(now), target, but=_BUT)

    if problems := look(draft):
        raise ConfigError(problems)
    ask_about_links(draft, look, Instruments(draft, look, target.parent))
    say("\n" + configuration_text(draft))
    why = tr("It is written as a whole or not at all. You can change it later with any editor.")
    return ask_yes(tr("Write this to {file}?", file=target), why, default=True)


_BUT = ("uplink.password_file",)
"""It is written with the configuration: before that there is no such file."""


def _name_password(draft: "Draft") -> None:
    from agent.cli.init.placing import PASSWORD_FILE

    if draft.password:
        draft.uplink["password_file"] = PASSWORD_FILE


def _placed(draft: "Draft", text_of: "Callable[[Draft], str]", target: Path, *, force: bool) -> "Placed":
    from agent.cli.init.placing import place

    but = _BUT if draft.password else ()
    return place(text_of(draft), target, password=draft.password, but=but, force=force)


def _tell(placed: "Placed", *, as_json: bool) -> None:
    if as_json:
        show_json({"ok": True, **{key: getattr(placed, key) for key in placed.__struct_fields__}})
        return
    show_line(tr("{file} is written", file=placed.file))
    if placed.backup:
        show_line(tr("the old one is {file}", file=placed.backup))
    if placed.password_file:
        show_line(tr("the password is in {file}, for the service only", file=placed.password_file))
    if placed.warnings:
        title = tr("{count} warning(s):", count=len(placed.warnings))
        show_problems(placed.warnings, as_json=False, title=title)
    say(tr("next: `oc-agent read DEVICE`, `oc-agent doctor`, then start the service"))
