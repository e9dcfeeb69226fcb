"""The computer itself: its disk and card, memory, heat and power. What it cannot tell is not said."""

from collections.abc import Iterator

from agent.cli.doctor.finding import Case, Finding
from agent.cli.doctor.machine import card, disk, heat, memory
from agent.cli.doctor.machine.roots import MACHINE


def examine(case: Case) -> Iterator[Finding]:
    """From what loses data to what only makes it late."""
    settings = case.configuration.settings
    yield from disk.examined(settings, MACHINE)
    yield from card.examined(settings, MACHINE)
    yield from memory.examined(MACHINE)
    yield from heat.examined(MACHINE)
