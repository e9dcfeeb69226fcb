"""What the running agent says of a link: its report (`agent.report`) as an observation.

Pure, but for a link that is down: that one is looked at. The agent holds the port, so its devices are not asked again.
An echo, noise around good answers and slow bytes it does not tell of.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from agent.cli.doctor.devices.observation import LinkSeen, Observation
from agent.cli.doctor.devices.polling import framing_of
from agent.cli.doctor.devices.shapes import Framing, Shape, heard_as
from agent.cli.doctor.devices.trouble import why_down
from agent.settings import LinkSettings


def told(link: LinkSettings, report: Mapping[str, Any]) -> LinkSeen:
    """From one entry of `links` in the answer to `oc-agent status`."""
    framing = framing_of(link)
    error = "" if report["up"] else report["error"] or ""
    return LinkSeen(
        link=link.name,
        endpoint=link.options.endpoint,
        serial=link.options.endpoint.startswith("/"),
        framing=framing,
        trouble=why_down(link.options, error) if error else "",
        detail=error,
        devices=[_device(one, framing, late=bool(report["late"])) for one in report["devices"]],
        told=True,
    )


def _device(report: Mapping[str, Any], framing: Framing, *, late: bool) -> Observation:
    polls, evidence = report.get("polls", {}), report.get("evidence", {})
    found = Observation(device=report["device"], unit=report.get("unit"))
    for outcome, count in polls.items():
        found.shapes[_shape(outcome, evidence.get(outcome, {}), framing)] += count
    bad = evidence.get("garbage", {}).get("heard", "")
    found.example = bytes.fromhex(bad)[:24].hex(" ").upper()
    found.codes = [one["code"] for one in evidence.values() if one.get("code")]
    found.late_bytes = late
    found.mismatch = report.get("mismatch", "")
    found.total = sum(point["value"] is not None for point in report["points"])
    found.implausible, found.refused, found.faulty = (_with(report["points"], code) for code in ("rng", "cfg", "flt"))
    found.still_s = report.get("still_s") or 0.0
    found.not_asked = not polls and not found.mismatch
    return found


def _shape(outcome: str, evidence: Mapping[str, Any], framing: Framing) -> Shape:
    if outcome != "garbage":
        return {"ok": "answer", "refused": "refusal"}.get(outcome, "nothing")  # type: ignore[return-value] # they are
    asked, heard = (bytes.fromhex(evidence.get(key, "")) for key in ("asked", "heard"))
    if not asked or not heard or framing == "bytes":
        return "bytes"
    shape = heard_as(asked, heard, framing).shape
    return "garbage" if shape in ("answer", "refusal") else shape


def _with(points: Sequence[Mapping[str, Any]], quality: str) -> list[str]:
    return [point["point"] for point in points if point["quality"] == quality]
