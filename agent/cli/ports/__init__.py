"""List the serial ports of this machine: the name for agent.toml, the adapter, who may open it, who holds it, its link.

Opens no port. Without root the processes of other users cannot be seen; the running oc-agent is asked for its own.
"""

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from agent.cli.layout import wrapped
from agent.cli.messages import tr
from agent.cli.output import say, show_json, show_line
from agent.cli.ports.holders import Holder, OpenFiles, open_devices
from agent.cli.ports.machine import SerialPort, configured_port, serial_ports
from agent.cli.ports.rights import advice, is_root, may_open, owned
from agent.configuration import ConfigError, load_configuration
from agent.control import AgentNotRunning, agent_pid, ask_agent
from agent.settings import LinkSettings, Settings

Links = Mapping[str, Sequence[LinkSettings]]
"""The links by the device file that their port is today."""


class PortReport(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to say of one port. `advice`: what this user must do to open it."""

    write: str
    port: SerialPort
    links: list[str]
    may_open: bool
    advice: str
    holders: list[Holder]
    holders_known: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="JSON on stdout")


def main(args: argparse.Namespace) -> int:
    settings = _settings(args.config)
    links: Links = _configured(settings) if settings else {}
    held = with_agent(open_devices(), *_asked(settings)) if settings else open_devices()
    reports = [_report(port, links, held) for port in _with_configured(serial_ports(), links)]
    if args.json:
        show_json({"ports": [_plain(report) for report in reports]})
        return 0
    for i, report in enumerate(reports):
        for line in (*([""] if i else []), *told(report)):
            show_line(line)
    if not reports:
        say(tr("there is no serial port: is the adapter plugged in? `dmesg` tells what the kernel saw"))
    return 0


def with_agent(held: OpenFiles, pid: int | None, ports: Sequence[str]) -> OpenFiles:
    """With the running agent named, also at the `ports` that it says are open where it is hidden from us."""
    if pid is None:
        return held
    holders = {
        device: [msgspec.structs.replace(one, agent=one.pid == pid) for one in found]
        for device, found in held.holders.items()
    }
    for port in ports:
        found = holders.setdefault(str(Path(port).resolve()), [])
        if not any(one.agent for one in found):
            found.append(Holder(pid=pid, command="oc-agent", agent=True))
    return OpenFiles(holders=holders, all_seen=held.all_seen)


def told(report: PortReport) -> Iterator[str]:
    """One port in words, the name to write alone on the first line."""
    facts = [
        (tr("device"), [report.port.device] if report.port.device != report.write else []),
        (tr("adapter"), list(_adapter(report.port))),
        (tr("right"), list(_right(report))),
        (tr("held by"), list(_held(report))),
        (tr("link"), [", ".join(report.links) or "—"]),
    ]
    yield report.write
    wide = 4 + max(len(name) for name, _ in facts)
    for name, texts in facts:
        for i, text in enumerate(texts):
            yield from wrapped(text, first=f"  {'' if i else name:<{wide - 2}}", rest=" " * wide)


def _adapter(port: SerialPort) -> Iterator[str]:
    driver = tr("driver {name}", name=port.driver) if port.driver else ""
    if adapter := port.adapter:
        names = " ".join(filter(None, (adapter.vendor, adapter.product)))
        number = tr("serial number {number}", number=adapter.serial) if adapter.serial else tr("no serial number")
        yield ", ".join(filter(None, (f"{names} ({adapter.usb})".strip(), number, driver)))
        if adapter.serial and not adapter.unique:
            yield tr("another adapter here has the same serial number")
        if not adapter.has_name and port.by_path:
            yield tr("it is told by its socket: plug it into the same one again")
    elif driver:
        yield ", ".join((tr("a port of this board"), driver))
    if port.console:
        yield tr("the system uses it as its console: turn that off first (raspi-config, or console= of the kernel)")


def _right(report: PortReport) -> Iterator[str]:
    if not report.port.there:
        yield tr("NOT THERE: is the adapter plugged in?")
    elif report.may_open:
        yield tr("you may open it")
    else:
        yield tr("you may NOT open it: {advice}", advice=report.advice)


def _held(report: PortReport) -> Iterator[str]:
    for holder in report.holders:
        if holder.agent:
            yield tr("the running oc-agent, pid {pid}", pid=holder.pid)
        else:
            yield tr("pid {pid}: {command}", pid=holder.pid, command=holder.command or "?")
    if not report.holders and report.port.there:
        if report.holders_known:
            yield tr("nobody")
        else:
            hidden = tr("nobody that can be seen")
            yield hidden if is_root() else f"{hidden}: {tr('use sudo to see all')}"


def _report(port: SerialPort, links: Links, held: OpenFiles) -> PortReport:
    device = str(Path(port.device).resolve())
    allowed = port.there and may_open(port.device)
    todo = ""
    if port.there and not allowed:
        with suppress(OSError):
            todo = advice(owned(port.device))
    return PortReport(
        write=port.to_write,
        port=port,
        links=[link.name for link in links.get(device, ())],
        may_open=allowed,
        advice=todo,
        holders=held.holders.get(device, []),
        holders_known=held.all_seen,
    )


def _plain(report: PortReport) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(report)
    return {"write": plain.pop("write"), **plain.pop("port"), **plain}


def _settings(file: Path) -> Settings | None:
    try:
        return load_configuration(file).settings
    except ConfigError as err:
        if not os.access(file.parent, os.X_OK) and file.parent.is_dir():
            what = tr("only root may read {file}, so links are not told: use sudo", file=file)
        elif file.exists():
            what = tr("{file} has {count} problem(s), so links are not told: see `oc-agent check`",
                      file=file, count=len(err.problems))  # fmt: skip
        else:
            what = tr("there is no {file}, so links are not told: write --config FILE", file=file)
        say(what)
        return None


def _configured(settings: Settings) -> Links:
    links: dict[str, list[LinkSettings]] = {}
    for link in settings.links:
        if link.options.endpoint.startswith("/"):
            links.setdefault(str(Path(link.options.endpoint).resolve()), []).append(link)
    return links


def _with_configured(ports: Sequence[SerialPort], links: Links) -> list[SerialPort]:
    known = {str(Path(port.device).resolve()) for port in ports}
    return [*ports, *(configured_port(own[0].options.endpoint) for device, own in links.items() if device not in known)]


def _asked(settings: Settings) -> tuple[int | None, list[str]]:
    """The pid of the running agent, and the ports that it says it has open."""
    folder = Path(settings.gateway.runtime_dir)
    try:
        report = ask_agent(folder, "status")
        return agent_pid(folder), [
            link["endpoint"] for link in report["links"] if link["up"] and link["endpoint"][:1] == "/"
        ]
    except (AgentNotRunning, PermissionError):
        return None, []
