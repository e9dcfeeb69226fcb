"""Listening in on a port: whoever opens one inside `tapped` is told every byte that passes, as it passes.

Promises: what passes is not changed, and costs nothing where nobody listens in. For diagnosis and captures.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Tap = Callable[[bool, bytes], None]
"""Called with True and what was sent, with False and what was heard."""

_tap: ContextVar[Tap | None] = ContextVar("tap", default=None)


@contextmanager
def tapped(tap: Tap) -> Iterator[None]:
    """Let `tap` hear the ports that are opened meanwhile, until they are closed."""
    token = _tap.set(tap)
    try:
        yield
    finally:
        _tap.reset(token)


def current_tap() -> Tap | None:
    """Who listens in on a port that is opened now."""
    return _tap.get()
