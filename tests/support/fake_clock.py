"""Time that moves only when a test says so."""

from agent.clock import NS_PER_MS, NS_PER_S, ClockState


class FakeClock:
    """A Clock in the hands of a test."""

    def __init__(self, *, state: ClockState = ClockState.SYNC) -> None:
        self.boot_id = "11111111-2222-3333-4444-555555555555"
        self.now_ns = 1_000 * NS_PER_S
        self.wall_at_zero_ms = 1_795_432_000_000
        self.clock_state = state

    def mono_ns(self) -> int:
        return self.now_ns

    def wall_ms(self) -> int:
        return self.wall_at_zero_ms + self.now_ns // NS_PER_MS

    def state(self) -> ClockState:
        return self.clock_state

    def advance(self, seconds: float) -> None:
        self.now_ns += round(seconds * NS_PER_S)
