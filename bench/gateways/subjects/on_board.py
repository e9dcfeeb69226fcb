"""Any gateway with as much of a core as a single-board computer has."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from gateways.serials import Block
from gateways.subjects.api import Launch, Place, Site, Subject

ENTER = 'echo $$ > "$0" && exec "$@"'
"""A shell that goes into the group, and then is the gateway: all that it starts is in the group too."""


class OnBoard:
    """`group`: the file that a process writes its id into to be limited (quota.py)."""

    variant = optional = False

    def __init__(self, subject: Subject, board: str, group: Path) -> None:
        self._subject, self._group = subject, group
        self.name = f"{subject.name}, {board}"
        self.note, self.keeps = subject.note, subject.keeps

    def install(self, place: Place) -> str:
        return self._subject.install(place)

    def configure(self, site: Site) -> Launch:
        launch = self._subject.configure(site)
        return Launch(["sh", "-c", ENTER, str(self._group), *launch.command], launch.environment)

    def decode(self, topic: str, payload: bytes) -> Iterator[Block]:
        return self._subject.decode(topic, payload)

    def retained(self) -> Sequence[tuple[str, bytes]]:
        return self._subject.retained()

    def answers(self, topic: str, payload: bytes) -> Sequence[tuple[str, bytes]]:
        return self._subject.answers(topic, payload)
