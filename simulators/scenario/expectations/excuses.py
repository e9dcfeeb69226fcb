"""When a value may be missing at the other end though it was served, each rule by name. Pure.

A gateway cannot be asked for a value that was on its way when it was killed, or that it has asked for only to be sure
of the line. Every rule is narrow, is counted, and is shown.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from simulators.scenario.evidence import Arrival, Evidence
from simulators.scenario.expectations.verdict import OfDevices, Seconds
from simulators.scenario.matching import Index, arrived
from simulators.scenario.timeline import Window, covering
from simulators.world import Served


class Allowing(OfDevices, frozen=True, kw_only=True):
    """How far each rule goes, in seconds; 0 switches it off."""

    close_s: Seconds = 2.0
    edge_s: Seconds = 1.0
    start_s: Seconds = 2.0
    unsure_s: Seconds = 2.0
    again_s: Seconds = 0.1


class Excuses:
    """When a value may be missing, and why."""

    def __init__(self, told: Allowing, evidence: Evidence, index: Index[Arrival]) -> None:
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

    def rule(self, one: Served) -> str:
        """The first rule that leaves it out, in words; empty where none does."""
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
        if self._is_coming_back(one):
            return f"asked to see whether the device is back, up to {told.unsure_s:g} s before its next value"
        if self._is_there_again(one):
            return f"read again within {told.again_s:g} s"
        if self._is_of_a_failed_round(one):
            return f"served up to {told.edge_s:g} s before a failure of the same device: of the same round"
        if self._is_told(one):
            return "read in vain, as the gateway says itself, while a fault was on the link"
        if self._is_unsure(one):
            return f"served up to {told.unsure_s:g} s after a failure on the same link, and as soon followed by another"
        if self._is_one_of_several(one):
            return "read more than once in an interval, of which one has arrived"
        return ""

    def _is_coming_back(self, one: Served) -> bool:
        """Since its last failure nothing of the device has arrived, and soon something will."""
        failed = self._spoilt.get(one.device, [])
        index = bisect_left(failed, one.time_ms)
        good = self._good.get(one.device, [])
        comes = bisect_left(good, failed[index - 1] if index else 0)
        return index > 0 and comes < len(good) and 0 < good[comes] - one.time_ms <= self._told.unsure_s * 1_000

    def _is_there_again(self, one: Served) -> bool:
        """It was served again just then, and that one has arrived."""
        around = self._told.again_s * 1_000
        near = self._served.near(one.device, one.point, one.time_ms - around, one.time_ms + around)
        others = (other for other in near if other.time_ms != one.time_ms)
        return any(arrived(self._evidence, self._index, other, self._told.close_s * 1_000) for other in others)

    def _is_one_of_several(self, one: Served) -> bool:
        """Its neighbours have arrived, no further apart than one interval: it was read for another point beside it.

        Where a reading was lost they are two intervals apart. How often another gateway reads only it knows.
        """
        facts = self._evidence.devices[one.device]
        if not (self._evidence.contract and facts.asked):
            return False
        apart_ms = 1.5 * facts.intervals_s.get(one.point, facts.interval_s) * 1_000
        near = self._served.near(one.device, one.point, one.time_ms - apart_ms, one.time_ms + apart_ms)
        close_ms = self._told.close_s * 1_000
        times = [o.time_ms for o in near if o is not one and arrived(self._evidence, self._index, o, close_ms)]
        before = max((at_ms for at_ms in times if at_ms <= one.time_ms), default=None)
        after = min((at_ms for at_ms in times if at_ms >= one.time_ms), default=None)
        return before is not None and after is not None and after - before <= apart_ms

    def _is_of_a_failed_round(self, one: Served) -> bool:
        """A gateway may throw away the whole of a round of which a part has failed."""
        failed = self._spoilt.get(one.device, [])
        index = bisect_left(failed, one.time_ms)
        return index < len(failed) and failed[index] - one.time_ms <= self._told.edge_s * 1_000

    def _is_told(self, one: Served) -> bool:
        """In its place has come that there is none; where nothing is wrong with the line, that is no excuse."""
        told, evidence = self._told, self._evidence
        around = told.close_s * 1_000
        disturbed = covering(evidence.faults_on(one.device), evidence.at_s(one.time_ms), after_s=told.unsure_s)
        near = self._index.near(one.device, one.point, one.time_ms - around, one.time_ms + around)
        return disturbed is not None and any(other.value is None and bool(other.quality) for other in near)

    def _is_unsure(self, one: Served) -> bool:
        """Soon after a failure, and the point has another value soon: this one was only asked for to be sure."""
        told_ms = self._told.unsure_s * 1_000
        failed = self._failed.get(self._evidence.devices[one.device].link, [])
        index = bisect_left(failed, one.time_ms - told_ms)
        if not told_ms or index >= len(failed) or failed[index] > one.time_ms:
            return False
        return any(other.good for other in self._index.near(one.device, one.point, one.time_ms, one.time_ms + told_ms))


def _times(found: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    """By device, in order."""
    times: dict[str, list[int]] = {}
    for device, at_ms in sorted(found):
        times.setdefault(device, []).append(at_ms)
    return times


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
