"""What is allowed but unwise."""

import re
from pathlib import Path

from agent.configuration.forecast import forecast
from agent.settings import Settings
from drivers.ports import lasting_names
from drivers.tomlfile import Problem, Section

LOAD_WARNING = 0.7


def warnings_of(root: Section, settings: Settings) -> list[Problem]:
    """Problems that stop nothing."""
    warnings: list[Problem] = []
    quiet = root.sharing(warnings)
    if not settings.uplink.tls:
        fix = "set up certificates and remove `tls = false`; fine on a test bench"
        quiet.problem("uplink.tls", "readings and commands travel unencrypted", fix)
    order = [str(section.data.get("name")) for section in root.children("link")]
    for link in settings.links:
        devices = settings.on_link(link.name)
        key = f"link.{order.index(link.name)}"
        if not devices:
            quiet.problem(key, f'nothing is read on "{link.name}"', "add a `[[device]]` on it, or remove the link")
            continue
        found = forecast(link, devices)
        fix = "read less often, raise the baud rate, or move devices to another bus"
        if found.load > LOAD_WARNING:
            taken = f"{found.load:.0%} of the wire's time is taken ({found.heaviest})"
            quiet.problem(key, f"{taken}, {found.worst:.0%} with one dead device", fix)
        _check_name(quiet, key, getattr(link.options, "port", ""))
    return warnings


def _check_name(quiet: Section, key: str, port: str) -> None:
    """`ttyUSB0` is another adapter after a replug or a restart."""
    if not re.fullmatch(r"/dev/tty(USB|ACM)\d+", port):
        return
    names = lasting_names(port) if Path(port).exists() else []
    fix = (
        f'write `port = "{names[-1]}"`'
        if names
        else "write its name under /dev/serial/by-id, see `ls /dev/serial/by-id`"
    )
    quiet.problem(f"{key}.port", f"{port} may be another adapter after a restart", fix)
