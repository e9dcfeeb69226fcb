"""What a device answers in a test that says every byte itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

SaidAt = tuple[float, bytes]
"""Seconds after the request, and the bytes that go out then."""
Say = Callable[[int, bytes, bytes], Sequence[SaidAt]]
"""From the number of the request (0 is the first), its bytes and the answer that was meant, to what is sent."""


@dataclass
class Script:
    """In the place of a device's answers: in order, as on a wire, or each part at its own time."""

    say: Say
    in_order: bool = True
    _number: Any = field(default_factory=count, repr=False)

    def answer(self, request: bytes, answer: bytes) -> Sequence[SaidAt]:
        """What is sent to this request."""
        return self.say(next(self._number), request, answer)
