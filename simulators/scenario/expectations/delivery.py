"""How what was read is brought over: `duplicates_recognised`, `latency`, `lost`, `account`, `nothing_arrives`."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar

import msgspec

from simulators.scenario.evidence import Arrival, Evidence
from simulators.scenario.expectations.verdict import Count, Expectation, OfDevices, Timed, Verdict, bounds, within

Positive = Annotated[float, msgspec.Meta(gt=0, le=1_000_000, examples=[2.0])]


class DuplicatesRecognised(Expectation, frozen=True, kw_only=True):
    """What comes twice is the same both times, and known for a duplicate by its number.

    `at_least`: so many must have come, or the scenario has tested nothing. `at_most`: more is a waste.
    """

    that: ClassVar[str] = "duplicates_recognised"

    at_least: Count = 0
    at_most: Count | None = None

    def judge(self, evidence: Evidence) -> Verdict:
        changed = len(evidence.changed)
        enough = within(evidence.duplicates, self.at_least, self.at_most)
        many = f", {bounds(self.at_least, self.at_most)} of them" if self.at_least or self.at_most is not None else ""
        return self.verdict(
            f"what comes twice is the same{many}",
            f"{evidence.duplicates} duplicates, {changed} values came again with another value",
            evidence.changed,
            passed=not changed and enough,
        )


class Latency(OfDevices, frozen=True, kw_only=True):
    """How long live data takes from a value's time to the other end: at most `p50_s`, `p95_s`, `p99_s`, `max_s`."""

    that: ClassVar[str] = "latency"

    p50_s: Positive | None = None
    p95_s: Positive | None = None
    p99_s: Positive | None = None
    max_s: Positive | None = None

    def judge(self, evidence: Evidence) -> Verdict:
        looked_at = [
            one
            for one in evidence.arrivals
            if one.live and self.wants(one.device, one.point) and self.holds(evidence, one.time_ms)
        ]
        taken = sorted((one.received_ms - one.time_ms) / 1_000 for one in looked_at)
        limits = list(self._limits())
        slow = [name for name, share, limit in limits if taken and _percentile(taken, share) > limit]
        seen = (
            ", ".join(f"{name} {_percentile(taken, share):.2f} s" for name, share, _ in limits)
            if taken
            else "nothing came live"
        )
        worst = sorted(looked_at, key=lambda one: one.time_ms - one.received_ms) if slow else []
        return self.verdict(
            f"live data of {self.whom()}{self.when()}: "
            + ", ".join(f"{n} at most {limit:g} s" for n, _, limit in limits),
            f"{seen} of {len(taken)} values",
            (_took(evidence, one) for one in worst),
            passed=bool(taken) and not slow,
        )

    def _limits(self) -> Iterator[tuple[str, float, float]]:
        for name, share, limit in (
            ("p50", 50, self.p50_s),
            ("p95", 95, self.p95_s),
            ("p99", 99, self.p99_s),
            ("max", 100, self.max_s),
        ):
            if limit is not None:
                yield name, share, limit


class Lost(Timed, frozen=True, kw_only=True):
    """How many readings the gateway declares lost by `data.lost`, and for which `reasons`; without keys: none.

    An event that cannot say how many counts as one.
    """

    that: ClassVar[str] = "lost"
    contract_only: ClassVar[bool] = True

    at_least: Count = 0
    at_most: Count | None = None
    reasons: tuple[str, ...] = ()

    def judge(self, evidence: Evidence) -> Verdict:
        lost = Counter[str]()
        for one in evidence.events:
            if one.name == "data.lost" and self.holds(evidence, one.time_ms):
                lost[one.reason or "no reason"] += 1 if one.readings is None else one.readings
        unknown = [reason for reason in lost if self.reasons and reason not in self.reasons]
        high = self.at_most if self.at_most is not None or self.at_least else 0
        why = f" for {', '.join(self.reasons)}" if self.reasons else ""
        return self.verdict(
            f"declared lost{self.when()}: {bounds(self.at_least, high)} readings{why}",
            f"{lost.total()} readings" + (f", also for {', '.join(unknown)}" if unknown else ""),
            (f"{count} for {reason}" for reason, count in lost.items()),
            passed=within(lost.total(), self.at_least, high) and not unknown,
        )


class NothingArrives(Timed, frozen=True, kw_only=True):
    """No value, no event and no status comes to the other end; by when they come, not by their own times."""

    that: ClassVar[str] = "nothing_arrives"

    def judge(self, evidence: Evidence) -> Verdict:
        found = [
            f"{one.device}.{one.point} came at {evidence.at_s(one.received_ms):.3f} s"
            for one in evidence.arrivals
            if self.holds(evidence, one.received_ms)
        ]
        found += [
            f"event {one.name} at {evidence.at_s(one.time_ms):.3f} s"
            for one in evidence.events
            if self.holds(evidence, one.time_ms)
        ]
        found += [
            f"status came at {evidence.at_s(at_ms):.3f} s"
            for at_ms, _ in evidence.statuses
            if self.holds(evidence, at_ms)
        ]
        return self.verdict(f"nothing arrives{self.when()}", f"{len(found)}", found, passed=not found)


class Account(Expectation, frozen=True, kw_only=True):
    """The gateway's own account balances: accepted = delivered + stored + lost, and agrees with the IOC's.

    The account is the last line of JSON on the gateway's stdout that has `accepted` and `delivered`.
    `stored_at_most`: so much may still wait at the end.
    """

    that: ClassVar[str] = "account"
    contract_only: ClassVar[bool] = True

    stored_at_most: Count | None = None

    def judge(self, evidence: Evidence) -> Verdict:
        expected = "accepted = delivered + stored + lost, and what is delivered is at the IOC"
        one = evidence.account
        if one is None:
            return self.verdict(expected, "the gateway has given no account on stdout", passed=False)
        lost = sum(one.lost.values())
        problems = list[str]()
        if one.accepted != one.delivered + one.stored + lost:
            problems.append(f"it does not balance by {one.accepted - one.delivered - one.stored - lost}")
        if not one.delivered <= evidence.at_ioc <= one.delivered + one.stored + lost:
            problems.append(f"{one.delivered} delivered, and {evidence.at_ioc} are at the IOC")
        if self.stored_at_most is not None and one.stored > self.stored_at_most:
            problems.append(f"{one.stored} still stored, more than {self.stored_at_most}")
        if not one.accepted:
            problems.append("nothing was read")
        seen = f"{one.accepted} accepted, {one.delivered} delivered, {one.stored} stored, {lost} lost"
        seen += f", {evidence.at_ioc} at the IOC"
        return self.verdict(expected, seen, problems, passed=not problems)


def _took(evidence: Evidence, one: Arrival) -> str:
    took_s = (one.received_ms - one.time_ms) / 1_000
    return f"{one.device}.{one.point} at {evidence.at_s(one.time_ms):.3f} s took {took_s:.2f} s"


def _percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest of them that `percent` of all do not exceed."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
