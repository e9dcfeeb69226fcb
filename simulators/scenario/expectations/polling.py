"""How devices are asked, and what the other end sees of it: `quality`, `interval`, `polled`, `recovers`."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated, ClassVar

import msgspec

from simulators.scenario.evidence import Arrival, Evidence
from simulators.scenario.expectations.verdict import Names, OfDevices, Seconds, Verdict, listed
from simulators.scenario.timeline import Window

GOOD = "good"
Positive = Annotated[float, msgspec.Meta(gt=0, le=10_000_000, examples=[2.0])]


class QualityIs(OfDevices, frozen=True, kw_only=True):
    """At the other end the points of a device have this quality from `from_s` to `to_s`: `good`, `com`, …

    It may take `within_s` until it shows; from then on nothing else may arrive, and something must have arrived.
    """

    that: ClassVar[str] = "quality"

    quality: Annotated[Names, msgspec.Meta(examples=["com"])]
    within_s: Seconds = 5.0

    def judge(self, evidence: Evidence) -> Verdict:
        settled_ms, until_ms = evidence.at_ms(self.begin_s() + self.within_s), evidence.at_ms(self.until_s(evidence))
        others, points = list[str](), 0
        for device in self.devices(evidence):
            of_device = self._points(evidence, device)
            points += len(of_device)
            if not of_device:
                others.append(f"{device}: nothing has arrived")
            for point, arrivals in of_device.items():
                others.extend(self._others(evidence, f"{device}.{point}", arrivals, settled_ms, until_ms))
        seen = f"{len(others)} times it was not" if others else f"so it was for {points} points"
        wanted = " or ".join(listed(self.quality))
        expected = f"{self.whom()} is {wanted}{self.when()}, shown within {self.within_s:g} s"
        return self.verdict(expected, seen, others, passed=not others)

    def _points(self, evidence: Evidence, device: str) -> dict[str, list[Arrival]]:
        found: dict[str, list[Arrival]] = {}
        for one in evidence.arrivals_of.get(device, ()):
            if self.wants(device, one.point):
                found.setdefault(one.point, []).append(one)
        return found

    def _others(
        self, evidence: Evidence, name: str, arrivals: Sequence[Arrival], settled_ms: int, until_ms: int
    ) -> Iterator[str]:
        """What is not as it should be: the newest at the time when it must show, and all that come after it."""
        before = [one for one in arrivals if one.time_ms <= settled_ms][-1:]
        after = [one for one in arrivals if settled_ms < one.time_ms <= until_ms]
        if not before and not after:
            yield f"{name}: nothing has arrived until {evidence.at_s(until_ms):.1f} s"
        for one in (*before, *after):
            quality = one.quality or (GOOD if one.value is not None else "null")
            if quality not in listed(self.quality):
                yield f"{name} is {quality} at {evidence.at_s(one.time_ms):.3f} s"


class Interval(OfDevices, frozen=True, kw_only=True):
    """Good values of each device follow one another within `at_most_s`, by their own times.

    Without `from_s` it is looked at from the first value on. What comes late after an outage counts as if live.
    """

    that: ClassVar[str] = "interval"

    at_most_s: Positive

    def judge(self, evidence: Evidence) -> Verdict:
        gaps, longest, count = list[str](), 0.0, 0
        for device in self.devices(evidence):
            times = [
                evidence.at_s(one.time_ms)
                for one in evidence.arrivals_of.get(device, ())
                if one.good and self.wants(device, one.point)
            ]
            count += len(times)
            if not times:
                gaps.append(f"{device}: no good value has arrived")
                continue
            begin_s = times[0] if self.from_s is None else self.from_s
            for one, other in _gaps(times, begin_s, self.until_s(evidence)):
                longest = max(longest, other - one)
                if other - one > self.at_most_s:
                    gaps.append(f"{device}: nothing from {one:.3f} s to {other:.3f} s")
        return self.verdict(
            f"{self.whom()}: good values at least every {self.at_most_s:g} s{self.when()}",
            f"{len(gaps)} gaps, the longest {longest:.2f} s" if count else "nothing arrived",
            gaps,
            passed=not gaps,
        )


class Polled(OfDevices, frozen=True, kw_only=True):
    """The gateway asks each device at least every `at_most_s`, and on average at most `at_most_per_s` times a second.

    Every request counts that reaches it, also one whose answer a fault has spoilt.
    """

    that: ClassVar[str] = "polled"

    at_most_s: Positive | None = None
    at_most_per_s: Positive | None = None

    def judge(self, evidence: Evidence) -> Verdict:
        problems, shown = list[str](), list[str]()
        for device in self.devices(evidence):
            begin_s, until_s = self.begin_s(), self.until_s(evidence)
            times = [evidence.at_s(time) for time in evidence.asked_ms.get(device, ())]
            times = times[bisect_left(times, begin_s) : bisect_right(times, until_s)]
            if self.from_s is None and times:
                begin_s = times[0]
            longest = max((other - one for one, other in _gaps(times, begin_s, until_s)), default=0.0)
            per_s = len(times) / max(until_s - begin_s, 0.001)
            seen = f"{device}: {len(times)} times, {per_s:.2f} a second, longest pause {longest:.2f} s"
            shown.append(seen)
            too_slow = self.at_most_s is not None and (longest > self.at_most_s or not times)
            if too_slow or (self.at_most_per_s is not None and per_s > self.at_most_per_s):
                problems.append(seen)
        return self.verdict(
            f"{self.whom()} asked{self._bounds()}{self.when()}",
            f"{len(problems)} devices were not" if problems else "; ".join(shown[:3]),
            problems,
            passed=not problems,
        )

    def _bounds(self) -> str:
        often = f" at least every {self.at_most_s:g} s" if self.at_most_s is not None else ""
        return often + (f" at most {self.at_most_per_s:g} times a second" if self.at_most_per_s is not None else "")


class Recovers(OfDevices, frozen=True, kw_only=True):
    """After a fault has ended, each device it was on has good values again within `within_s`.

    Of which fault: `fault`, by name; without it any on the device, its link, or everything. `on = "uplink"` or
    `"host"`: after those; then what counts is when a value arrives, not its time.
    """

    that: ClassVar[str] = "recovers"

    within_s: Positive
    fault: str = ""
    on: str = ""

    def judge(self, evidence: Evidence) -> Verdict:
        late, longest, count = list[str](), 0.0, 0
        for device in self.devices(evidence):
            for window in self._windows(evidence, device):
                count += 1
                good_s = self._good_again_s(evidence, device, window.end_s)
                took_s = None if good_s is None else good_s - window.end_s
                longest = max(longest, took_s or 0.0)
                if took_s is None or took_s > self.within_s:
                    after = "never" if took_s is None else f"only after {took_s:.1f} s"
                    late.append(f"{device}: {window.fault}, over at {window.end_s:.1f} s: good again {after}")
        seen = f"{len(late)} of {count} did not" if late else f"{count} times, the longest took {longest:.1f} s"
        which = f" after {self.fault}" if self.fault else ""
        return self.verdict(
            f"{self.whom()} good again within {self.within_s:g} s{which}",
            seen if count else "no fault has ended, so nothing was tested",
            late,
            passed=not late and count > 0,
        )

    def _windows(self, evidence: Evidence, device: str) -> list[Window]:
        on = evidence.faults_on(device) if not self.on else [one for one in evidence.windows if one.fault.on == self.on]
        return [
            one
            for one in on
            if not one.lasts and self.fault in ("", one.fault.name) and self.holds(evidence, evidence.at_ms(one.end_s))
        ]

    def _good_again_s(self, evidence: Evidence, device: str, end_s: float) -> float | None:
        arrivals = (one for one in evidence.arrivals_of.get(device, ()) if one.good and self.wants(device, one.point))
        times = (evidence.at_s(one.received_ms if self.on else one.time_ms) for one in arrivals)
        return min((one for one in times if one >= end_s), default=None)


def _gaps(times: Sequence[float], begin_s: float, until_s: float) -> Iterator[tuple[float, float]]:
    """From each time to the next between `begin_s` and `until_s`, these two among them."""
    yield from pairwise((begin_s, *(one for one in times if begin_s < one < until_s), until_s))
