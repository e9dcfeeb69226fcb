"""`nothing_wrong`: nothing arrives that no device has said. It is expected in every scenario, unless switched off."""

from collections import Counter
from collections.abc import Iterator
from typing import ClassVar, Final

from simulators.scenario.evidence import Arrival, Evidence
from simulators.scenario.expectations.verdict import OfDevices, Seconds, Verdict
from simulators.scenario.matching import Index, served_near
from simulators.world import Served

MUST_REFUSE: Final = frozenset(
    ("wrong_crc", "wrong_unit", "wrong_count", "lost", "doubled", "truncated", "exception", "no_reply")
)
"""Whoever takes a value from an answer with one of these does not check what it reads."""
_NOT_READ: Final = frozenset(("sta", "sub"))
"""Qualities of values that say themselves that they were not read now."""


class NothingWrong(OfDevices, frozen=True, kw_only=True):
    """No value arrives that its device has not served within `close_s` of the value's time.

    Nor one that only stood in an answer that must be refused: a wrong checksum, another unit, a byte too few.
    """

    that: ClassVar[str] = "nothing_wrong"

    close_s: Seconds = 2.0

    def judge(self, evidence: Evidence) -> Verdict:
        index = Index(evidence.served)
        checked, wrong, reasons = 0, list[str](), Counter[str]()
        for one in self._looked_at(evidence):
            checked += 1
            if reason := self._wrong(evidence, index, one):
                reasons[reason] += 1
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
            return "never served near that time"
        spoilt = [served.fault for served in near if not MUST_REFUSE.isdisjoint(served.fault.split(","))]
        return f"only in an answer that must be refused ({spoilt[0]})" if len(spoilt) == len(near) else ""
