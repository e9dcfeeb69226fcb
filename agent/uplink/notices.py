"""What the uplink tells the rest of the agent. Each is set by whoever wants to know; nobody need."""

from collections.abc import Callable
from dataclasses import dataclass

from agent.model import Event, Result
from agent.uplink.downlink.messages import Command


def _nobody(_: object) -> None:
    pass


@dataclass(slots=True)
class Notices:
    """`event`: what the IOC must know of the uplink itself. `result`: what became of a replay.

    `command`: the IOC wants something; None where there are no commands. `bad_command`: what is wrong with a message
    that should have been one.
    """

    event: Callable[[Event], None] = _nobody
    result: Callable[[Result], None] = _nobody
    bad_command: Callable[[str], None] = _nobody
    command: Callable[[Command], None] | None = None
