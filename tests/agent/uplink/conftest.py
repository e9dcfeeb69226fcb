"""A broker of one's own, and the helpers beside this file."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import Mosquitto

from agent.clock import SystemClock

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def broker(mosquitto: str, tmp_path: Path) -> Iterator[Mosquitto]:
    """A mosquitto that runs."""
    server = Mosquitto(mosquitto, tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def wall_ms() -> Callable[[], int]:
    """The wall clock, in milliseconds since 1970."""
    return SystemClock().wall_ms
