"""What docs/cli.md shows is tried."""

import shlex
from pathlib import Path

import pytest

from agent.cli import main
from agent.cli.messages import set_language
from agent.cli.profiles.registers import COLUMNS

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
BLOCKS = [line.removeprefix("    ") for line in PAGE.splitlines() if line.startswith("    ")]


def test_the_commands_of_the_page_do_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    table = [line for line in BLOCKS if "oc-agent" not in line]
    Path("registers.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
    words = [shlex.split(line, comments=True) for line in BLOCKS if "oc-agent" in line]
    commands = [line[line.index("oc-agent") + 1 :] for line in words]
    assert len(commands) == 10
    for command in commands:
        with pytest.raises(SystemExit) as caught:
            main(["--lang", "en", *command])
        assert caught.value.code == 0, (command, capsys.readouterr())
    assert "energy" in capsys.readouterr().out
    set_language("en")


def test_the_page_names_every_column() -> None:
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    assert {name.strip(" `") for row in rows for name in row.split(",")} >= COLUMNS.keys()
