"""Whether a fault can happen on a site. Pure.

A fault that never happens makes a test that tests nothing: it is refused, with what to write.
"""

from typing import Final

from simulators.faults.catalogue import Place, Transport
from simulators.faults.fault import EVERYTHING, BadFault, Fault, check_place
from simulators.likeness import like
from simulators.site.reading import Site, SiteLink

PLACES: Final[tuple[Place, ...]] = ("answer", "device", "line")
"""Where a simulated site can have faults; the others happen elsewhere."""
_FRAMINGS: Final[dict[str, Transport]] = {"mbap": "tcp", "rtu": "rtu", "ascii": "ascii"}


def check_on_site(fault: Fault, site: Site) -> None:
    """Raises `BadFault` where it is no fault of a site, on nothing of this one, or on nothing where it can happen."""
    check_place(fault, *PLACES)
    hit = [link for link in site.links if fault.on in (EVERYTHING, link.name, *(one.name for one in link.devices))]
    if not hit and fault.on != EVERYTHING:
        names = [*(link.name for link in site.links), *(device.name for device in site.devices)]
        raise BadFault("on", f'there is no device or link "{fault.on}": {like(fault.on, names)}')
    _check_neighbours(fault, site)
    if hit and all(why := [_cannot(fault, link) for link in hit]):
        raise BadFault("name", f"{fault.name} cannot happen on {hit[0].name}, {why[0]}")


def _check_neighbours(fault: Fault, site: Site) -> None:
    """What happens to a line happens to all who are on it."""
    if fault.kind.places & {"answer", "device"}:
        return
    for link in site.links:
        others = [device.name for device in link.devices if device.name != fault.on]
        if fault.on != link.name and others and len(others) < len(link.devices):
            what = f"{fault.name} happens to the whole line, and {others[0]} is on it too"
            raise BadFault("on", f'{what}: write on = "{link.name}"')


def _cannot(fault: Fault, link: SiteLink) -> str:
    """Why it cannot happen there; empty where it can."""
    if fault.kind.only and speaks(link) not in fault.kind.only:
        return f"which speaks {speaks(link)}: it needs one of {', '.join(sorted(fault.kind.only))}"
    return "which is a serial port: it needs a TCP port" if fault.kind.needs_tcp and link.options.port else ""


def speaks(link: SiteLink) -> Transport:
    """How the answers on a link are framed."""
    return _FRAMINGS.get(getattr(link.options, "framing", ""), "bytes")
