"""Forecast of each link: what is polled together, and how much of the wire's time it takes. Pure; opens nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.settings import DeviceSettings, LinkSettings, PolledPoint
from drivers.tomlfile import Section

COST_SHARE = 0.1
"""A dead device costs at most this share of the wire's time after its third failure (`agent.polling.quarantine`)."""
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the polls of a link will take. Shares are of the wire's time: 1.0 is all of it."""

    load: float
    """When every device answers."""
    worst: float
    """When the one whose silence costs most is dead, after its third failure."""
    longest_wait_s: float
    """How long one failed poll keeps the others waiting: its timeout, and the quiet line after it."""
    shares: Mapping[str, float]
    """What each device takes of it, by name."""

    @property
    def heaviest(self) -> str:
        """The devices that take most, with their shares, in words."""
        first = sorted(self.shares.items(), key=lambda item: -item[1])[:_NAMED]
        return ", ".join(f"{name} {share:.0%}" for name, share in first)


def forecast(link: LinkSettings, devices: Sequence[DeviceSettings]) -> Forecast:
    """Forecast the load of `link` with `devices` on it; the time that a device takes to answer is a guess."""
    shares: dict[str, float] = {}
    wait_s = 0.0
    for device in devices:
        shares[device.name] = 0.0
        for interval_s, points in by_interval(device).items():
            plan = link.spec.compile_plan(device.profile, [p.point for p in points])
            shares[device.name] += link.spec.bus_time_s(link.options, plan) / interval_s
            wait_s = max(wait_s, 2 * max(link.options.timeout_s, getattr(plan, "timeout_s", 0.0)))
    load = sum(shares.values())
    dead = max(COST_SHARE - min(shares.values(), default=0.0), 0.0)
    return Forecast(load, load + dead, wait_s, shares)


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
        if link is None:
            continue
        found = forecast(link, [d for d in devices if d.link == link.name])
        if found.load > 1:
            what = f"cannot fit: its polls take {found.load:.0%} of the wire's time ({found.heaviest})"
            section.problem("", what, "raise `interval_s` of its devices, raise the baud rate, or use another bus")
