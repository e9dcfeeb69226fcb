"""The configuration: it could be read, or nobody would be here; what is unwise in it."""

from collections.abc import Iterator

from agent.cli.doctor.finding import Case, Finding, ok, warn
from agent.cli.messages import tr
from agent.cli.problems import in_words


def examine(case: Case) -> Iterator[Finding]:
    """Each warning that `oc-agent check` gives."""
    yield ok("file", tr("{file} can be read", file=case.configuration.settings.file))
    for problem in map(in_words, case.configuration.warnings):
        yield warn("warning", f"{problem.file}:{problem.line}  {problem.key}: {problem.what}", problem.fix)
