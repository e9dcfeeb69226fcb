"""The devices and their wires: what each does when it is asked, and what its link shows about the wiring.

While the agent runs, this is its own word: it holds the ports. Else each device is read a few times, one link after
the other. A diagnosis says what is probable; what can be seen of each fault is in docs/wiring.md.
"""

import asyncio
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from agent.cli.doctor.devices.diagnosis import Diagnosis, diagnosed
from agent.cli.doctor.devices.faults import FAULTS
from agent.cli.doctor.devices.observation import LinkSeen
from agent.cli.doctor.devices.polling import polled
from agent.cli.doctor.devices.told import told
from agent.cli.doctor.finding import Case, Finding, ok, warn
from agent.cli.messages import tr, translated
from agent.cli.output import say
from agent.control import AgentNotRunning, ask_agent
from agent.uplink.faults import filled

BUDGET_S: Final = 90.0
"""What reading all devices may take together."""


def examine(case: Case) -> Iterator[Finding]:
    """Each link, by the running agent's word or by reading its devices."""
    settings = case.configuration.settings
    try:
        report = ask_agent(Path(settings.gateway.runtime_dir), "status")
    except AgentNotRunning:
        if case.args.no_devices:
            return
        for seen in _read_ourselves(case):
            yield from findings(seen)
    except PermissionError:
        text = tr("the agent may be running, and you may not ask it: no device was read")
        yield warn("agent", text, tr("use sudo, or join its group"), code="not_permitted")
    else:
        yield from _as_it_says(case, report)


def _as_it_says(case: Case, report: Mapping[str, Any]) -> Iterator[Finding]:
    by_name = {link["link"]: link for link in report["links"]}
    for link in case.configuration.settings.links:
        if link.name in by_name:
            yield from findings(told(link, by_name[link.name]))
        elif case.configuration.settings.on_link(link.name):
            text = tr("the running agent does not know the link {link}", link=link.name)
            yield warn("link", text, tr("load the configuration: `sudo oc-agent reload`, or restart the service"),
                       code="not_loaded", subject=link.name)  # fmt: skip


def _read_ourselves(case: Case) -> Iterator[LinkSeen]:
    settings = case.configuration.settings
    until = time.monotonic() + BUDGET_S
    links = [link for link in settings.links if settings.on_link(link.name)]
    for number, link in enumerate(links):
        share_s = (until - time.monotonic()) / (len(links) - number)
        if not case.args.json:
            count = len(settings.on_link(link.name))
            say(tr("reading {count} devices of {link}; this takes a while", count=count, link=link.name))
        yield asyncio.run(polled(link, settings.on_link(link.name), max(share_s, 1.0)))


def findings(seen: LinkSeen) -> Iterator[Finding]:
    """What is wrong on one link, and each device that is well."""
    found = list(diagnosed(seen))
    yield from map(_finding, found)
    ill = {one.subject for one in found}
    if seen.link in ill and not any(one.answers for one in seen.devices):
        return
    for one in seen.devices:
        if one.device not in ill and one.answers:
            if seen.told:
                text = tr("{device} answers: {count} of its polls in the last 10 minutes", device=one.device,
                          count=one.shapes.total())  # fmt: skip
            else:
                text = tr("{device} answers: {count} values", device=one.device, count=one.total)
            yield ok("device", text, subject=one.device)


def _finding(one: Diagnosis) -> Finding:
    text = FAULTS[one.code]
    what, advice = (filled(translated(part), one.values) for part in text)
    if one.often:
        failures, requests = one.often
        what = tr("{what} ({count} of {all} times)", what=what, count=failures, all=requests)
    check = "link" if one.subject == one.values["link"] else "device"
    return Finding(check=check, state=one.state, code=one.code, subject=one.subject, what=what, advice=advice)
