"""The clock: dates of certificates and times of readings depend on it."""

from collections.abc import Iterator

from agent.cli.doctor.finding import Case, Finding, ok, warn
from agent.cli.messages import tr
from agent.clock import ClockState, described


def examine(case: Case) -> Iterator[Finding]:
    """Whether the kernel calls the clock synchronised."""
    text = tr("the clock says {time}", time=described(case.clock, tr))
    if case.clock.state() is ClockState.SYNC:
        yield ok("synchronised", text)
    else:
        yield warn("synchronised", text, tr("see `timedatectl`: is there a time server that can be reached?"))
