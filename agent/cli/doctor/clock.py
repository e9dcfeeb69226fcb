"""The clock: dates of certificates and times of readings depend on it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.cli.doctor.finding import Case, Finding, ok, warn
from agent.cli.doctor.programs import has_systemd, output_of
from agent.cli.messages import tr
from agent.clock import ClockState, described

_DAEMONS: Final = ("systemd-timesyncd", "chronyd", "chrony", "ntpsec", "ntp")


def examine(case: Case) -> Iterator[Finding]:
    """Whether the kernel calls the clock synchronised, who sets it, and what keeps it without power."""
    text = tr("the clock says {time}", time=described(case.clock, tr))
    if case.clock.state() is ClockState.SYNC:
        yield ok("synchronised", text)
    else:
        advice = tr("see `timedatectl`: is there a time server that can be reached?")
        yield warn("synchronised", text, advice, code="clock_unsynchronised")
        yield from time_service()
    yield battery()


def time_service() -> Iterator[Finding]:
    """Which program sets the clock, where systemd can tell."""
    if not has_systemd():
        return
    running = [name for name in _DAEMONS if output_of("systemctl", "is-active", name).strip() == "active"]
    if running:
        yield ok("time_service", tr("{name} runs, and has not set the clock yet", name=running[0]))
        return
    text = tr("no program runs that sets the clock")
    yield warn("time_service", text, tr("run: sudo timedatectl set-ntp true"), code="no_time_service")


def battery(sys: Path = Path("/sys")) -> Finding:
    """A clock that goes on without power (`/sys/class/rtc`)."""
    chips = sorted((sys / "class/rtc").glob("rtc*"))
    if chips:
        name = (chips[0] / "name").read_text(encoding="utf-8", errors="replace").strip() if _named(chips[0]) else ""
        return ok("rtc", tr("there is a clock that goes on without power: {name}", name=name or chips[0].name))
    text = tr("no clock that goes on without power: after a power cut readings wait for the time server")
    return warn("rtc", text, tr("where the network is often away, add an RTC module (DS3231), or its battery"),
                code="no_rtc")  # fmt: skip


def _named(chip: Path) -> bool:
    return (chip / "name").is_file()
