"""What `check` would say of a draft, told below the question that it comes from."""

from collections.abc import Callable, Sequence

from agent.cli.init.asking import explain
from agent.cli.init.draft import Draft
from agent.cli.messages import tr
from agent.cli.problems import in_words
from drivers.tomlfile import Problem

Look = Callable[[Draft], Sequence[Problem]]
"""The problems of a draft; empty where there are none."""


def refused(problems: Sequence[Problem]) -> bool:
    """Tell problems, and that the question comes again; False where there are none."""
    for problem in map(in_words, problems):
        explain(f"{problem.key}: {problem.what}")
        explain(f"-> {problem.fix}")
    if problems:
        explain(tr("so it is asked again"))
    return bool(problems)
