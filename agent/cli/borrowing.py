"""Using a line that the running agent holds."""

from collections.abc import Iterator
from contextlib import contextmanager

from agent.settings import LinkSettings, Settings


@contextmanager
def borrowed(settings: Settings, link: LinkSettings, purpose: str = "") -> Iterator[bool]:
    """Stand-in until the running agent lends its lines: nothing is borrowed."""
    del settings, link, purpose
    yield False
