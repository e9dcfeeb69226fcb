"""`nothing_missing`: what devices served has arrived, but for what `excuses.py` leaves out."""

from collections import Counter
from collections.abc import Iterator
from typing import ClassVar, Final

from simulators.faults.answers import SPOILS
from simulators.scenario.evidence import Arrival, Evidence
from simulators.scenario.expectations.excuses import Allowing, Excuses
from simulators.scenario.expectations.verdict import Verdict
from simulators.scenario.matching import Index, arrived, sampled
from simulators.world import Served

PICTURE: Final = "picture"


class NothingMissing(Allowing, frozen=True, kw_only=True):
    """Every value that was served, and that no fault has spoilt, arrived or was declared lost.

    Of an instrument that sends by itself, and of a point with an interval of its own, one value for each interval.
    `close_s`: how far apart the gateway's time and ours may be. Left out: what was served in the last `edge_s` before
    the gateway was stopped, killed, or met a failure of the same device; in the first `start_s` of its asking, since
    some only look who is there; up to `unsure_s` after a failure on the same link where another value follows as soon,
    or before the first value after one, since some ask only to be sure; up to `again_s` beside another value of the
    point, since some read a register twice in a round.
    """

    that: ClassVar[str] = "nothing_missing"

    def judge(self, evidence: Evidence) -> Verdict:
        index = Index(evidence.arrivals)
        excuses = Excuses(self, evidence, index)
        found, excused, missing = 0, Counter[str](), list[Served]()
        for one in self._looked_at(evidence):
            if self._is_there(evidence, index, one):
                found += 1
            elif rule := excuses.rule(one):
                excused[rule] += 1
            else:
                missing.append(one)
        missing = _undeclared(evidence, missing, excused)
        served = found + len(missing) + excused.total()
        seen = f"{len(missing)} of {served} are missing" if missing else f"{found} of {served} arrived"
        if not served:
            seen += ": nothing was served, so nothing was tested"
        elif missing and evidence.account and evidence.account.stored:
            seen += f"; {evidence.account.stored} readings still wait at the gateway: is `settle_s` too short?"
        return self.verdict(
            f"every value of {self.whom()} served{self.when()} arrives",
            seen,
            (
                f"{one.device}.{one.point} = {one.value!r}, served at {evidence.at_s(one.time_ms):.3f} s"
                for one in missing
            ),
            passed=not missing and found > 0,
            excused=excused,
        )

    def _looked_at(self, evidence: Evidence) -> Iterator[Served]:
        for one in evidence.served:
            facts = evidence.devices.get(one.device)
            wanted = facts is not None and one.point in facts.points and one.point != PICTURE
            if wanted and self.wants(one.device, one.point) and self.holds(evidence, one.time_ms) and not _spoilt(one):
                yield one

    def _is_there(self, evidence: Evidence, index: Index[Arrival], one: Served) -> bool:
        facts = evidence.devices[one.device]
        if facts.asked and one.point not in facts.intervals_s:
            return arrived(evidence, index, one, self.close_s * 1_000)
        interval_s = facts.intervals_s.get(one.point, facts.interval_s)
        return sampled(evidence, index, one, (1.5 * interval_s + self.close_s) * 1_000)


def _undeclared(evidence: Evidence, missing: list[Served], excused: Counter[str]) -> list[Served]:
    """Without what the gateway has declared lost: so many, or where it cannot say how many, what it had until then."""
    losses = [event for event in evidence.events if event.name == "data.lost"]
    if missing and len(missing) <= sum(event.readings or 0 for event in losses):
        excused["declared lost by the gateway"] = len(missing)
        return []
    until_ms = max((event.time_ms for event in losses if event.readings is None), default=0)
    left = [one for one in missing if one.time_ms > until_ms]
    if len(left) < len(missing):
        excused["declared lost by the gateway, which cannot say how many"] = len(missing) - len(left)
    return left


def _spoilt(one: Served) -> bool:
    return bool(one.fault) and not SPOILS.isdisjoint(one.fault.split(","))
