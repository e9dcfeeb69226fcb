"""What is allowed but unwise."""

from agent.configuration.forecast import bus_load
from agent.settings import Settings
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
        load = bus_load(link, devices)
        if load > LOAD_WARNING:
            fix = "read less often, raise the baud rate, or move devices to another bus"
            quiet.problem(key, f"{load:.0%} of the wire's time is taken: little is left when a device fails", fix)
    return warnings
