"""The serial ports of the links: is each there, who may open it, who holds it, is it used twice."""

import grp
import os
import pwd
from collections.abc import Iterator, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import msgspec

from agent.cli.doctor.finding import Case, Finding, fail, ok, warn
from agent.cli.messages import tr
from agent.cli.ports import with_agent
from agent.cli.ports.holders import Holder, OpenFiles, open_devices
from agent.cli.ports.machine import SerialPort, serial_ports
from agent.cli.ports.rights import is_root, may_open
from agent.control import AgentNotRunning, agent_pid
from agent.settings import LinkSettings, Settings

USER: Final = "oc-agent"
"""Whom the unit file runs the service as; where there is such a user, its rights are what counts."""


class PortFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the machine: its serial ports, and who has what open."""

    known: Sequence[SerialPort]
    held: OpenFiles


def examine(case: Case) -> Iterator[Finding]:
    """Each link with a serial port, in the order of the file."""
    settings = case.configuration.settings
    links = [link for link in settings.links if link.options.endpoint.startswith("/")]
    if not links:
        yield ok("ports", tr("no link uses a serial port"))
        return
    facts = PortFacts(known=serial_ports(), held=with_agent(open_devices(), _pid(settings), []))
    yield from _used_twice(links)
    for link in links:
        yield from examined(link, facts)


def examined(link: LinkSettings, facts: PortFacts) -> Iterator[Finding]:
    """The port of one link: what is wrong with it, or that nothing is."""
    port = Path(link.options.endpoint)
    if not port.exists():
        yield _missing(link, port, facts.known)
        return
    wrong = [*_rights(link, port), *_holders(link, port, facts.held), *_name(link, port, facts.known)]
    yield from wrong
    if not any(finding.state == "fail" for finding in wrong):
        yield ok("port", tr("{link}: {port} is there and can be opened", link=link.name, port=port), subject=link.name)


def _missing(link: LinkSettings, port: Path, known: Sequence[SerialPort]) -> Finding:
    names = [one.to_write for one in known]
    alike = get_close_matches(port.name, [Path(name).name for name in names], 1, 0.6)
    near = [name for name in names if Path(name).name in alike] or names
    text = tr("{link}: {port} is not there", link=link.name, port=port)
    if near:
        advice = tr("is the adapter plugged in? There is: {names}; write that as `port` where it is the one",
                    names=", ".join(near))  # fmt: skip
    else:
        advice = tr("there is no serial port at all: plug the adapter in, see `dmesg`; a USB cable without data wires?")
    return fail("port", text, advice, code="port_missing", subject=link.name)


def _rights(link: LinkSettings, port: Path) -> Iterator[Finding]:
    """The user of the service is asked for where there is one: that root may open everything says nothing."""
    user = _service_user()
    allowed, whose = (user_may_open(user, port), user.pw_name) if user else (may_open(str(port)), tr("you"))
    if allowed:
        return
    group = _group(port)
    text = tr("{link}: {user} may not open {port}", link=link.name, user=whose, port=port)
    name = user.pw_name if user else pwd.getpwuid(os.geteuid()).pw_name if _is_known() else str(os.geteuid())
    advice = tr(
        "run: sudo usermod -aG {group} {user}; then restart the service, or log out and in", group=group, user=name
    )
    yield fail("right", text, advice, code="port_forbidden", subject=link.name)


def user_may_open(user: pwd.struct_passwd, port: Path) -> bool:
    """May this user read and write the device file? By its owner, its group and the groups of the user."""
    found = port.stat()
    if user.pw_uid == 0:
        return True
    if found.st_uid == user.pw_uid:
        return found.st_mode & 0o600 == 0o600
    if found.st_gid in os.getgrouplist(user.pw_name, user.pw_gid):
        return found.st_mode & 0o060 == 0o060
    return found.st_mode & 0o006 == 0o006


def _holders(link: LinkSettings, port: Path, held: OpenFiles) -> Iterator[Finding]:
    holders = [one for one in held.holders.get(str(port.resolve()), []) if not one.agent and one.pid != os.getpid()]
    if holders:
        names = ", ".join(tr("pid {pid}: {command}", pid=one.pid, command=_short(one)) for one in holders)
        text = tr("{link}: another program has {port} open: {names}", link=link.name, port=port, names=names)
        advice = tr("two on one port spoil each other's answers: end that program; ModemManager: remove it")
        yield fail("holder", text, advice, code="port_held", subject=link.name)
    elif not held.all_seen and not is_root():
        text = tr("{link}: who else holds the port cannot be seen", link=link.name)
        yield warn("holder", text, tr("use sudo to see all"), code="not_permitted", subject=link.name)


def _name(link: LinkSettings, port: Path, known: Sequence[SerialPort]) -> Iterator[Finding]:
    """`/dev/ttyUSB0` may be another adapter after the next restart; the console of the system is no bus."""
    found = next((one for one in known if Path(one.device).resolve() == port.resolve()), None)
    if found is None:
        return
    if str(port) == found.device != found.to_write:
        text = tr("{link}: {port} may be another adapter after a restart", link=link.name, port=port)
        advice = tr('write `port = "{name}"`', name=found.to_write)
        yield warn("name", text, advice, code="port_unstable", subject=link.name)
    if found.console:
        text = tr("{link}: the system uses {port} as its console", link=link.name, port=port)
        advice = tr("turn the serial console off: raspi-config, Interface Options, Serial Port; then restart")
        yield fail("console", text, advice, code="port_console", subject=link.name)


def _used_twice(links: Sequence[LinkSettings]) -> Iterator[Finding]:
    by_device: dict[Path, list[LinkSettings]] = {}
    for link in links:
        by_device.setdefault(Path(link.options.endpoint).resolve(), []).append(link)
    for device, several in by_device.items():
        if len(several) > 1:
            names = ", ".join(link.name for link in several)
            text = tr("{links} are links of one and the same port, {port}", links=names, port=device)
            advice = tr("one port, one link: put all their devices on one of them")
            yield fail("twice", text, advice, code="port_twice", subject=several[0].name)


def _pid(settings: Settings) -> int | None:
    with suppress(AgentNotRunning, PermissionError):
        return agent_pid(Path(settings.gateway.runtime_dir))
    return None


def _service_user() -> pwd.struct_passwd | None:
    with suppress(KeyError):
        return pwd.getpwnam(USER)
    return None


def _is_known() -> bool:
    with suppress(KeyError):
        return bool(pwd.getpwuid(os.geteuid()))
    return False


def _group(port: Path) -> str:
    with suppress(KeyError):
        return grp.getgrgid(port.stat().st_gid).gr_name
    return str(port.stat().st_gid)


def _short(holder: Holder) -> str:
    return holder.command[:60] or "?"
