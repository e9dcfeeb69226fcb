"""The `[[fault]]` tables of a scenario, and where each of them happens. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from drivers.tomlfile import Section
from simulators.faults.catalogue import FAULTS
from simulators.faults.fault import EVERYTHING, BadFault, Fault, check_place, make_fault
from simulators.scenario.scenario import Where
from simulators.site.faults import check_on_site
from simulators.site.reading import Site

UPLINK: Final = "uplink"
HOST: Final = "host"
_OF_THE_IOC: Final = frozenset(("ioc_kill", "ack_lost", "ack_late", "ack_doubled", "ack_stale"))


def read_faults(root: Section, site: Site, *, contract: bool) -> dict[Where, tuple[Fault, ...]]:
    """By place, in the order of the file; `contract`: there is a reference IOC."""
    found: dict[Where, list[Fault]] = {"site": [], UPLINK: [], HOST: []}
    for section in root.children("fault"):
        try:
            fault = make_fault(_placed(section.data))
            where = _check(fault, site)
        except BadFault as err:
            what, _, fix = str(err).partition(": ")
            section.problem(err.key, what if fix else "is not possible", fix or what)
            continue
        if fault.name in _OF_THE_IOC and not contract:
            section.problem("name", f"{fault.name} needs the IOC of contract v1", "remove it, or `[arrives]`")
        found[where].append(fault)
    return {where: tuple(faults) for where, faults in found.items()}


def _placed(keys: Mapping[str, Any]) -> Mapping[str, Any]:
    """With `on`, where it is left out and the fault is possible on the uplink or the host only."""
    kind = FAULTS.get(str(keys.get("name")))
    if kind is None or "on" in keys or len(kind.places) > 1:
        return keys
    (place,) = kind.places
    return {**keys, "on": place} if place in (UPLINK, HOST) else keys


def _check(fault: Fault, site: Site) -> Where:
    """Raises `BadFault` where it cannot happen there."""
    if fault.on == UPLINK:
        check_place(fault, "uplink")
        return UPLINK
    if fault.on == HOST:
        check_place(fault, "host")
        return HOST
    if fault.on not in (EVERYTHING, *(link.name for link in site.links), *(device.name for device in site.devices)):
        names = [
            *(link.name for link in site.links),
            *(device.name for device in site.devices),
            UPLINK,
            HOST,
            EVERYTHING,
        ]
        raise BadFault("on", f'there is no device or link "{fault.on}": write one of {", ".join(names)}')
    check_on_site(fault, site)
    return "site"
