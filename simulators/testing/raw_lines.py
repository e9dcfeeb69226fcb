"""A serial line on which a test itself speaks, byte by byte."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from simulators.lines.speaking import Answer
from simulators.testing.asked import WAIT_S
from simulators.testing.lines import SimulatedLine
from simulators.testing.stage import wait_until


class Heard:
    """Everything that was said to the line. There is no answer but that of a script."""

    silence_s = 0.0

    def __init__(self, name: str) -> None:
        self._name = name
        self.data = b""

    def feed(self, data: bytes) -> Iterable[Answer]:
        self.data += data
        return (Answer(self._name, b"", data),)

    def silence(self) -> Iterable[Answer]:
        return ()


@dataclass(frozen=True, kw_only=True)
class RawLine(SimulatedLine):
    """The instrument's end. `requests` is what was said to it, in the pieces in which it came."""

    _heard: Heard = field(repr=False)

    @property
    def heard(self) -> bytes:
        """All that was said to it."""
        return self._heard.data

    def answer(self, answers: Mapping[bytes, bytes]) -> None:
        """Say this to each of these requests that comes in one piece, and nothing to anything else."""
        self.script(lambda _number, heard, _meant: [(0.0, answers[heard])] if heard in answers else [])

    def wait_to_hear(self, data: bytes, timeout_s: float = WAIT_S) -> None:
        """Until these bytes were said to it; raises `AssertionError`."""
        wait_until(lambda: data in self.heard, timeout_s, f"{data!r} is heard on {self.name}, not only {self.heard!r}")
