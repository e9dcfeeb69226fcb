"""What verbs share: tables, JSON, and how problems of files are shown."""

import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from agent.cli.layout import columns
from agent.cli.messages import tr
from agent.cli.problems import in_words
from agent.logs import as_error
from drivers.api import Quality, Reading
from drivers.tomlfile import Problem


class Failed(Exception):
    """A verb could not do its work; the message says what to try."""


def show_json(value: Any) -> None:
    """One JSON document on stdout."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def show_line(text: str) -> None:
    """Print one line of text."""
    print(text)


def say(text: str) -> None:
    """Print one line of talk."""
    print(text, file=sys.stderr)


def show_table(head: Sequence[str], rows: Sequence[Sequence[str]], *, width: int | None = None) -> None:
    """Columns as wide as their widest cell, or wrapped to fit `width`; Vietnamese in either normal form lines up."""
    for lines in columns(head, rows, width):
        print("\n".join(lines))


def show_problems(problems: Sequence[Problem], *, as_json: bool, title: str | None = None) -> None:
    """All problems: as JSON on stdout, else as text on stderr."""
    if as_json:
        show_json({"ok": False, "problems": problems})
        return
    say(as_error(title or tr("{count} problem(s) in the configuration:", count=len(problems))))
    for problem in map(in_words, problems):
        say(as_error(f"  {problem.file}:{problem.line}  {problem.key}: {problem.what}"))
        say(as_error(f"      -> {problem.fix}"))


def value_text(value: Any) -> str:
    """A value as a person reads it."""
    return "—" if value is None else tr("yes") if value is True else tr("no") if value is False else str(value)


def values_and_quality(readings: Sequence[Reading]) -> dict[str, dict[str, Any]]:
    """`{"values": {…}, "quality": {…}}`, quality only for what is not good, as in the contract."""
    return {
        "values": {r.point: r.value for r in readings},
        "quality": {r.point: r.quality for r in readings if r.quality is not Quality.GOOD},
    }
