"""Take over a changed configuration without a restart: it is checked first, and nothing that was read is lost.

A configuration that has a problem changes nothing. Links and devices that stay as they are go on being read. Where the
new uplink does not come back, the agent goes back to the former one. The file is left alone.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.cli.asking import refusals_in_words
from agent.cli.layout import wrapped
from agent.cli.messages import tr
from agent.cli.output import Failed, say, show_json, show_problems
from agent.configuration import ConfigError, load_configuration
from agent.control import AgentNotRunning, order_agent
from agent.logs import as_error
from drivers.tomlfile import Problem


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON on stdout")


def main(args: argparse.Namespace) -> int:
    settings = load_configuration(args.config).settings
    outcome = _asked(Path(settings.gateway.runtime_dir), settings.file)
    if outcome["result"] == "invalid":  # for the agent, which is another user
        raise ConfigError(Problem(**problem) for problem in outcome["problems"])
    done = outcome["result"] in ("applied", "unchanged")
    if args.json:
        show_json({"ok": done, **outcome})
    else:
        _show(outcome)
    return 0 if done else 1


def _asked(runtime_dir: Path, file: Path) -> Mapping[str, Any]:
    try:
        with refusals_in_words():
            outcome: Mapping[str, Any] = order_agent(runtime_dir, "reload", {"file": str(file.resolve())})
    except AgentNotRunning as err:
        raise Failed(
            tr("no agent is running on {place}: start it, or restart it where `runtime_dir` is new", place=runtime_dir)
        ) from err
    return outcome


def _show(outcome: Mapping[str, Any]) -> None:
    if outcome["warnings"]:
        warnings = [Problem(**warning) for warning in outcome["warnings"]]
        show_problems(warnings, as_json=False, title=tr("{count} warning(s):", count=len(warnings)))
    match outcome["result"]:
        case "applied":
            _show_change(outcome["change"], outcome["uplink"])
            print(tr("The new configuration runs."))
        case "unchanged":
            print(tr("Nothing has changed: what is in the files runs already."))
        case "refused":
            keys = ", ".join(outcome["refused"])
            _regret(tr("{keys}: cannot change while the agent runs. Nothing was changed.", keys=keys))
            _regret(tr("Restart the service: sudo systemctl restart oc-agent"))
        case "rolled_back":
            _regret(tr("The new uplink does not come back: {why}", why=outcome["why"]))
            _regret(tr("Nothing was changed: the former configuration runs on, and nothing is lost."))
            _regret(tr("Mend [uplink] in the file, then reload again: a restart would take the file as it is."))


def _show_change(change: Mapping[str, Any], uplink: str) -> None:
    for title, parts in ((tr("links"), change["links"]), (tr("devices"), change["devices"])):
        print(f"{title}:")
        for how, names in parts.items():
            if names:
                _tell(f"  {_how(how)}: {', '.join(names)}")
    if change["keys"]:
        _tell(tr("changed keys: {keys}", keys=", ".join(change["keys"])))
    _tell(_of_uplink(uplink))


def _tell(text: str) -> None:
    indent = " " * (len(text) - len(text.lstrip()))
    print("\n".join(wrapped(text.lstrip(), first=indent, rest=indent + "    ")))


def _regret(text: str) -> None:
    say(as_error("\n".join(wrapped(text))))


def _how(how: str) -> str:
    match how:
        case "added":
            return tr("added")
        case "removed":
            return tr("removed")
        case "changed":
            return tr("changed")
        case _:
            return tr("as before")


def _of_uplink(uplink: str) -> str:
    match uplink:
        case "replaced":
            return tr("uplink: connected with the new settings")
        case "untried":
            return tr(
                "uplink: there was no connection before, so the new settings are not proved: see `oc-agent status`"
            )
        case _:
            return tr("uplink: as before")
