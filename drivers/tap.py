"""A tap on lines: whoever asks for it sees every byte that a link sends and hears, as it is.

Promises: a link that is opened while nobody listens costs nothing and is never seen. Must not know: frames.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

Way = Literal["sent", "heard"]
Tap = Callable[[Way, bytes], None]
"""Called with the bytes of one write or one read; never raises, never waits."""

_tap: ContextVar[Tap | None] = ContextVar("tap", default=None)


def current_tap() -> Tap | None:
    """The tap for a line that is opened now; None where nobody listens."""
    return _tap.get()


@contextmanager
def tapped(tap: Tap) -> Iterator[None]:
    """Every line that is opened in this context, and in tasks that begin in it, is tapped for as long as it lives."""
    token = _tap.set(tap)
    try:
        yield
    finally:
        _tap.reset(token)
