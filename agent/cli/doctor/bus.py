"""How much of its wire's time each link takes: as forecast, and as the running agent has measured."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from agent.cli.doctor.finding import Case, Finding, fail, ok, warn
from agent.cli.messages import tr
from agent.configuration import by_interval, forecast
from agent.configuration.forecast import Forecast
from agent.control import AgentNotRunning, ask_agent
from agent.settings import DeviceSettings, LinkSettings

FULL: Final = 0.7
"""Above this share a failed poll or a slow device is made up for too late."""
MEASURED_AFTER_S: Final = 60.0


def examine(case: Case) -> Iterator[Finding]:
    """Each link that has devices."""
    settings = case.configuration.settings
    report = _asked(Path(settings.gateway.runtime_dir))
    measured = {link["link"]: link for link in report.get("links", ())}
    for link in settings.links:
        if devices := settings.on_link(link.name):
            yield judged(link, devices, _busy(report, measured.get(link.name, {})), measured.get(link.name, {}))


def judged(
    link: LinkSettings, devices: tuple[DeviceSettings, ...], busy: float | None, report: Mapping[str, Any]
) -> Finding:
    """One link: the measured share of its time counts where there is one, else the forecast."""
    found = forecast(link, devices)
    text = tr("{link}: {load} of the time of the wire is forecast", link=link.name, load=f"{found.load:.0%}")
    if busy is not None:
        text += ", " + tr("{load} is measured", load=f"{busy:.0%}")
    missed = int(report.get("missed", 0))
    if missed:
        text += ", " + tr("{count} polls were left out", count=missed)
    load = max(found.load, busy or 0.0)
    if load <= FULL and not missed:
        return ok("load", text, subject=link.name)
    if load <= FULL:
        advice = tr("a device that is silent keeps the others waiting, see the devices; or the outbox is full")
        return warn("load", text, advice, code="polls_missed", subject=link.name)
    state, code = (fail, "bus_overload") if load > 1 else (warn, "bus_full")
    return state("load", text, _advice(found, devices), code=code, subject=link.name)


def _advice(found: Forecast, devices: tuple[DeviceSettings, ...]) -> str:
    """Which interval, and to what, so that the link is half empty."""
    name = max(found.shares, key=lambda one: found.shares[one])
    heaviest = next(device for device in devices if device.name == name)
    shortest_s = min(by_interval(heaviest))
    share = found.shares[name]
    room = max(share - (found.load - FULL), share / 10)
    enough_s = shortest_s * share / room if share else shortest_s
    return tr(
        "raise `interval_s` of {device} ({share}) from {now_s} to {enough_s} s, or the baud rate, or use a second bus",
        device=name,
        now_s=f"{shortest_s:g}",
        enough_s=f"{max(enough_s, shortest_s * 1.5):.3g}",
        share=f"{share:.0%}",
    )


def _asked(folder: Path) -> dict[str, Any]:
    try:
        return dict(ask_agent(folder, "status"))
    except (AgentNotRunning, PermissionError):
        return {}


def _busy(report: Mapping[str, Any], link: Mapping[str, Any]) -> float | None:
    running_s = report.get("running_s") or 0.0
    if running_s < MEASURED_AFTER_S or "busy_s" not in link:
        return None
    return float(link["busy_s"]) / float(running_s)
