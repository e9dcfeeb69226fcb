"""How readings get their wall time: when to wait for the clock, how to stamp, and when the clock has stepped.

Readings of a boot whose clock was never synchronised wait until it is, or until `hold_unsynced_s` have passed;
after that they are sealed with the time as it is, and say `unsync`.
"""

from collections.abc import Iterable

from agent.clock import NS_PER_MS, NS_PER_S, Clock, ClockState
from agent.store.records import Anchor
from agent.store.sealing import Stamp

STEP_MS = 1_000
"""A jump of the wall clock by more than this is told to the IOC; less is what NTP does every day."""


class Timekeeper:
    """The clock as the store sees it. `opened_ns`: when the store was first opened in this boot."""

    def __init__(self, clock: Clock, opened_ns: int, hold_s: float, anchor: Anchor | None) -> None:
        self._clock = clock
        self._opened_ns = opened_ns
        self._hold_ns = round(hold_s * NS_PER_S)
        self.anchor = anchor or anchor_now(clock)

    def holding(self) -> bool:
        """Whether readings should wait for the clock."""
        return self._clock.mono_ns() < self._opened_ns + self._hold_ns and self._clock.state() is ClockState.UNSYNC

    def hold(self, hold_s: float) -> None:
        """Wait for so long after the boot, from now on."""
        self._hold_ns = round(hold_s * NS_PER_S)

    def stamp(self) -> Stamp:
        """How times of this boot are to be stamped now."""
        return stamp_of(anchor_now(self._clock))

    def state_changed(self) -> bool:
        """Whether the clock is believed more or less than at the last anchor."""
        return self._clock.state() is not self.anchor.state

    def step_ms(self) -> int | None:
        """By how much the wall clock has jumped since the last anchor; None where it has not."""
        offset_ms = _offset_ms(self._clock.mono_ns(), self._clock.wall_ms()) - stamp_of(self.anchor).offset_ms
        return offset_ms if abs(offset_ms) > STEP_MS else None


def anchor_now(clock: Clock) -> Anchor:
    """What the clock says at this moment."""
    return Anchor(clock.mono_ns(), clock.wall_ms(), clock.state())


def stamp_of(anchor: Anchor) -> Stamp:
    """Stamp times of the anchor's boot by it."""
    return Stamp(_offset_ms(anchor.mono_ns, anchor.wall_ms), anchor.state)


def best(anchors: Iterable[Anchor]) -> Anchor | None:
    """The anchor to stamp a past boot by: the last that was believed, else the last."""
    known = sorted(anchors)
    believed = [anchor for anchor in known if anchor.state is not ClockState.UNSYNC] or known
    return believed[-1] if believed else None


def _offset_ms(mono_ns: int, wall_ms: int) -> int:
    """What is to be added to a monotonic time for the wall time."""
    return wall_ms - mono_ns // NS_PER_MS
