"""What docs/cli.md shows is tried."""

import argparse
import inspect
import re
import shlex
from pathlib import Path

import pytest
from running_agent import running_agent

from agent.cli import capture, main, scan, wiring
from agent.cli.messages import set_language
from agent.cli.profiles.registers import COLUMNS
from agent.cli.scan import hosts, targets
from agent.cli.scan.finding import ScanReport, plain
from simulators.testing import MakeModbusDevice, MakeSerialDevice

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
SECTIONS = {text.partition("\n")[0]: text for text in PAGE.split("\n## oc-agent ")[1:]}


def _blocks(*sections: str) -> list[str]:
    lines = "\n".join(SECTIONS[name] for name in sections).splitlines()
    return [line.removeprefix("    ") for line in lines if line.startswith("    ")]


def _commands(*sections: str) -> list[list[str]]:
    words = [shlex.split(line, comments=True) for line in _blocks(*sections) if "oc-agent" in line]
    return [line[line.index("oc-agent") + 1 :] for line in words]


def test_the_commands_of_the_page_do_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    table = [line for line in _blocks("profiles") if "oc-agent" not in line]
    Path("registers.csv").write_text("\n".join(table) + "\n", encoding="utf-8")
    commands = _commands("profiles", "ports", "completion")
    assert len(commands) == 10
    for command in commands:
        with pytest.raises(SystemExit) as caught:
            main(["--lang", "en", *command])
        assert caught.value.code == 0, (command, capsys.readouterr())
    assert "energy" in capsys.readouterr().out
    set_language("en")


def test_the_commands_that_ask_the_running_agent(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    modbus_device: MakeModbusDevice,
    camera_device: MakeSerialDevice,
) -> None:
    purpose = {"purpose": "flood-verification", "class": "possible", "keep_days": 7}
    meters = [modbus_device("eastron/sdm120", name=name) for name in ("meter-1", "aq-01")]
    camera = camera_device("vimicro/vc0706", name="cam-01")
    commands = _commands("read", "watch")
    assert len(commands) == 7
    with running_agent(tmp_path, *meters, camera.toml(picture=purpose)) as agent:
        for device in (*meters, camera):
            agent.wait_for_link(device.link["name"])
        monkeypatch.chdir(tmp_path)
        for command in commands:
            with pytest.raises(SystemExit) as caught:
                main(["--lang", "en", "--config", str(agent.config), *command])
            assert caught.value.code == 0, (command, capsys.readouterr())
    assert Path("picture.jpg").read_bytes()[:2] == b"\xff\xd8"
    set_language("en")


def test_the_page_names_every_column() -> None:
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    assert {name.strip(" `") for row in rows for name in row.split(",")} >= COLUMNS.keys()


FENCED = [
    shlex.split(line, comments=True)[1:]
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith(("oc-agent scan", "oc-agent capture"))
]


@pytest.mark.parametrize("command", FENCED, ids=" ".join)
def test_what_the_page_asks_of_hardware_is_understood(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in (scan, capture):
        monkeypatch.setattr(verb, "main", lambda _args: 0)
    with pytest.raises(SystemExit) as caught:
        main(command)
    assert caught.value.code == 0


def test_the_page_names_every_option_hint_and_key_of_scan() -> None:
    parser = argparse.ArgumentParser()
    scan.add_arguments(parser)
    options = {flag for action in parser._actions for flag in action.option_strings} - {"-h", "--help", "--stop-bits"}
    hints = set(re.findall(r'code="(\w+)"', "".join(map(inspect.getsource, (wiring, targets, hosts)))))
    assert len(FENCED) == 11
    assert [one for one in (*options, *hints, *plain(ScanReport(target={}, longest_s=0))) if one not in PAGE] == []
