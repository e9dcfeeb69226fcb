"""Which part of a report is wanted: certain devices, only what is not good. Pure."""

from collections.abc import Sequence
from typing import Any

from agent.cli.messages import tr
from agent.cli.output import Failed

Report = dict[str, Any]


def chosen(report: Report, devices: Sequence[str], *, only_bad: bool) -> Report:
    """The report with these devices, or with all where none is named; raises `Failed` where one is not known.

    A link without any of them is left out, unless it is down and nothing was named.
    """
    known = [device["device"] for link in report["links"] for device in link["devices"]]
    for name in devices:
        if name not in known:
            raise Failed(
                tr('the running agent has no device "{name}"; it has: {known}', name=name, known=", ".join(known))
            )
    links = [_link(link, devices, only_bad=only_bad) for link in report["links"]]
    return {**report, "links": [k for k in links if k["devices"] or not (devices or (only_bad and k["up"]))]}


def _link(link: Report, names: Sequence[str], *, only_bad: bool) -> Report:
    devices = [device for device in link["devices"] if not names or device["device"] in names]
    return {**link, "devices": [bad for device in devices if (bad := _bad(device))] if only_bad else devices}


def _bad(device: Report) -> Report | None:
    """What is not good of a device; None where all of it is."""
    points = [point for point in device["points"] if point["quality"]]
    is_wrong = device["error"] or device["up"] is False or not device["points"]
    return {**device, "points": points} if points or is_wrong else None
