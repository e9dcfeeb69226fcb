"""What the bench asks of a gateway, so that every scene can measure any."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from gateways.recorder import Work
from gateways.serials import Block

INSTALL_S = 900


class Missing(Exception):
    """This gateway cannot be had here; the message says why."""


class Site(NamedTuple):
    """What a gateway is to do, and where: ports on 127.0.0.1, a folder on the card, one in RAM."""

    work: Work
    device_ports: Sequence[int]
    broker_port: int
    card: Path
    ram: Path


class Place(NamedTuple):
    """Where gateways are installed, and the virtual environment that has our wheel."""

    prefix: Path
    wheel_venv: Path


@dataclass(frozen=True)
class Launch:
    """How a gateway is started."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


class Subject(Protocol):
    """One gateway, in one configuration."""

    name: str
    note: str
    """What is to be known when its figures are read."""
    variant: bool
    """A second configuration of a gateway, that is measured at the plain work only."""
    optional: bool
    """Is it no fault of ours where it cannot be had?"""
    keeps: bool
    """Does it promise to keep readings through an outage of the broker?"""

    def install(self, place: Place) -> str:
        """Have it ready; gives its version. Raises Missing."""

    def configure(self, site: Site) -> Launch:
        """Write its configuration below `site.card`."""

    def decode(self, topic: str, payload: bytes) -> Iterator[Block]:
        """What one of its messages says."""

    def retained(self) -> Sequence[tuple[str, bytes]]:
        """What its platform has left at the broker before it starts."""

    def answers(self, topic: str, payload: bytes) -> Sequence[tuple[str, bytes]]:
        """What its platform would publish on hearing this."""


def run(command: Sequence[str | Path], folder: Path, log: Path) -> None:
    """Run a step of an installation. Raises Missing with its last line."""
    folder.mkdir(parents=True, exist_ok=True)
    if not shutil.which(str(command[0])):
        raise Missing(f"no {command[0]} here")
    with log.open("a") as output:
        try:
            code = subprocess.run(
                [str(word) for word in command],
                cwd=folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                timeout=INSTALL_S,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
    if code:
        name = Path(str(command[0])).name
        raise Missing(f"`{name} {command[1]}` failed, see {log.name} in {log.parent.name}/")
