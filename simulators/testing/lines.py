"""A line in the hands of a test, with all devices that are on it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from simulators.lines.line import Line
from simulators.lines.speaking import Answer
from simulators.testing.asked import WAIT_S, Asked
from simulators.testing.stage import wait_until
from simulators.world import Exchange


@dataclass(frozen=True, kw_only=True)
class SimulatedLine(Asked):
    """A serial line, or a TCP or UDP port. Its script is for every device that has none of its own."""

    _line: Line = field(repr=False)

    @property
    def exchanges(self) -> Sequence[Exchange]:
        """Every request to a device that is there, in order."""
        return self._hands.records.exchanges(link=self.name)

    @property
    def connected(self) -> int:
        """How many TCP connections there are."""
        return self._line.connected

    def wait_for_connections(self, count: int = 1, timeout_s: float = WAIT_S) -> None:
        """Until there are so many: a client is connected a moment before the server knows; raises `AssertionError`."""
        wait_until(lambda: self.connected >= count, timeout_s, f"{count} connections to {self.name}")

    def say(self, data: bytes) -> None:
        """Put bytes on the line that nobody asked for; they are lost where nobody is there."""
        self._hands.stage.call(self._line.say, Answer("", data))
