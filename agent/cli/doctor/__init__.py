"""Examine everything from the wires to the IOC, one thing after the other, and say what to do about each.

Changes nothing. While the agent runs, its own word is taken: it holds the ports, and a second connection to the broker
under its name would end its own. Otherwise each device is read a few times, and this connects once as this gateway,
unless --no-devices or --no-login is given: do not do that with a copy of the configuration on another machine while
the gateway itself is connected.
"""

import argparse
import time
from collections import Counter
from typing import Final

from agent.cli.doctor.examination import examined
from agent.cli.doctor.finding import Case, Finding
from agent.cli.doctor.showing import Shown
from agent.cli.messages import tr
from agent.cli.output import show_json, show_line
from agent.clock import SystemClock
from agent.configuration import load_configuration

NAMES: Final = ("configuration", "service", "machine", "clock", "ports", "devices", "bus", "broker")
"""The groups in the order of the examination: what the later ones depend on comes first."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON on stdout")
    parser.add_argument(
        "--only", action="append", choices=NAMES, metavar="GROUP", help=f"{', '.join(NAMES)}; again for more"
    )
    parser.add_argument("--no-devices", action="store_true", help="do not read the devices")
    parser.add_argument("--no-login", action="store_true", help="do not connect as this gateway")


def main(args: argparse.Namespace) -> int:
    from agent.cli.doctor.groups import GROUPS, LIMITS_S  # not at every start of the agent

    case = Case(load_configuration(args.config), SystemClock(), args)
    began = time.monotonic()
    shown = Shown()
    found: list[tuple[str, Finding]] = []
    groups = {name: GROUPS[name] for name in NAMES if not args.only or name in args.only}
    for name, finding in examined(case, groups, LIMITS_S):
        found.append((name, finding))
        if not args.json:
            shown.show(name, finding)
    count = Counter(finding.state for _, finding in found)
    took_s = round(time.monotonic() - began, 1)
    if args.json:
        findings = [{"group": name, **_plain(finding)} for name, finding in found]
        show_json({"ok": not count["fail"], "took_s": took_s, "findings": findings})
    else:
        show_line(
            tr(
                "{fail} of {all} are not as they should be, {warn} warnings; this took {seconds} s",
                fail=count["fail"],
                warn=count["warn"],
                all=len(found),
                seconds=f"{took_s:g}",
            )
        )
    return 1 if count["fail"] else 0


def _plain(finding: Finding) -> dict[str, str]:
    return {key: getattr(finding, key) for key in ("check", "subject", "state", "code", "what", "advice")}
