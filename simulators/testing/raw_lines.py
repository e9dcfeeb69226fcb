"""A serial line on which a test itself speaks, byte by byte."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from simulators.faults.fault import EVERYTHING, Fault
from simulators.lines.line import Line
from simulators.lines.speaking import Answer
from simulators.testing.devices import WAIT_S, Hands
from simulators.testing.stage import wait_until


class Heard:
    """Everything that was said to the line."""

    silence_s = 0.0

    def __init__(self, name: str) -> None:
        self._name = name
        self.data = b""

    def feed(self, data: bytes) -> Iterable[Answer]:
        self.data += data
        return ()

    def silence(self) -> Iterable[Answer]:
        return ()


@dataclass(frozen=True)
class RawLine:
    """The instrument's end. `link` are the keys of the `[[link]]` at which a gateway finds it."""

    name: str
    link: Mapping[str, Any]
    _hands: Hands = field(repr=False)
    _line: Line = field(repr=False)
    _heard: Heard = field(repr=False)

    @property
    def port(self) -> str:
        """The serial port."""
        return str(self.link["port"])

    @property
    def heard(self) -> bytes:
        """All that was said to it."""
        return self._heard.data

    def say(self, data: bytes) -> None:
        """Put bytes on the line; they are lost where nobody is there."""
        self._hands.stage.call(self._line.say, Answer(self.name, data))

    def wait_to_hear(self, data: bytes, timeout_s: float = WAIT_S) -> None:
        """Until these bytes were said to it; raises `AssertionError`."""
        wait_until(lambda: data in self.heard, timeout_s, f"{data!r} is heard on {self.name}, not only {self.heard!r}")

    def fault(self, fault: str | Fault) -> Fault:
        """Let something go wrong with the line: `"unplug for=1"`; raises `BadFault`."""
        return self._hands.faults.add(fault, on=self.name)

    def heal(self, name: str = EVERYTHING) -> int:
        """End its faults of this name; gives how many."""
        return self._hands.faults.heal(name, on=self.name)
