"""What a device answers in a test that says every byte itself."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

SaidAt = tuple[float, bytes]
"""Seconds after the request, and the bytes that go out then."""
Say = Callable[[int, bytes, bytes], Sequence[SaidAt]]
"""From the number of the request (0 is the first), its bytes and the answer that was meant, to what is sent."""
NotAfter = Callable[[int], float]
"""From the number of the request to the monotonic time in seconds after which nothing of its answer is sent."""


def at_any_time(_number: int) -> float:
    """An answer is never too late to be sent."""
    return math.inf


class Said(NamedTuple):
    """What is sent to one request, and until when, in seconds of the monotonic clock."""

    parts: Sequence[SaidAt]
    until_s: float


@dataclass
class Script:
    """In the place of a device's answers: in order, as on a wire, or each part at its own time.

    What would be sent later than `not_after` allows is not sent: a device keeps its promises, a busy machine does not.
    """

    say: Say
    in_order: bool = True
    not_after: NotAfter = at_any_time
    _number: Any = field(default_factory=count, repr=False)

    def answer(self, request: bytes, answer: bytes) -> Said:
        """What is sent to this request."""
        number = next(self._number)
        return Said(self.say(number, request, answer), self.not_after(number))
