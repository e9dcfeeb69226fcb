"""A line as those see it who speak on it; and who is on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from simulators.lines.speaking import Answer, MakeHearing
from simulators.world import World

BANNER: Final = b"\r\nBoot v1.4 2021-06\r\nReady\r\n"
"""What a device prints when it comes up; seen on relay boards that share their port with a console."""


class Line(Protocol):
    """An open line."""

    address: str

    @property
    def connected(self) -> int:
        """How many TCP connections there are."""

    def say(self, answer: Answer) -> None:
        """Say it to everybody who is there, without being asked."""


@dataclass(frozen=True)
class Members:
    """Who is on the line `link`: the names of its devices, and what hears the requests for them."""

    link: str
    devices: Sequence[str]
    make_hearing: MakeHearing
    world: World

    @property
    def names(self) -> tuple[str, ...]:
        """On which a fault of this line can be."""
        return (self.link, *self.devices)
