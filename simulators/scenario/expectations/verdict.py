"""What an expectation says in the end, and what all expectations share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, ClassVar

import msgspec

from simulators.scenario.evidence import Evidence

MAX_EXAMPLES = 5
Seconds = Annotated[float, msgspec.Meta(ge=0, le=10_000_000, examples=[5.0])]
Count = Annotated[int, msgspec.Meta(ge=0, examples=[1])]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Names = Annotated[
    str | tuple[str, ...],
    msgspec.Meta(description='a name, or a list like ["meter-1", "meter-2"]', examples=["meter-1"]),
]


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One expectation and whether it came true. `excused`: rule -> how many that rule left out."""

    that: str
    passed: bool
    expected: str
    seen: str
    examples: Sequence[str] = ()
    excused: Mapping[str, int] = {}


class Expectation(msgspec.Struct, frozen=True, kw_only=True):
    """One `[[expect]]`. Subclasses say in their fields which keys it has, and judge."""

    that: ClassVar[str] = ""
    contract_only: ClassVar[bool] = False
    """It needs what only contract v1 tells."""

    def judge(self, evidence: Evidence) -> Verdict:
        """Hold it against what was seen."""
        raise NotImplementedError

    def devices_named(self) -> Sequence[str]:
        """The devices that the scenario must have."""
        return ()

    def verdict(
        self,
        expected: str,
        seen: str,
        examples: Iterable[str] = (),
        *,
        passed: bool,
        excused: Mapping[str, int] | None = None,
    ) -> Verdict:
        shown = tuple(example for example, _ in zip(examples, range(MAX_EXAMPLES), strict=False))
        return Verdict(
            that=self.that, passed=passed, expected=expected, seen=seen, examples=shown, excused=dict(excused or {})
        )


class Timed(Expectation, frozen=True, kw_only=True):
    """Looks at the time from `from_s` to `to_s`; without them at the whole run."""

    from_s: Seconds | None = None
    to_s: Seconds | None = None

    def begin_s(self) -> float:
        return 0.0 if self.from_s is None else self.from_s

    def until_s(self, evidence: Evidence) -> float:
        return evidence.seconds if self.to_s is None else min(self.to_s, evidence.seconds)

    def holds(self, evidence: Evidence, wall_ms: float) -> bool:
        """Whether this time is looked at."""
        at_s = evidence.at_s(wall_ms)
        after_end = self.to_s is not None and at_s > self.to_s
        before_begin = self.from_s is not None and at_s < self.from_s
        return not (after_end or before_begin)

    def when(self) -> str:
        """The time in words, with a blank before it."""
        begin = f" from {self.from_s:g} s" if self.from_s is not None else ""
        return begin + (f" to {self.to_s:g} s" if self.to_s is not None else "")


class OfDevices(Timed, frozen=True, kw_only=True):
    """Looks at some devices and points; without names at all of them."""

    device: Names = ()
    point: Names = ()

    def devices_named(self) -> Sequence[str]:
        return listed(self.device)

    def devices(self, evidence: Evidence) -> list[str]:
        return listed(self.device) or sorted(evidence.devices)

    def wants(self, device: str, point: str) -> bool:
        """Whether this point is looked at."""
        devices, points = listed(self.device), listed(self.point)
        return (not devices or device in devices) and (not points or point in points)

    def whom(self) -> str:
        """The devices and points in words."""
        devices, points = listed(self.device), listed(self.point)
        text = ", ".join(devices) if devices else "all devices"
        return text + (f" ({', '.join(points)})" if points else "")


def listed(names: Names) -> list[str]:
    """One name or several, as several."""
    return [names] if isinstance(names, str) else list(names)


def bounds(low: float | None, high: float | None, unit: str = "") -> str:
    """`at least 1`, `at most 3`, `1 to 3`, `2` in words."""
    if low is not None and low == high:
        return f"{low:g}{unit}"
    if low is not None and high is not None:
        return f"{low:g} to {high:g}{unit}"
    return f"at least {low:g}{unit}" if low is not None else f"at most {high:g}{unit}"


def within(number: float, low: float | None, high: float | None) -> bool:
    """Whether it is neither below `low` nor above `high`, where these are given."""
    return (low is None or number >= low) and (high is None or number <= high)
