"""The state of the running agent in words, for `status` and `watch`: from its report to lines and cells."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.cli.faults import said_at_once
from agent.cli.messages import tr
from agent.cli.outbox.texts import age_text
from agent.cli.output import Failed, value_text
from agent.control import AgentNotRunning, ask_agent

DAY_MS = 86_400_000
OLD_S = 100.0


def report_of(runtime_dir: Path, verb: str) -> dict[str, Any]:
    """The running agent's answer to `status` or `live`; raises `Failed` with what to try."""
    try:
        report: dict[str, Any] = ask_agent(runtime_dir, verb)
    except AgentNotRunning as err:
        raise Failed(tr("no agent is running on {place}: start it, or see its log", place=runtime_dir)) from err
    except PermissionError as err:
        raise Failed(tr("you may not ask the agent: use sudo, or join its group")) from err
    if "error" in report:
        raise Failed(tr("the running agent does not understand this oc-agent: restart the service"))
    return report


def gateway_text(report: dict[str, Any]) -> str:
    """Who it is."""
    values = {key: report[key] for key in ("gateway", "version", "clock")}
    text = tr("gateway {gateway}, oc-agent {version}, clock {clock}", **values)
    return text if report.get("loop", "asyncio") == "asyncio" else f"{text}, {report['loop']}"


def uplink_text(report: dict[str, Any]) -> str:
    """Whether the broker is there, or why not."""
    uplink = report["uplink"]
    error = said_at_once(uplink.get("fault"), uplink["error"])
    state = tr("connected") if uplink["connected"] else tr("not connected: {error}", error=error or "…")
    return tr(
        "uplink {broker}: {state}; acknowledged by: {ack}", broker=uplink["broker"], state=state, ack=uplink["ack"]
    )


def certificate_text(report: dict[str, Any]) -> str:
    """How long the certificate of this gateway is good; "" where there is none."""
    certificate = report.get("certificate")
    if not certificate:
        return ""
    days = (certificate["expires_ms"] - report["time_ms"]) // DAY_MS
    date = f"{datetime.fromtimestamp(certificate['expires_ms'] / 1000, UTC):%Y-%m-%d}"
    return tr("certificate {file}: until {date}, {days} days", file=certificate["file"], date=date, days=days)


def link_text(link: dict[str, Any]) -> str:
    """How a link is, and how it did in the last minute."""
    if lent := link.get("lent"):
        who = {"purpose": lent["purpose"] or "?", "pid": lent["pid"], "seconds": f"{lent['for_s']:.0f}"}
        state = tr("lent to {purpose}, pid {pid}, for {seconds} s", **who)
    else:
        state = tr("up") if link["up"] else tr("DOWN: {error}", error=link["error"] or "…")
    text = tr("link {link} ({endpoint}): {state}", link=link["link"], endpoint=link["endpoint"], state=state)
    if link.get("answered_pct") is None:
        return text
    rates = {key: f"{link[key]:g}" for key in ("busy_pct", "answered_pct")}
    return text + "; " + tr("line busy {busy_pct} %, answered {answered_pct} %", **rates)


def head() -> list[str]:
    """The columns of `rows`."""
    return [tr("device"), tr("point"), tr("value"), tr("unit"), tr("quality"), tr("age")]


def rows(device: dict[str, Any]) -> list[list[str]]:
    """One row a point; and one before them where something is wrong, or where nothing was read yet."""
    found = []
    if device["error"] or not device["points"]:
        found.append([device["device"], "—", "—", "—", device["error"] or tr("not read yet"), "—"])
    for point in device["points"]:
        quality = point["quality"] or tr("good")
        age = age_text(point["age_s"]) if point["age_s"] >= OLD_S else f"{point['age_s']:g} s"
        found.append([device["device"], point["point"], value_text(point["value"]), point["unit"], quality, age])
    return found
