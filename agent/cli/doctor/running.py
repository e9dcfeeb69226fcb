"""The login as the running agent has seen it: it holds the one connection that this gateway may have."""

from collections.abc import Iterator
from typing import Any

from agent.cli.doctor.finding import Finding, fail, ok, warn
from agent.cli.doctor.ioc import heard_of_ioc
from agent.cli.faults import said
from agent.cli.messages import tr


def as_it_says(report: dict[str, Any]) -> Iterator[Finding]:
    """From the answer to `oc-agent status`."""
    uplink = report["uplink"]
    if not uplink["connected"]:
        yield _not_connected(uplink)
        return
    seconds = round((report["time_ms"] - uplink["since_ms"]) / 1000)
    yield ok("login", tr("the running agent has been connected for {seconds} s", seconds=seconds))
    if uplink["alarm"]:
        text = tr("the broker forbids us to publish: {alarm}", alarm=uplink["alarm"])
        yield fail("publish", text, tr("see the broker's access rules; the data is kept"))
    elif uplink["last_ack_ms"] is not None:
        seconds = round((report["time_ms"] - uplink["last_ack_ms"]) / 1000)
        yield ok("publish", tr("something was delivered {seconds} s ago", seconds=seconds))
    else:
        text = tr("nothing has been delivered since the agent was started")
        yield warn("publish", text, tr("wait a minute, then see `oc-agent status`"))
    yield heard_of_ioc(uplink["ioc_online"], acks=uplink["ack"] == "ioc")


def _not_connected(uplink: dict[str, Any]) -> Finding:
    fault = uplink.get("fault")
    text = said(fault)
    begin = tr("the running agent is not connected: {error}", error=text.what if text else uplink["error"] or "…")
    advice = text.advice if text else tr("wait a minute, then see its log")
    return Finding(check="login", state="fail", what=begin, advice=advice, code=fault["code"] if text and fault else "")
