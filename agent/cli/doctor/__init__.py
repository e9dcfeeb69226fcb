"""Examine everything on the way to the IOC, one thing after the other, and say what to do about each.

Changes nothing. While the agent runs, its own word is taken: a second connection under its name would end its own.
Otherwise this connects once as this gateway, unless --no-login is given: do not do that with a copy of the
configuration on another machine while the gateway itself is connected.
"""

import argparse

from agent.cli.doctor import broker, clock, settings
from agent.cli.doctor.finding import Case, Finding, Group
from agent.cli.messages import tr
from agent.cli.output import show_json, show_line
from agent.clock import SystemClock
from agent.configuration import load_configuration

GROUPS: dict[str, Group] = {"configuration": settings.examine, "clock": clock.examine, "broker": broker.examine}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON on stdout")
    parser.add_argument("--no-login", action="store_true", help="do not connect as this gateway")


def main(args: argparse.Namespace) -> int:
    case = Case(load_configuration(args.config), SystemClock(), args)
    found: list[tuple[str, Finding]] = []
    for name, examine in GROUPS.items():
        for finding in examine(case):
            found.append((name, finding))
            if not args.json:
                _show(finding)
    failed = sum(finding.state == "fail" for _, finding in found)
    if args.json:
        show_json({"ok": not failed, "findings": [{"group": name, **_plain(finding)} for name, finding in found]})
    else:
        show_line(tr("{count} of {all} are not as they should be", count=failed, all=len(found)))
    return 1 if failed else 0


def _show(finding: Finding) -> None:
    state = {"ok": tr("ok"), "warn": tr("warning"), "fail": tr("FAIL")}[finding.state]
    show_line(f"{state:<8}  {finding.what}")
    if finding.advice:
        show_line(f"{'':<8}  -> {finding.advice}")


def _plain(finding: Finding) -> dict[str, str]:
    return {key: getattr(finding, key) for key in ("check", "state", "code", "what", "advice")}
