"""What a check has found, and what every group of checks is given."""

import argparse
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

from agent.cli.faults import said
from agent.cli.messages import tr
from agent.clock import Clock, described
from agent.configuration import Configuration
from agent.uplink.errors import NotTheTime, UplinkDown

State = Literal["ok", "warn", "fail"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line: `what` is so, and what to do about it.

    `code` names a fault, for programs: of the uplink (`agent.uplink.faults`), of the wiring
    (`agent.cli.doctor.devices.faults`), or of the group itself; "" where the check alone says enough.
    `subject` is the link, device, port or folder that is meant, where there can be several.
    """

    check: str
    state: State
    what: str
    advice: str = ""
    code: str = ""
    subject: str = ""


class Case(msgspec.Struct, frozen=True):
    """What is examined. `args` are those of the command line."""

    configuration: Configuration
    clock: Clock
    args: argparse.Namespace


Group = Callable[[Case], Iterator[Finding]]
"""The checks of one subject, in the order in which a person would make them; each is given as soon as it is made."""


def ok(check: str, what: str, *, subject: str = "") -> Finding:
    return Finding(check=check, state="ok", what=what, subject=subject)


def warn(check: str, what: str, advice: str, *, code: str = "", subject: str = "") -> Finding:
    return Finding(check=check, state="warn", what=what, advice=advice, code=code, subject=subject)


def fail(check: str, what: str, advice: str, *, code: str = "", subject: str = "") -> Finding:
    return Finding(check=check, state="fail", what=what, advice=advice, code=code, subject=subject)


def broken(case: Case, check: str, down: UplinkDown) -> Finding:
    """A connection that fails, in the language of the reader where the fault has a name."""
    if isinstance(down, NotTheTime):
        down = down.told(described(case.clock, tr))
    text = said(msgspec.to_builtins(down.fault))
    if down.fault is None or text is None:
        return fail(check, down.reason, "")
    return fail(check, text.what, text.advice, code=down.fault.code)
