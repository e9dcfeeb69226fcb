"""The goals, and whether what was measured reaches them. Pure: figures in, verdicts out.

A goal whose figures are not there is not measured, never passed. Limits are on the plain work, 20 devices x 100
registers at 1 Hz; on a slower or a busier machine read the ratios to the peers beside them.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from gateways.figures import Figure, shown

Figures = Mapping[str, Figure]
"""Of one gateway, by name."""


class Limit(NamedTuple):
    """One figure with its limit. `of`: the gateway whose figure it is; `over`: of the gateway that it is divided by."""

    of: str
    figure: str
    limit: float
    unit: str = ""
    at_least: bool = False
    over: str = ""

    def of_this(self, measured: Callable[[str, str], float | None]) -> float | None:
        """What was measured of it, None where that is not there."""
        value, base = measured(self.of, self.figure), measured(self.over, self.figure) if self.over else 1.0
        return None if value is None or not base else value / base

    def met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def said(self, value: float) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{self.figure} {shown(value)}{self.unit} ({sign} {shown(self.limit)})"


class Verdict(NamedTuple):
    """`passed` is None where not everything of the goal was measured; what was is in `measured`."""

    name: str
    goal: str
    passed: bool | None
    measured: str

    @property
    def word(self) -> str:
        return {True: "pass", False: "FAIL", None: "not measured"}[self.passed]


class Goal(NamedTuple):
    """`open_end`: what of it this bench does not measure."""

    name: str
    says: str
    limits: tuple[Limit, ...]
    open_end: str = ""


OURS, AT_ONCE, UVLOOP = "oc-agent", "oc-agent-at-once", "oc-agent-uvloop"
GOALS = (
    Goal("P1", "processor", (Limit(OURS, "cpu_s", 0.0045, " s per 1,000"),)),
    Goal("P2", "registers/s on one core", (Limit(OURS, "sustained", 250_000, "/s", at_least=True),)),
    Goal(
        "P3", "memory",
        (Limit(OURS, "rss_mb", 40, " MB"), Limit(OURS, "rss_growth_mb", 6, " MB"),
         Limit(OURS, "stored_rss_growth_mb", 6, " MB with 10 million stored")),
    ),
    Goal(
        "P4", "first message",
        (Limit(OURS, "first_s", 0.6, " s"), Limit(OURS, "stored_first_s", 0.6, " s with 10 million stored")),
    ),
    Goal(
        "P5", "latency",
        (Limit(AT_ONCE, "latency_p50_ms", 4, " ms at once"), Limit(AT_ONCE, "latency_p99_ms", 12, " ms at once"),
         Limit(OURS, "latency_p99_ms", 1_100, " ms")),
    ),
    Goal("P6", "bytes on the wire", (Limit(OURS, "wire_bytes", 4, " B"),)),
    Goal(
        "P7", "bytes on the card",
        (Limit(OURS, "card_bytes", 4, " B online"), Limit(OURS, "offline_card_bytes", 20, " B offline")),
    ),
    Goal(
        "P8", "after an outage",
        (Limit(OURS, "resume_s", 1, " s"), Limit(OURS, "drain_s", 10, " s a million"),
         Limit(OURS, "live_p95_ms", 2_000, " ms")),
    ),
    Goal("P9", "kill -9", (Limit(OURS, "lost_old", 0, " lost"),), "power cuts: tests/agent/store"),
    Goal(
        "P10", "share of a serial line",
        (Limit(OURS, "rtu_share_9600", 0.98, at_least=True), Limit(OURS, "rtu_share_19200", 0.98, at_least=True),
         Limit(OURS, "rtu_share_115200", 0.95, at_least=True), Limit(OURS, "rtu_too_early", 0, " requests")),
    ),
    Goal(
        "P11", "linear, idle",
        (Limit(OURS, "nonlinearity", 1.5, " x"), Limit(OURS, "idle_share", 0.001, " of a core")),
    ),
    Goal("P12", "uvloop", (Limit(UVLOOP, "cpu_s", 0.7, " x that of oc-agent", over=OURS),)),
)  # fmt: skip


def judged(measured: Callable[[str, str], float | None]) -> list[Verdict]:
    """What became of each goal; `measured` gives the median of a gateway's figure, None where there is none."""
    return [_judged(goal, measured) for goal in GOALS]


def _judged(goal: Goal, measured: Callable[[str, str], float | None]) -> Verdict:
    found = [(limit, value) for limit in goal.limits if (value := limit.of_this(measured)) is not None]
    said = "; ".join([limit.said(value) + ("" if limit.met(value) else " !") for limit, value in found])
    missing = [limit.figure for limit in goal.limits if limit not in [each for each, _ in found]]
    open_ends = [goal.open_end] * bool(goal.open_end) + [f"without {', '.join(missing)}"] * bool(missing)
    whole = "; ".join(part for part in (said, *open_ends) if part)
    if any(not limit.met(value) for limit, value in found):
        return Verdict(goal.name, goal.says, False, whole)  # noqa: FBT003
    return Verdict(goal.name, goal.says, None if missing or not goal.limits else True, whole)
