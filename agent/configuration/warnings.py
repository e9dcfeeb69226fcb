"""What is allowed but unwise."""

import re
from pathlib import Path

from agent.configuration.forecast import forecast
from agent.secret_file import mending, readers
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
    _check_secrets(quiet, settings)
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


def _check_secrets(quiet: Section, settings: Settings) -> None:
    """A key or a password that others can read is not used: the uplink says so at each connection."""
    for key in ("key_file", "password_file"):
        file = getattr(settings.uplink, key)
        if not file or not (settings.uplink.tls or key == "password_file"):
            continue
        try:
            found = readers(Path(file))
        except OSError:
            continue  # whoever checks the configuration may see less than the service does
        if found == "others":
            quiet.problem(f"uplink.{key}", f"everybody may read {file}: it will not be used", mending(Path(file)))
        elif found == "group":
            quiet.problem(f"uplink.{key}", f"a whole group may read {file}", mending(Path(file)))


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
