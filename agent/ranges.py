"""Sets of sequence numbers, kept as ranges. Pure.

A backlog of a million undelivered batches is one range, and marking part of it delivered moves one end.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from agent.model import SeqRange


class RangeSet:
    """A set of integers as sorted, separate ranges, both ends included. Neighbours are merged."""

    def __init__(self, ranges: Iterable[SeqRange] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._count = 0
        for first, last in ranges:
            self.add(first, last)

    def __contains__(self, number: int) -> bool:
        index = bisect_left(self._lasts, number)
        return index < len(self._lasts) and self._firsts[index] <= number

    def __bool__(self) -> bool:
        return bool(self._firsts)

    def __iter__(self) -> Iterator[int]:
        return self.after(-1)

    @property
    def count(self) -> int:
        """How many numbers are in the set."""
        return self._count

    @property
    def first(self) -> int | None:
        """The lowest number, None where the set is empty."""
        return self._firsts[0] if self._firsts else None

    def ranges(self) -> list[SeqRange]:
        """The set as ranges, lowest first."""
        return list(zip(self._firsts, self._lasts, strict=True))

    def after(self, number: int) -> Iterator[int]:
        """The numbers above `number`, lowest first."""
        start = bisect_left(self._lasts, number + 1)
        for first, last in zip(self._firsts[start:], self._lasts[start:], strict=True):
            yield from range(max(first, number + 1), last + 1)

    def overlap(self, first: int, last: int) -> list[SeqRange]:
        """What of `first` to `last` is in the set."""
        start, stop = bisect_left(self._lasts, first), bisect_right(self._firsts, last)
        return [(max(first, self._firsts[i]), min(last, self._lasts[i])) for i in range(start, stop)]

    def missing(self, first: int, last: int) -> list[SeqRange]:
        """What of `first` to `last` is not in the set."""
        gaps: list[SeqRange] = []
        for low, high in self.overlap(first, last):
            if first < low:
                gaps.append((first, low - 1))
            first = high + 1
        return [*gaps, (first, last)] if first <= last else gaps

    def add(self, first: int, last: int | None = None) -> None:
        """Put `first` to `last` into the set; `first` alone where there is no `last`."""
        last = first if last is None else last
        if first > last:
            return
        start, stop = bisect_left(self._lasts, first - 1), bisect_right(self._firsts, last + 1)
        if start < stop:
            first, last = min(first, self._firsts[start]), max(last, self._lasts[stop - 1])
        self._replace(start, stop, [(first, last)])

    def discard(self, first: int, last: int | None = None) -> list[SeqRange]:
        """Take `first` to `last` out of the set; gives what of it was there."""
        last = first if last is None else last
        gone = self.overlap(first, last)
        if gone:
            start, stop = bisect_left(self._lasts, first), bisect_right(self._firsts, last)
            left, right = (self._firsts[start], first - 1), (last + 1, self._lasts[stop - 1])
            self._replace(start, stop, [(low, high) for low, high in (left, right) if low <= high])
        return gone

    def _replace(self, start: int, stop: int, ranges: list[SeqRange]) -> None:
        old = zip(self._firsts[start:stop], self._lasts[start:stop], strict=True)
        before = sum(last - first + 1 for first, last in old)
        self._firsts[start:stop] = [first for first, _ in ranges]
        self._lasts[start:stop] = [last for _, last in ranges]
        self._count += sum(last - first + 1 for first, last in ranges) - before
