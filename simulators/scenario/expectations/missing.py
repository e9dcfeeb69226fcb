"""`nothing_missing`: what devices served has arrived. By which rules a value may be missing stands here.

A gateway cannot be asked for a value that was on its way when it was killed, or that it has asked for only to be sure
of the line: those are left out, counted by rule, and shown.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Final

from simulators.faults.answers import SPOILS
from simulators.scenario.evidence import Arrival, Evidence
from simulators.scenario.expectations.verdict import OfDevices, Seconds, Verdict
from simulators.scenario.matching import Index, arrived, sampled
from simulators.scenario.timeline import Window, covering
from simulators.world import Served

PICTURE: Final = "picture"


class NothingMissing(OfDevices, frozen=True, kw_only=True):
    """Every value that was served, and that no fault has spoilt, arrived or was declared lost.

    Of an instrument that sends by itself, and of a point with an interval of its own, one value for each interval.
    `close_s`: how far apart the gateway's time and ours may be. Left out: what was served in the last `edge_s` before
    the gateway was stopped, or around a SIGKILL; in the first `start_s` of its asking, since some only look who is
    there; up to `unsure_s` after a failure on the same link where another value follows as soon, or before the first
    value after one, since some ask only to be sure.
    """

    that: ClassVar[str] = "nothing_missing"

    close_s: Seconds = 2.0
    edge_s: Seconds = 1.0
    start_s: Seconds = 2.0
    unsure_s: Seconds = 2.0

    def judge(self, evidence: Evidence) -> Verdict:
        index = Index(evidence.arrivals)
        rules = _Rules(self, evidence, index)
        found, excused, missing = 0, Counter[str](), list[Served]()
        for one in self._looked_at(evidence):
            if self._is_there(evidence, index, one):
                found += 1
            elif rule := rules.excuse(one):
                excused[rule] += 1
            else:
                missing.append(one)
        declared = sum(event.readings or 0 for event in evidence.events if event.name == "data.lost")
        if missing and len(missing) <= declared:
            excused["declared lost by the gateway"] = len(missing)
            missing = []
        served = found + len(missing) + excused.total()
        seen = f"{len(missing)} of {served} are missing" if missing else f"{found} of {served} arrived"
        if not found and not excused:
            seen = f"{seen}: nothing was served, so nothing was tested" if not served else seen
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


class _Rules:
    """When a value may be missing, and why."""

    def __init__(self, told: NothingMissing, evidence: Evidence, index: Index[Arrival]) -> None:
        self._index = index
        self._served = Index(evidence.served)
        self._told = told
        self._evidence = evidence
        self._stops = evidence.faults_named("sigkill", "sigterm", "power_cut")
        self._pauses = evidence.faults_named("sigstop")
        self._failed = {link: _failures(evidence, link) for link in {one.link for one in evidence.devices.values()}}
        self._spoilt = _times((one.device, one.at_ms) for one in evidence.failures)
        self._good = _times((one.device, one.time_ms) for one in evidence.arrivals if one.good)
        self._begins = {
            device: list(_begins(times, self._stops, evidence)) for device, times in evidence.asked_ms.items()
        }

    def excuse(self, one: Served) -> str:
        told, evidence = self._told, self._evidence
        at_s = evidence.at_s(one.time_ms)
        if at_s > evidence.seconds - told.edge_s:
            return f"served in the last {told.edge_s:g} s before the stop, or after it"
        if covering(self._stops, at_s, before_s=told.edge_s):
            return f"served up to {told.edge_s:g} s before a SIGKILL or SIGTERM, or while the gateway was dead"
        if not evidence.devices[one.device].asked and covering(self._pauses, at_s, before_s=told.edge_s):
            return "sent while the gateway was stopped"
        if any(0 <= one.time_ms - begin <= told.start_s * 1_000 for begin in self._begins.get(one.device, ())):
            return f"served in the first {told.start_s:g} s of a start"
        if self._is_again(one):
            return "served again less than half an interval before or after one that arrived"
        if self._is_coming_back(one):
            return f"asked to see whether the device is back, up to {told.unsure_s:g} s before its next value"
        if self._is_unsure(one):
            return f"served up to {told.unsure_s:g} s after a failure on the same link, and as soon followed by another"
        return ""

    def _is_again(self, one: Served) -> bool:
        """A register that lies in a block which was read for another point, soon after its own, or before it."""
        half_ms = self._evidence.devices[one.device].interval_s * 500
        near = self._served.near(one.device, one.point, one.time_ms - half_ms + 1, one.time_ms + half_ms - 1)
        others = [other for other in near if other.time_ms != one.time_ms and not _spoilt(other)]
        return any(arrived(self._evidence, self._index, other, half_ms) for other in others)

    def _is_coming_back(self, one: Served) -> bool:
        """Since its last failure nothing of the device has arrived, and soon something will."""
        failed = self._spoilt.get(one.device, [])
        index = bisect_left(failed, one.time_ms)
        good = self._good.get(one.device, [])
        comes = bisect_left(good, failed[index - 1] if index else 0)
        return index > 0 and comes < len(good) and 0 < good[comes] - one.time_ms <= self._told.unsure_s * 1_000

    def _is_unsure(self, one: Served) -> bool:
        """Soon after a failure, and the point has another value soon: this one was only asked for to be sure.

        Also up to a second before one: a gateway may throw away the whole of a round of which a part has failed.
        """
        told_ms = self._told.unsure_s * 1_000
        failed = self._failed.get(self._evidence.devices[one.device].link, [])
        index = bisect_left(failed, one.time_ms - told_ms)
        if not told_ms or index >= len(failed) or failed[index] > one.time_ms + 1_000:
            return False
        return any(other.good for other in self._index.near(one.device, one.point, one.time_ms, one.time_ms + told_ms))


def _times(found: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    """By device, in order."""
    times: dict[str, list[int]] = {}
    for device, at_ms in sorted(found):
        times.setdefault(device, []).append(at_ms)
    return times


def _spoilt(one: Served) -> bool:
    return bool(one.fault) and not SPOILS.isdisjoint(one.fault.split(","))


def _failures(evidence: Evidence, link: str) -> list[int]:
    """When something failed on a link: answers that were spoilt, and whatever begins or ends on the line."""
    on_link = {device for device, facts in evidence.devices.items() if facts.link == link}
    times = [one.at_ms for one in evidence.failures if one.link == link]
    for window in evidence.windows:
        places = window.fault.kind.places
        if window.fault.on in (link, "*", *on_link) and places & {"line", "device"}:
            times += [evidence.at_ms(window.begin_s), evidence.at_ms(window.end_s)]
    return sorted(times)


def _begins(times: Sequence[int], stops: Sequence[Window], evidence: Evidence) -> Iterator[int]:
    """When a device was first asked, and first again after each time that the gateway was dead."""
    for begin_ms in (0, *(evidence.at_ms(stop.end_s) for stop in stops)):
        index = bisect_left(times, begin_ms)
        if index < len(times):
            yield times[index]
