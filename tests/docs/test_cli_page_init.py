"""The commands for `init` and `support` on docs/cli.md do what the page says."""

import re
import shlex
from pathlib import Path

import pytest

from agent.cli import main, make_parser
from agent.cli.init.notation import KINDS
from agent.cli.messages import set_language
from agent.cli.parser import verbs_of

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")


def _section(verb: str) -> str:
    found = re.search(rf"^## oc-agent {verb}\n(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    assert found, verb
    return found[1]


def _commands(verb: str) -> list[list[str]]:
    blocks = re.findall(r"^```sh\n(.*?)^```", _section(verb), re.MULTILINE | re.DOTALL)
    return [shlex.split(line)[1:] for block in blocks for line in block.replace("\\\n", "").splitlines()]


@pytest.mark.parametrize(("verb", "count"), [("init", 2), ("support", 1)])
def test_the_commands_of_the_section_succeed(
    verb: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    commands = _commands(verb)
    assert len(commands) == count
    for command in commands:
        with pytest.raises(SystemExit) as caught:
            main(["--lang", "en", *command])
        assert caught.value.code == 0, (command, capsys.readouterr())
    set_language("en")


@pytest.mark.parametrize("verb", ["init", "support"])
def test_the_section_names_every_option(verb: str) -> None:
    (verbs,) = verbs_of(make_parser())
    common = {"--help", "--json", "--yes", "--unit", "--output", "--list"}
    options = {option for action in verbs.choices[verb]._actions for option in action.option_strings[-1:]} - common
    assert {option for option in options if f"`{option}" not in _section(verb)} == set()
    assert verb != "init" or all(f"`{kind}`" in _section(verb) for kind in KINDS)
