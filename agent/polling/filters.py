"""Report by exception: which readings are worth sending. Pure.

A point without `deadband` and `heartbeat_s` is sent each time. With a deadband, absolute or in percent of what was
sent last, it is sent when it has moved by that much since it was last sent; with only a heartbeat, when it has
changed; and in both cases at the heartbeat.
The first reading after a start, and every change of quality, always pass.
"""

from collections.abc import Iterable, Sequence

from agent.clock import NS_PER_S
from agent.settings import PolledPoint
from drivers.api import Reading, Value


class ReportFilter:
    """Remembers what was last sent of each point of one device."""

    def __init__(self, points: Iterable[PolledPoint]) -> None:
        self._rules = {p.point.name: p for p in points if _has_rule(p)}
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
        return _moved(last.value, reading.value, rule)


def _has_rule(point: PolledPoint) -> bool:
    return any(rule is not None for rule in (point.deadband, point.deadband_pct, point.heartbeat_s))


def _moved(old: Value | None, new: Value | None, rule: PolledPoint) -> bool:
    """Has a number moved by its deadband? Anything else, and a number without one, must only have changed."""
    if isinstance(old, bool | str | None) or isinstance(new, bool | str | None):
        return old != new
    deadband = (rule.deadband or 0.0) + abs(old) * (rule.deadband_pct or 0.0) / 100
    return abs(new - old) >= deadband if deadband > 0 else old != new
