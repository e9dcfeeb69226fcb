"""What can be expected of a gateway: one class a kind, which judges what was seen. Pure.

A kind is a msgspec struct whose fields are the keys of its `[[expect]]`; its docstring says what it means.
"""

from collections.abc import Mapping
from typing import Final

from simulators.scenario.expectations.delivery import Account, DuplicatesRecognised, Latency, Lost, NothingArrives
from simulators.scenario.expectations.missing import NothingMissing
from simulators.scenario.expectations.polling import Interval, Polled, QualityIs, Recovers
from simulators.scenario.expectations.process import Cpu, Disk, ExitCode, Files, Memory, Output, Runs
from simulators.scenario.expectations.saying import EventSeen, Online
from simulators.scenario.expectations.verdict import Expectation, Verdict
from simulators.scenario.expectations.wrong import NothingWrong, ValueIs

_ALL: tuple[type[Expectation], ...] = (
    NothingMissing,
    NothingArrives,
    NothingWrong,
    ValueIs,
    DuplicatesRecognised,
    QualityIs,
    Interval,
    Polled,
    Recovers,
    EventSeen,
    Online,
    Latency,
    Lost,
    Account,
    Runs,
    ExitCode,
    Output,
    Memory,
    Files,
    Cpu,
    Disk,
)
EXPECTATIONS: Final[Mapping[str, type[Expectation]]] = {kind.that: kind for kind in _ALL}

__all__ = ["EXPECTATIONS", "Expectation", "NothingWrong", "Runs", "Verdict"]
