"""Report by exception: which readings are worth sending. Pure.

A point without `deadband` and `heartbeat_s` is sent each time. With a deadband it is sent when it has moved by
that much since it was last sent; with only a heartbeat, when it has changed; and in both cases at the heartbeat.
The first reading after a start, and every change of quality, always pass.
"""

from collections.abc import Iterable, Sequence

from agent.clock import NS_PER_S
from agent.settings import PolledPoint
from drivers.api import Reading, Value


class ReportFilter:
    """Remembers what was last sent of each point of one device."""

    def __init__(self, points: Iterable[PolledPoint]) -> None:
        self._rules = {p.point.name: p for p in points if p.deadband is not None or p.heartbeat_s is not None}
        self._sent: dict[str, Reading] = {}

    def passing(self, readings: Sequence[Reading]) -> Sequence[Reading]:
        """The readings to send, in their order; they count as sent."""
        if not self._rules:
            return readings
        passed = [r for r in readings if r.point not in self._rules or self._passes(self._rules[r.point], r)]
        self._sent.update((r.point, r) for r in passed if r.point in self._rules)
        return passed

    def _passes(self, rule: PolledPoint, reading: Reading) -> bool:
        last = self._sent.get(reading.point)
        if last is None or last.quality != reading.quality or last.status != reading.status:
            return True
        if rule.heartbeat_s is not None and reading.mono_ns - last.mono_ns >= rule.heartbeat_s * NS_PER_S:
            return True
        return _moved(last.value, reading.value, rule.deadband or 0.0)


def _moved(old: Value | None, new: Value | None, deadband: float) -> bool:
    numbers = isinstance(old, int | float) and isinstance(new, int | float)
    if numbers and not isinstance(old, bool) and deadband > 0:
        return abs(float(new) - float(old)) >= deadband  # type: ignore[arg-type]  # both are numbers here
    return old != new
