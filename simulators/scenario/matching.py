"""Which values belong together: what was served, and what arrived. Pure."""

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from drivers.api import Value
from simulators.scenario.evidence import Arrival, Evidence
from simulators.world import Served

T = TypeVar("T", Served, Arrival)


class Index(Generic[T]):
    """Values by device and point, in order of time."""

    def __init__(self, values: Iterable[T]) -> None:
        self._found: dict[tuple[str, str], list[T]] = {}
        for one in values:
            self._found.setdefault((one.device, one.point), []).append(one)
        for found in self._found.values():
            found.sort(key=_time)
        self._times = {key: [one.time_ms for one in found] for key, found in self._found.items()}

    def near(self, device: str, point: str, from_ms: float, to_ms: float) -> Iterator[T]:
        """Those of a point between two times, both included."""
        key = device, point
        times = self._times.get(key, [])
        for index in range(bisect_left(times, from_ms), len(times)):
            if times[index] > to_ms:
                return
            yield self._found[key][index]


def _time(one: Served | Arrival) -> int:
    return one.time_ms


def same(one: Value | None, other: Value | None, tolerance: float) -> bool:
    """Whether both are the same value; true is not 1, but 1 is 1.0. `tolerance` is relative, for numbers."""
    if isinstance(one, bool) or isinstance(other, bool) or isinstance(one, str) or isinstance(other, str):
        return type(one) is type(other) and one == other
    if one is None or other is None:
        return False
    return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance / 1_000)


def arrived(evidence: Evidence, index: Index[Arrival], served: Served, close_ms: float) -> bool:
    """Whether this value has come, with a time near that at which it was served."""
    return any(
        same(one.value, served.value, evidence.tolerance)
        for one in _in_spans(index, served.device, served.point, _spans(evidence, served.time_ms, close_ms))
    )


def sampled(evidence: Evidence, index: Index[Arrival], served: Served, close_ms: float) -> bool:
    """Whether any value of the point has come for this time: of an instrument that sends more than is taken."""
    spans = _spans(evidence, served.time_ms, close_ms)
    return any(one.value is not None for one in _in_spans(index, served.device, served.point, spans))


def served_near(evidence: Evidence, index: Index[Served], one: Arrival, close_ms: float) -> list[Served]:
    """What was served with this value near its time; without times of the gateway, at any time before it came."""
    found: list[Served] = []
    for shift_ms in evidence.shifts_ms:
        time_ms = one.time_ms - shift_ms
        from_ms = time_ms - close_ms if evidence.timed else -math.inf
        near = index.near(one.device, one.point, from_ms, time_ms + close_ms)
        found.extend(served for served in near if same(one.value, served.value, evidence.tolerance))
    return found


def _spans(evidence: Evidence, time_ms: int, close_ms: float) -> list[tuple[float, float]]:
    if not evidence.timed:
        return [(time_ms - close_ms, math.inf)]
    return [(time_ms + shift - close_ms, time_ms + shift + close_ms) for shift in evidence.shifts_ms]


def _in_spans(
    index: Index[Arrival], device: str, point: str, spans: Sequence[tuple[float, float]]
) -> Iterator[Arrival]:
    for from_ms, to_ms in spans:
        yield from index.near(device, point, from_ms, to_ms)
