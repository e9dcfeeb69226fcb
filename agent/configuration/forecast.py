"""Forecast of each link: what is polled together, and how much of the wire's time it takes. Pure; opens nothing."""

from collections.abc import Mapping, Sequence

from agent.settings import DeviceSettings, LinkSettings, PolledPoint
from drivers.tomlfile import Section


def bus_load(link: LinkSettings, devices: Sequence[DeviceSettings]) -> float:
    """Which share of the wire's time the polls of `devices` take when all answer; 1.0 is all of it."""
    return sum(
        link.spec.bus_time_s(link.options, link.spec.compile_plan(device.profile, [p.point for p in points]))
        / interval_s
        for device in devices
        for interval_s, points in by_interval(device).items()
    )


def by_interval(device: DeviceSettings) -> Mapping[float, Sequence[PolledPoint]]:
    """The points of a device in groups that are polled together, shortest interval first."""
    groups: dict[float, list[PolledPoint]] = {}
    for point in sorted(device.points, key=lambda p: p.interval_s):
        groups.setdefault(point.interval_s, []).append(point)
    return groups


def check_loads(root: Section, links: Mapping[str, LinkSettings], devices: Sequence[DeviceSettings]) -> None:
    """Report links whose polls do not fit into the time that there is."""
    for section in root.children("link"):
        link = links.get(str(section.data.get("name")))
        load = bus_load(link, [d for d in devices if d.link == link.name]) if link else 0.0
        if load > 1:
            what = f"cannot fit: its polls take {load:.0%} of the wire's time"
            section.problem("", what, "raise `interval_s` of its devices, raise the baud rate, or use another bus")
