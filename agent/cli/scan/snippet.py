"""What was found as `[[link]]` and `[[device]]` to paste into agent.toml. Pure.

Promises: TOML that `oc-agent check` takes, wherever a profile may fit; what is not sure says so beside it.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from agent.cli.messages import tr
from agent.cli.scan.course import LineSetting
from agent.cli.scan.finding import FoundUnit, ScanReport
from agent.cli.scan.hearing import HeardProfile
from agent.cli.scan.inquiring import AskedInstrument
from drivers.tomltext import toml_text

INTERVAL_S = 10.0
_SLOW_TIMEOUT_S = 1.0


def bus_toml(link: str, port: str, report: ScanReport, *, known: bool) -> str:
    """A link for the setting with the most devices, and its devices; the link itself is `known` already or not.

    A port has one setting: devices at others stand there as comments.
    """
    found = report.found
    counts = Counter(one.setting for one in found if one.setting)
    if not counts:
        return "" if known else _instrument(link, port, report)
    setting = counts.most_common(1)[0][0]
    here = [one for one in found if one.setting == setting]
    elsewhere = [one for one in found if one.setting != setting]
    parts = [] if known else [toml_text({"link": [_bus_link(link, port, setting, here)]})]
    parts += _devices(link, here)
    if elsewhere:
        parts.append(_comment(tr("a bus has one baud rate and parity: set these to {setting} first", setting=setting)))
        parts += [_comment(f"{one.place}: {_names(one) or '?'}") for one in elsewhere]
    return "\n".join(parts)


def host_toml(link: str, found: Sequence[FoundUnit], *, known: bool = False) -> str:
    """A link for each host, and the devices behind it."""
    parts: list[str] = []
    hosts = dict.fromkeys((one.host, one.tcp_port) for one in found)
    for number, (host, tcp_port) in enumerate(hosts, 1):
        here = [one for one in found if (one.host, one.tcp_port) == (host, tcp_port)]
        name = link if len(hosts) == 1 else f"{link}-{number}"
        keys: dict[str, Any] = {"name": name, "kind": "modbus", "transport": "tcp", "host": host}
        keys |= {"tcp_port": tcp_port} if tcp_port != 502 else {}
        parts += [] if known else [toml_text({"link": [keys]})]
        parts += _devices(name, here)
    return "\n".join(parts)


def _bus_link(link: str, port: str, setting: LineSetting, found: Iterable[FoundUnit]) -> dict[str, Any]:
    keys: dict[str, Any] = {"name": link, "kind": "modbus", "transport": "rtu", "port": port, "baud": setting.baud}
    keys |= {"parity": setting.parity} if setting.parity != "N" else {}
    keys |= {"stop_bits": setting.stop_bits} if setting.stop_bits != 1 else {}
    return keys | ({"timeout_s": _SLOW_TIMEOUT_S} if any(one.slow for one in found) else {})


def _devices(link: str, found: Iterable[FoundUnit]) -> Iterator[str]:
    names: Counter[str] = Counter()
    for one in found:
        if one.device:
            continue
        name = _name(one)
        names[name] += 1
        name = name if names[name] == 1 else f"{name}-{names[name]}"
        yield _device(link, name, one)


def _device(link: str, name: str, found: FoundUnit) -> str:
    possible = found.possible
    if not possible:
        return _comment(tr("{place}: no profile fits, see `oc-agent profiles new`", place=found.place))
    best = possible[0]
    keys = {"name": name, "link": link, "unit": found.unit, "profile": best.profile, "interval_s": INTERVAL_S}
    text = toml_text({"device": [keys]})
    if best.fit == "fits":
        return text
    notes = _comment(tr("may fit: compare each value with the display of the device"))
    if others := ", ".join(one.profile for one in found.likely[1:6]):
        notes += _comment(tr("others that may fit: {names}", names=others))
    return notes + text


def _instrument(link: str, port: str, report: ScanReport) -> str:
    """The one instrument of a line: what was heard, else what has answered; "" where nothing has a name."""
    for heard in report.heard:
        for best in heard.profiles[:1]:
            return _line_of_one(link, port, "serial", heard.setting, None, best)
    return next((_line_of_one(link, port, one.kind, one.setting, one.unit, one) for one in report.asked), "")


def _line_of_one(
    link: str, port: str, kind: str, setting: LineSetting, unit: int | None, best: HeardProfile | AskedInstrument
) -> str:
    line = {"name": link, "kind": kind, "port": port, "baud": setting.baud}
    device = {"name": _slug(best.profile), "link": link, "profile": best.profile, "interval_s": INTERVAL_S}
    device |= {} if unit is None else {"unit": unit}
    notes = "" if best.checked else _comment(tr("may fit: compare each value with the display of the device"))
    return toml_text({"link": [line]}) + "\n" + notes + toml_text({"device": [device]})


def _name(found: FoundUnit) -> str:
    possible = found.possible
    return f"{_slug(possible[0].profile) if possible else 'device'}-{found.unit}"


def _names(found: FoundUnit) -> str:
    return ", ".join(one.profile for one in found.possible[:3])


def _slug(profile: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", profile.rpartition("/")[2].removesuffix(".toml"))


def _comment(text: str) -> str:
    return f"# {text}\n"
