"""Asking the running agent for something: what it refuses, or keeps to itself, in words."""

from collections.abc import Iterator
from contextlib import contextmanager

from agent.cli.messages import tr
from agent.cli.output import Failed
from agent.control import AgentSilent, OrderRefused


@contextmanager
def refusals_in_words() -> Iterator[None]:
    """Within, a refusal is `Failed` with what to try; that no agent runs stays `AgentNotRunning`."""
    try:
        yield
    except AgentSilent as err:
        raise Failed(tr("the running agent does not answer: see its log")) from err
    except PermissionError as err:
        raise Failed(tr("you may not ask the agent: use sudo, or join its group")) from err
    except OrderRefused as err:
        raise Failed(tr("the agent refuses: {why}", why=err)) from err
