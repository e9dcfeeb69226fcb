"""The levels that journald reads, and what a level of ours becomes."""

import logging
import re
from pathlib import Path

import pytest

import agent
from agent.logs import _JournalFormatter

PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "exception": 3, "critical": 2}
CALL = re.compile(r"\blog\.([a-z]+)\(")


def _formatted(method: str) -> list[str]:
    record = logging.LogRecord("x", getattr(logging, method.upper(), logging.ERROR), "f", 1, "one\ntwo", None, None)
    return _JournalFormatter("%(message)s").format(record).splitlines()


@pytest.mark.parametrize("method", PRIORITY)
def test_each_line_carries_the_priority_of_its_level(method: str) -> None:
    assert _formatted(method) == [f"<{PRIORITY[method]}>one", f"<{PRIORITY[method]}>two"]


def test_the_agent_uses_no_level_that_has_no_priority() -> None:
    files = list(Path(agent.__file__).parent.rglob("*.py"))
    used = {method for file in files for method in CALL.findall(file.read_text(encoding="utf-8"))}
    assert (
        {"debug", "info", "warning", "error", "exception"} <= used <= {*PRIORITY, "log"}
    )  # `log` with a level of `logging`
