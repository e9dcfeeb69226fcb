"""What a scan finds, and in which words and figures it says so."""

from collections.abc import Awaitable
from typing import Any

import msgspec

from agent.cli.messages import tr
from agent.cli.scan.course import LineSetting
from agent.cli.scan.fitting import SHOWN_VALUES, Candidate, Fit
from agent.cli.scan.hearing import HeardProfile
from agent.cli.scan.inquiring import AskedInstrument
from agent.cli.wiring import WiringHint

SHOWN_CANDIDATES = 5


class FoundUnit(msgspec.Struct, frozen=True, kw_only=True):
    """A unit that has answered. `answer` is "values" or "exception N"; `told` is what it says that it is (43/14).

    `setting` on a bus; `host` and `tcp_port` on a network. `slow`: it needs a longer timeout than the scan's.
    `device` is its name in the configuration, where it is there.
    """

    unit: int
    setting: LineSetting | None = None
    host: str = ""
    tcp_port: int = 0
    answer: str
    reply_ms: int
    slow: bool = False
    told: str = ""
    device: str = ""
    profiles: list[Candidate] = []

    @property
    def place(self) -> str:
        """Where it is, in words."""
        where = f"{self.host}:{self.tcp_port}" if self.host else str(self.setting)
        return tr("unit {unit}, {where}", unit=self.unit, where=where)

    @property
    def possible(self) -> list[Candidate]:
        """The profiles to choose from: those that fit, else those that may, else those that are not ruled out."""
        fits: tuple[Fit, ...] = ("fits", "may_fit", "untold")
        groups = ([one for one in self.profiles if one.fit == fit] for fit in fits)
        return next(filter(None, groups), [])

    @property
    def likely(self) -> list[Candidate]:
        """Of those the ones that have at least half as many plausible values as the best: fewer are mostly chance."""
        possible = self.possible
        return [one for one in possible if 2 * one.plausible >= possible[0].plausible]


class HeardInstrument(msgspec.Struct, frozen=True, kw_only=True):
    """Something that sends by itself at one setting; `sample` are its first bytes in hex."""

    setting: LineSetting
    bytes: int
    sample: str
    profiles: list[HeardProfile]


class ScanReport(msgspec.Struct, kw_only=True):
    """What a scan has found. `complete` is false where it was broken off; a port may refuse settings."""

    target: dict[str, Any]
    longest_s: float
    complete: bool = False
    took_s: float = 0.0
    requests: int = 0
    found: list[FoundUnit] = []
    heard: list[HeardInstrument] = []
    asked: list[AskedInstrument] = []
    silent_hosts: list[str] = []
    refused_settings: list[str] = []
    hints: list[WiringHint] = []
    toml: str = ""

    @property
    def is_something(self) -> bool:
        """Was anything found that has a name?"""
        return bool(self.found or self.asked or any(one.profiles for one in self.heard))

    async def add(self, found: FoundUnit, asking: Awaitable[tuple[str, list[Candidate]]]) -> None:
        """Note a unit, then what it is: it stands here also where the scan is broken off meanwhile."""
        self.found.append(found)
        told, profiles = await asking
        self.found[-1] = msgspec.structs.replace(found, told=told, profiles=profiles)


def plain(report: ScanReport) -> dict[str, Any]:
    """The report as JSON: the keys of docs/cli.md."""
    data: dict[str, Any] = msgspec.to_builtins(report)
    data["found"] = [_plain_unit(one) for one in report.found]
    data["heard"] = [{**_plain_setting(one.setting), **_without(one, "setting")} for one in report.heard]
    data["asked"] = [{**_plain_setting(one.setting), **_without(one, "setting")} for one in report.asked]
    return data


def unit_lines(found: FoundUnit) -> list[str]:
    """One unit for people."""
    code = found.answer.removeprefix("exception ")
    answer = tr("values") if code == found.answer else tr("exception {code}", code=code)
    head = tr("{place}: answers with {answer} after {ms} ms", place=found.place, answer=answer, ms=found.reply_ms)
    lines = [head + (f' ("{found.device}")' if found.device else "")]
    if found.told:
        lines.append("  " + tr("it says that it is: {told}", told=found.told))
    if found.slow:
        lines.append("  " + tr("slow: its link wants `timeout_s = 1.0`"))
    possible, shown = found.possible, found.likely[:SHOWN_CANDIDATES]
    for one in shown:
        fit = tr("fits") if one.fit == "fits" else tr("may fit") if one.fit == "may_fit" else tr("not ruled out")
        lines.append(f"  {fit}: {one.profile}: {one.why}")
    if more := len(possible) - len(shown):
        lines.append("  " + tr("{count} more profiles are less likely: see --json", count=more))
    if found.profiles and not possible:
        lines.append("  " + tr("no profile fits: `oc-agent profiles new` makes one from its table of registers"))
    return lines


def heard_lines(heard: HeardInstrument) -> list[str]:
    """Something that sends by itself, for people."""
    lines = [tr("{setting}: {count} bytes come by themselves", setting=heard.setting, count=heard.bytes)]
    for one in heard.profiles:
        check = tr("with right checksums") if one.checked else tr("without a checksum, so by their form only")
        lines.append(
            "  " + tr("{frames} frames of {profile}, {check}", frames=one.frames, profile=one.profile, check=check)
        )
    if not heard.profiles:
        lines.append("  " + tr("frames of no profile: {sample}", sample=heard.sample))
    return lines


def asked_lines(asked: AskedInstrument) -> list[str]:
    """An instrument or camera that answered a question of its profile, for people."""
    check = tr("with right checksums") if asked.checked else tr("without a checksum, so by their form only")
    what = tr("{setting}: answers as {profile}, {check}", setting=asked.setting, profile=asked.profile, check=check)
    values = ", ".join(f"{name} {value}" for name, value in list(asked.values.items())[:SHOWN_VALUES])
    return [what, f"  {values}"]


def _plain_unit(found: FoundUnit) -> dict[str, Any]:
    rest = _without(found, "setting", *(() if found.host else ("host", "tcp_port")))
    return rest | (_plain_setting(found.setting) if found.setting else {})


def _plain_setting(setting: LineSetting) -> dict[str, Any]:
    return {"baud": setting.baud, "parity": setting.parity, "stop_bits": setting.stop_bits}


def _without(one: msgspec.Struct, *names: str) -> dict[str, Any]:
    return {key: value for key, value in msgspec.to_builtins(one).items() if key not in names}
