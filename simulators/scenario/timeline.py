"""When what happens in a scenario, drawn from the seed before it begins. Pure.

Promises: the same scenario and seed give the same timeline; what has not ended at `seconds` ends there.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random

from simulators.faults.catalogue import FOREVER
from simulators.faults.fault import Fault
from simulators.faults.schedule import Occurrences


@dataclass(frozen=True)
class Window:
    """A fault is there from `begin_s` until `end_s`, in seconds since the start of the gateway.

    A moment ends where it begins. `lasts`: nothing in the scenario ends it; it ends with the run.
    """

    fault: Fault
    begin_s: float
    end_s: float
    lasts: bool = False

    def __str__(self) -> str:
        until = "the end" if self.lasts else f"{self.end_s:.1f} s"
        when = f"at {self.begin_s:.1f} s" if self.fault.kind.moment else f"from {self.begin_s:.1f} s to {until}"
        return f"{self.fault} {when}"


def windows(faults: Sequence[Fault], seconds: float, seed: int, *, heal: bool = False) -> list[Window]:
    """Every time that a fault is there before `seconds`, in order of its begin; `heal`: what lasts is ended there."""
    found = [one for index, fault in enumerate(faults) for one in _of(fault, index, seconds, seed, heal=heal)]
    return sorted(found, key=lambda one: (one.begin_s, one.end_s))


def _of(fault: Fault, index: int, seconds: float, seed: int, *, heal: bool) -> Iterator[Window]:
    """As `Schedule` draws it, whose first fault has the number 1."""
    drawn = Occurrences(fault, Random(f"{seed}/fault/{index + 1}/{fault.name}"))
    while drawn.begin_s < seconds:
        if fault.kind.moment:
            yield Window(fault, drawn.begin_s, drawn.begin_s)
        else:
            yield Window(fault, drawn.begin_s, min(drawn.end_s, seconds), drawn.end_s > seconds and not heal)
        if not fault.every_s or drawn.end_s == FOREVER:
            return
        drawn.at(drawn.end_s)


def covering(found: Iterable[Window], at_s: float, *, before_s: float = 0.0, after_s: float = 0.0) -> Window | None:
    """The first window in which `at_s` lies, widened on both sides."""
    return next((one for one in found if one.begin_s - before_s <= at_s <= one.end_s + after_s), None)
