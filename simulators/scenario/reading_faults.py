"""The `[[fault]]` tables of a scenario, and where each of them happens. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from drivers.tomlfile import Section
from simulators.faults.catalogue import FAULTS, Place
from simulators.faults.fault import EVERYTHING, BadFault, Fault, check_place, make_fault
from simulators.scenario.addresses import transport
from simulators.scenario.scenario import Where
from simulators.site import Site

UPLINK: Final = "uplink"
HOST: Final = "host"
_OF_THE_IOC: Final = frozenset(("ioc_kill", "ack_lost", "ack_late", "ack_doubled", "ack_stale"))


def read_faults(
    root: Section, site: Site, links: Sequence[Mapping[str, Any]], *, contract: bool
) -> dict[Where, tuple[Fault, ...]]:
    """By place, in the order of the file; `contract`: there is a reference IOC."""
    found: dict[Where, list[Fault]] = {"site": [], UPLINK: [], HOST: []}
    for section in root.children("fault"):
        try:
            fault = make_fault(_placed(section.data))
            where = _check(fault, site, links)
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


def _check(fault: Fault, site: Site, links: Sequence[Mapping[str, Any]]) -> Where:
    """Raises `BadFault` where it cannot happen there."""
    if fault.on == UPLINK:
        check_place(fault, "uplink")
        return UPLINK
    if fault.on == HOST:
        check_place(fault, "host")
        return HOST
    of_link = {link.name: [device.name for device in link.devices] for link in site.links}
    known = [*of_link, *(device.name for device in site.devices)]
    if fault.on not in (*known, EVERYTHING):
        raise BadFault(
            "on", f'there is no device or link "{fault.on}": write one of {", ".join(known)}, uplink, host, *'
        )
    is_device = fault.on in known and fault.on not in of_link
    places: tuple[Place, ...] = ("answer", "device") if is_device else ("answer", "device", "line")
    check_place(fault, *places)
    _check_transport(fault, of_link, links)
    return "site"


def _check_transport(fault: Fault, of_link: Mapping[str, Sequence[str]], links: Sequence[Mapping[str, Any]]) -> None:
    """A fault that never happens makes a scenario that tests nothing."""
    only = fault.kind.only
    if not only or fault.on == EVERYTHING:
        return
    for link in links:
        name = str(link.get("name"))
        if fault.on in (name, *of_link.get(name, ())) and transport(link) not in only:
            what = f"{fault.name} cannot happen on {name}, which speaks {transport(link)}"
            raise BadFault("name", f"{what}: it needs one of {', '.join(sorted(only))}")
