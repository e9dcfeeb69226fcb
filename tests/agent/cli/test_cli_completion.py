"""`oc-agent completion`: a real bash completes what the parser takes."""

import shutil
import subprocess
from pathlib import Path

import pytest

from agent.cli import VERBS, main

NAMES = sorted(VERBS)


def script(capsys: pytest.CaptureFixture[str], shell: str) -> str:
    with pytest.raises(SystemExit) as caught:
        main(["completion", shell])
    assert caught.value.code == 0
    return capsys.readouterr().out


@pytest.fixture
def bash(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "oc-agent.bash"
    file.write_text(script(capsys, "bash"), encoding="utf-8")
    program = (
        'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); '
        '_oc_agent; printf "%s\\n" "${COMPREPLY[@]}"'
    )

    def complete(*words: str) -> list[str]:
        """What bash offers for the last of the words."""
        command = ["bash", "--norc", "-euo", "pipefail", "-c", program, "bash", file, "oc-agent", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert done.stderr == ""
        return sorted(done.stdout.split())

    return complete


def test_bash_completes_verbs(bash) -> None:
    assert bash("") == NAMES
    assert bash("de") == ["decode"]
    assert bash("p") == ["ports", "profiles"]


def test_bash_completes_verbs_of_verbs_also_behind_options_of_the_top(bash) -> None:
    assert bash("profiles", "s") == ["search", "show"]
    assert bash("--lang", "vi", "--config", "outbox", "profiles", "") == ["list", "new", "search", "show"]
    assert bash("--config", "=", "outbox", "profiles", "s") == ["search", "show"]


def test_bash_completes_options_of_the_verb_and_values_of_closed_sets(bash) -> None:
    assert bash("ports", "--j") == ["--json"]
    assert "--vendor" in bash("profiles", "new", "x.csv", "--")
    assert bash("--lang", "") == ["en", "vi"]
    assert bash("--lang", "=") == ["en", "vi"]
    assert bash("--lang", "=", "v") == ["vi"]
    assert bash("profiles", "list", "--kind", "m") == ["modbus"]
    assert bash("completion", "") == ["bash", "zsh"]


def test_where_a_file_or_a_name_is_wanted_bash_is_left_to_complete_files(bash) -> None:
    assert bash("--config", "") == []
    assert bash("profiles", "new", "") == []


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh here")
def test_zsh_takes_the_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "_oc-agent"
    file.write_text(script(capsys, "zsh"), encoding="utf-8")
    program = f'autoload -U compinit && compinit -u -D; source "{file}"; print -r -- "$_comps[oc-agent]"'
    done = subprocess.run(["zsh", "-fc", program], capture_output=True, text=True, timeout=30)
    assert (done.stderr, "_oc_agent" in done.stdout) == ("", True)
