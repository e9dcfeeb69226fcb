"""When to poll what on one link. Pure: time comes in, decisions go out.

Polls of the same interval are due at the same tick, also on different links, so that the agent wakes up once.
A poll that could not be made in time is made once, late; the slots that it missed are counted, never made up.
"""

from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)


class Schedule(Generic[KeyT]):
    """Due times of the polls of one link, in nanoseconds of the monotonic clock."""

    def __init__(self) -> None:
        self._interval_ns: dict[KeyT, int] = {}
        self._due_ns: dict[KeyT, int] = {}
        self._settled: set[KeyT] = set()
        self.missed = 0

    def add(self, key: KeyT, interval_ns: int, now_ns: int) -> None:
        """Poll `key` at once, and then at every tick of its interval."""
        self._interval_ns[key] = interval_ns
        self._due_ns[key] = now_ns

    def remove(self, keys: Iterable[KeyT]) -> None:
        """Poll `keys` no more."""
        for key in keys:
            del self._interval_ns[key], self._due_ns[key]
            self._settled.discard(key)

    def __contains__(self, key: KeyT) -> bool:
        return key in self._due_ns

    def next(self) -> tuple[KeyT, int]:
        """The poll that is due first, and when; of those due together, the one with the shortest interval."""
        due_ns = min(self._due_ns.values())
        together = [key for key, at_ns in self._due_ns.items() if at_ns == due_ns]
        return min(together, key=self._interval_ns.__getitem__), due_ns

    def due_ns(self, key: KeyT) -> int:
        """When `key` is due."""
        return self._due_ns[key]

    def done(self, key: KeyT, now_ns: int, not_before_ns: int = 0) -> None:
        """`key` was polled: it is due at the next tick after now, and not before `not_before_ns`.

        Ticks skipped on purpose, because of `not_before_ns`, do not count as missed; nor does a tick that the very
        first poll, which is made at once, runs into.
        """
        interval_ns = self._interval_ns[key]
        expected_ns = _next_tick(self._due_ns[key], interval_ns)
        next_ns = max(expected_ns, _tick_at_or_after(now_ns, interval_ns))
        if key in self._settled:
            self.missed += (next_ns - expected_ns) // interval_ns
        self._settled.add(key)
        self._due_ns[key] = max(next_ns, not_before_ns)

    def rest(self, keys: Iterable[KeyT], until_ns: int) -> None:
        """Leave `keys` alone until then, on purpose."""
        for key in keys:
            self._due_ns[key] = max(self._due_ns[key], until_ns)

    def hurry(self, keys: Iterable[KeyT], now_ns: int) -> None:
        """Poll `keys` at once where they rest."""
        for key in keys:
            self._due_ns[key] = min(self._due_ns[key], now_ns)


def _next_tick(ns: int, interval_ns: int) -> int:
    return (ns // interval_ns + 1) * interval_ns


def _tick_at_or_after(ns: int, interval_ns: int) -> int:
    return -(-ns // interval_ns) * interval_ns
