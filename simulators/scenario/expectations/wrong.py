"""What arrives is true: `nothing_wrong`, which every scenario expects unless it is switched off, and `value`."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, ClassVar, Final

import msgspec

from drivers.api import Value
from simulators.scenario.evidence import Arrival, Evidence
from simulators.scenario.expectations.verdict import OfDevices, Seconds, Verdict, bounds, within
from simulators.scenario.matching import Index, same, served_near
from simulators.world import Served

MUST_REFUSE: Final = frozenset(("wrong_crc", "wrong_unit", "wrong_count", "lost", "truncated", "exception", "no_reply"))
"""Whoever takes a value from an answer with one of these does not check what it reads."""
NEARLY: Final = 1e-3
"""So near, relatively, may a value be that was only rounded."""
_NOT_READ: Final = frozenset(("sta", "sub"))
"""Qualities of values that say themselves that they were not read now."""


class NothingWrong(OfDevices, frozen=True, kw_only=True):
    """No value arrives that its device has not served within `close_s` of the value's time.

    Nor one that only stood in an answer that must be refused: a wrong checksum, another unit, a byte too few. Of what
    sends by itself that cannot be told: of its frames only one is spoilt.
    """

    that: ClassVar[str] = "nothing_wrong"

    close_s: Seconds = 2.0

    def judge(self, evidence: Evidence) -> Verdict:
        index = Index(evidence.served)
        checked, wrong = 0, list[str]()
        for one in self._looked_at(evidence):
            checked += 1
            if reason := self._wrong(evidence, index, one):
                what = f"{one.device}.{one.point} = {one.value!r} at {evidence.at_s(one.time_ms):.3f} s"
                wrong.append(f"{what}: {reason}")
        seen = f"{len(wrong)} of {checked} are wrong" if wrong else f"{checked} values were served as they arrived"
        return self.verdict(
            f"no wrong value of {self.whom()}{self.when()}",
            seen if checked else "nothing arrived, so nothing was tested",
            wrong,
            passed=not wrong and checked > 0,
        )

    def _looked_at(self, evidence: Evidence) -> Iterator[Arrival]:
        return (
            one
            for one in evidence.arrivals
            if one.value is not None
            and one.quality not in _NOT_READ
            and one.device in evidence.devices
            and self.wants(one.device, one.point)
            and self.holds(evidence, one.time_ms)
        )

    def _wrong(self, evidence: Evidence, index: Index[Served], one: Arrival) -> str:
        near = served_near(evidence, index, one, self.close_s * 1_000)
        if not near:
            return f"never served near that time{_but(evidence, index, one, self.close_s * 1_000)}"
        if not evidence.devices[one.device].asked:
            return ""
        spoilt = [served.fault for served in near if not MUST_REFUSE.isdisjoint(served.fault.split(","))]
        return f"only in an answer that must be refused ({spoilt[0]})" if len(spoilt) == len(near) else ""


def _but(evidence: Evidence, index: Index[Served], one: Arrival, close_ms: float) -> str:
    """A value that is nearly the same: a gateway may round in its own way, or not at all."""
    if evidence.contract:
        return ""
    nearly = replace(evidence, tolerance=max(evidence.tolerance, NEARLY))
    for served in served_near(nearly, index, one, close_ms):
        return f", but {served.value!r} was: where that is the same, write a `tolerance` in [arrives]"
    return ""


class ValueIs(OfDevices, frozen=True, kw_only=True):
    """Good values of a point are `equals`, or `at_least` and `at_most` so much; at least one arrives.

    With `[[set]]` it says in the scenario's own words what a profile must make of it.
    """

    that: ClassVar[str] = "value"

    point: Annotated[str, msgspec.Meta(min_length=1, examples=["voltage"])]
    equals: Value | None = None
    at_least: float | None = None
    at_most: float | None = None

    def judge(self, evidence: Evidence) -> Verdict:
        found = [
            one
            for one in evidence.arrivals
            if one.good and self.wants(one.device, one.point) and self.holds(evidence, one.time_ms)
        ]
        others = [one for one in found if not self._is(evidence, one)]
        wanted = f"{self.equals!r}" if self.equals is not None else bounds(self.at_least, self.at_most)
        return self.verdict(
            f"{self.whom()} is {wanted}{self.when()}",
            f"{len(others)} of {len(found)} values are not" if found else "nothing arrived",
            (f"{one.device}.{one.point} = {one.value!r} at {evidence.at_s(one.time_ms):.3f} s" for one in others),
            passed=bool(found) and not others,
        )

    def _is(self, evidence: Evidence, one: Arrival) -> bool:
        if self.equals is not None:
            return same(one.value, self.equals, evidence.tolerance)
        is_number = isinstance(one.value, int | float) and not isinstance(one.value, bool) and math.isfinite(one.value)
        return is_number and within(float(one.value or 0), self.at_least, self.at_most)
