"""The section of docs/cli.md on `oc-agent doctor` names what there is."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from agent.cli import doctor, main

FILE = Path(__file__).parents[2] / "docs" / "cli.md"
PAGE = FILE.read_text(encoding="utf-8") if FILE.exists() else ""
SECTION = PAGE.partition("## oc-agent doctor\n")[2].partition("\n## ")[0]

pytestmark = pytest.mark.skipif(not PAGE, reason="no checkout")


def _codes() -> set[str]:
    """Every `code="…"`, and what is chosen between in a pair, in the package."""
    found = set()
    for path in Path(doctor.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
                found.add(node.value.value)
    return found | {"bus_full", "bus_overload"}


def test_every_code_is_on_the_page_and_no_other() -> None:
    table = SECTION.partition("| Codes | Of |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) == _codes()


def test_every_group_is_on_the_page_in_its_order() -> None:
    table = SECTION.partition("| Group | Examines |")[2].partition("\n\n")[0]
    assert tuple(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == doctor.NAMES


@pytest.mark.parametrize("line", re.findall(r"^(?:sudo )?(oc-agent doctor.*)$", SECTION, re.MULTILINE))
def test_the_commands_of_the_section_are_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "main", lambda _args: 0)
    with pytest.raises(SystemExit) as caught:
        main(shlex.split(line, comments=True)[1:])
    assert caught.value.code == 0
