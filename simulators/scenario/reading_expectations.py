"""The `[[expect]]` tables of a scenario. Pure."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from drivers.api import Quality
from drivers.tomlfile import Section
from simulators.faults.catalogue import FAULTS
from simulators.scenario.arriving import Arrives
from simulators.scenario.evidence import DeviceFacts
from simulators.scenario.expectations import EXPECTATIONS, Expectation, NothingWrong, Runs
from simulators.scenario.expectations.missing import PICTURE
from simulators.scenario.expectations.polling import GOOD, QualityIs, Recovers
from simulators.scenario.expectations.process import Output
from simulators.scenario.expectations.saying import Online
from simulators.scenario.expectations.verdict import OfDevices, Timed, listed
from simulators.scenario.scenario import ScenarioKeys
from simulators.site.reading import Site

_ONE_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "value": ("equals", "at_least", "at_most"),
    "polled": ("at_most_s", "at_most_per_s"),
    "latency": ("p50_s", "p95_s", "p99_s", "max_s"),
    "memory": ("at_most_mb", "growth_mb"),
    "files": ("at_most", "growth"),
}
"""Without one of these an expectation expects nothing."""


def read_expectations(
    root: Section, keys: ScenarioKeys, devices: Mapping[str, DeviceFacts], site: Site, arrives: Arrives | None
) -> tuple[Expectation, ...]:
    """In the order of the file, and before them those that every scenario has."""
    found: list[Expectation] = []
    for section in root.children("expect"):
        one = _read(section)
        if one is None:
            continue
        _check_arrives(section, one, arrives)
        _check_names(section, one, devices, site)
        _check_times(section, one, keys)
        _check_own(section, one)
        found.append(one)
    written = {one.that for one in found}
    implied = [one() for one, on in ((NothingWrong, keys.nothing_wrong), (Runs, keys.runs)) if on]
    return (*(one for one in implied if one.that not in written), *found)


def _check_arrives(section: Section, one: Expectation, arrives: Arrives | None) -> None:
    """What cannot be seen of a gateway whose messages are not those of contract v1."""
    if arrives is None:
        return
    if one.contract_only:
        section.problem("that", f"{one.that} needs contract v1", "remove it, or `[arrives]`")
    if one.that == "latency" and not arrives.time:
        section.problem("that", "latency needs the times of the gateway", "add `time` to `[arrives]`")
    if isinstance(one, QualityIs) and not arrives.quality and listed(one.quality) != [GOOD]:
        section.problem("quality", "nothing says the quality of what arrives", "add `quality` to `[arrives]`")


def _read(section: Section) -> Expectation | None:
    that = section.data.get("that")
    kind = EXPECTATIONS.get(that) if isinstance(that, str) else None
    if kind is not None:
        return section.convert(kind, ignore=("that",))
    close = get_close_matches(str(that), EXPECTATIONS, 3, 0.5) if that is not None else []
    fix = f"did you mean {' or '.join(close)}?" if close else f"write one of {', '.join(EXPECTATIONS)}"
    section.problem("that", "is missing" if that is None else f'there is no expectation "{that}"', fix)
    return None


def _check_names(section: Section, one: Expectation, devices: Mapping[str, DeviceFacts], site: Site) -> None:
    for name in one.devices_named():
        if name in devices and not devices[name].asked and one.that == "polled":
            section.problem("device", f'"{name}" is never asked, it sends by itself', "expect `interval` of it")
        if name not in devices:
            section.problem("device", f'there is no device "{name}"', f"known: {', '.join(sorted(devices))}")
    if not isinstance(one, OfDevices):
        return
    if one.that == "polled" and one.point:
        section.problem("point", "means nothing: a device is asked, not a point", "remove it")
    wanted = listed(one.device)
    looked_at = [device.profile for device in site.devices if not wanted or device.name in wanted]
    points = {point.name for profile in looked_at for point in profile.point}
    points |= {PICTURE for profile in looked_at if getattr(profile, "pictures", False)}
    for name in listed(one.point):
        if name not in points:
            section.problem("point", f'there is no point "{name}"', f"known: {', '.join(sorted(points)[:10])}")


def _check_times(section: Section, one: Expectation, keys: ScenarioKeys) -> None:
    if not isinstance(one, Timed):
        return
    end_s = keys.length_s
    if one.from_s is not None and one.from_s >= end_s:
        section.problem("from_s", f"is {one.from_s:g}: the gateway is stopped at {end_s:g} s", "write less")
    if one.from_s is not None and one.to_s is not None and one.to_s <= one.from_s:
        section.problem("to_s", "is not after `from_s`", f"write more than {one.from_s:g}")

    within_s = getattr(one, "within_s", 0.0)
    if isinstance(one, QualityIs | Online) and one.to_s is not None and one.begin_s() + within_s >= one.to_s:
        what = f"is over {within_s:g} s after `from_s`, when it must only begin to show"
        section.problem("to_s", what, "write more, or a shorter `within_s`")


def _check_own(section: Section, one: Expectation) -> None:
    needed = _ONE_OF.get(one.that, ())
    if needed and all(getattr(one, key) is None for key in needed):
        section.problem("that", f"{one.that} expects nothing", f"add one of {', '.join(needed)}")
    if isinstance(one, Output):
        try:
            re.compile(one.text)
        except re.error as err:
            section.problem(
                "text", f"is no regular expression: {err}", "write `\\\\.` for a dot, `\\\\(` for a bracket"
            )
    if isinstance(one, QualityIs):
        known = (GOOD, *(str(quality) for quality in Quality if quality))
        for name in listed(one.quality):
            if name not in known:
                section.problem("quality", f'there is no quality "{name}"', f"write one of {', '.join(known)}")
    if isinstance(one, Recovers):
        if one.fault and one.fault not in FAULTS:
            section.problem("fault", f'there is no fault "{one.fault}"', "`oc-sim check --list-faults` lists them")
        if one.on not in ("", "uplink", "host"):
            section.problem("on", f'is "{one.on}"', 'write "uplink" or "host", or name devices with `device`')
