"""What is wrong with a configuration is said in Vietnamese too; programs and the journal get English."""

import ast
import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from problem_texts import texts_of

import agent.cli
import agent.configuration
import drivers
from agent.cli import main
from agent.cli.messages import set_language
from agent.cli.problems import worded
from agent.settings import DeviceKeys, GatewaySettings, LinkKeys, SiteSettings, UplinkSettings
from drivers import tomlfile
from drivers.modbus.options import ModbusOptions
from drivers.modbus.profile import ModbusPoint
from drivers.tomlfile import Section, Tree

CATALOGUE = tomllib.loads((Path(agent.cli.__file__).parent / "problems.vi.toml").read_text(encoding="utf-8"))
SOURCES = [path for package in (drivers, agent.configuration) for path in Path(package.__path__[0]).rglob("*.py")]
OF_MSGSPEC = {
    "expected {}, got {}",
    "expected {} >= {}",
    "expected {} <= {}",
    "expected {} > {}",
    "expected {} < {}",
    "expected {} that's a multiple of {}",
    "expected {} matching regex {}",
    "expected {} of length {}",
    "expected {} of length {}, got {}",
    "expected {} of length >= {}",
    "expected {} of length <= {}",
    "invalid enum value {}",
    "object missing required field `{}`",
    "object contains unknown field `{}`",
    "{} - at `{}`",
}
OF_THE_SYSTEM = {"No such file or directory", "Permission denied", "Is a directory"}
TYPES = {*tomlfile._TYPE_NAMES.values(), *tomlfile._KINDS.values(), "must be {}"} | {
    "a number or text",
    "text or a number",
    "a whole number or a list",
    "text or a table",
    "a number or a list",
}
HOLE = re.compile(r"\{\d*\}")


@pytest.fixture
def vietnamese() -> Iterator[None]:
    set_language("vi")
    yield
    set_language("en")


def _descriptions() -> Iterator[str]:
    """What a key must be, as the types of settings and profiles describe it."""
    for path in (*SOURCES, Path(agent.configuration.__path__[0]).parent / "settings.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "description" and isinstance(node.value, ast.Constant):
                yield node.value.value


def test_every_problem_has_its_vietnamese_and_no_translation_is_left_over() -> None:
    texts = {text for path in SOURCES for text in texts_of(path)} | set(_descriptions())
    assert texts | OF_MSGSPEC | OF_THE_SYSTEM | TYPES == CATALOGUE.keys()


def test_each_problem_is_known_by_its_text_and_keeps_its_values(vietnamese: None) -> None:
    for english, translation in CATALOGUE.items():
        values = [f"<{i}>" for i in range(len(HOLE.findall(english)))]
        assert len(HOLE.findall(translation)) == len(values), english
        numbers = iter(range(9))
        expected = HOLE.sub(
            lambda hole, values=values, numbers=numbers: values[int(hole[0][1:-1] or next(numbers))], translation
        )
        assert worded(english.replace("{}", "<{}>").format(*range(9)) if values else english) == expected


WRONG: list[tuple[type[msgspec.Struct], dict[str, object], str]] = [
    (GatewaySettings, {"id": 5}, "đang là 5: phải là a-z 0-9 - không dấu"),
    (UplinkSettings, {"host": 5}, "đang là 5: cần chữ, nhưng lại là một số nguyên"),
    (UplinkSettings, {"host": "a", "port": 0}, "đang là 0: cần một số nguyên >= 1"),
    (UplinkSettings, {"host": "a", "port": 70_000}, "đang là 70000: cần một số nguyên <= 65535"),
    (UplinkSettings, {"host": "a", "tls": "yes"}, 'đang là "yes": cần true hoặc false, nhưng lại là chữ'),
    (UplinkSettings, {"host": "a", "ack": "you"}, "đang là \"you\": không có lựa chọn 'you'"),
    (UplinkSettings, {"host": "a", "drain_s": "1"}, 'đang là "1": cần một số, nhưng lại là chữ'),
    (SiteSettings, {"oc": ""}, 'đang là "": cần chữ có độ dài >= 1'),
    (SiteSettings, {"oc": "x", "location": [1.0]}, "đang là [1.0]: cần một danh sách có độ dài 2, nhưng lại là 1"),
    (SiteSettings, {"oc": "x", "location": [300.0, 1.0]}, "cần một số <= 180.0 (tại `$[0]`)"),
    (LinkKeys, {"kind": "modbus"}, "còn thiếu"),
    (DeviceKeys, {"picture": 3}, "cần một bảng, nhưng lại là một số nguyên"),
    (ModbusOptions, {"transport": "rtu", "timeout_s": 0}, "cần một số > 0.0"),
    (ModbusPoint, {"name": "a", "table": "input", "type": "u16", "address": -1}, "phải là số gửi trên đường truyền"),
]


@pytest.mark.parametrize(("cls", "data", "said"), WRONG)
def test_a_wrong_value_is_told_in_vietnamese(
    cls: type[msgspec.Struct], data: dict[str, object], said: str, vietnamese: None
) -> None:
    problems: list[tomlfile.Problem] = []
    Section.root(Tree(data, {}, "agent.toml"), problems).convert(cls)
    assert any(said in worded(problem.what) for problem in problems), [worded(one.what) for one in problems]


def test_check_speaks_vietnamese_and_its_json_english(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "agent.toml"
    file.write_text('[gateway]\nid = "HC 01"\n[site]\n[uplink]\nhost = "a"\nporrt = 1\n', encoding="utf-8")
    try:
        with pytest.raises(SystemExit) as caught:
            main(["--config", str(file), "--lang", "vi", "check"])
        assert caught.value.code == 78
        err = capsys.readouterr().err
        assert 'gateway.id: đang là "HC 01": phải là a-z 0-9 - không dấu' in err
        assert "uplink.porrt: không phải khóa hợp lệ" in err
        assert "-> có phải bạn muốn viết `port`?" in err
        assert "site.oc: còn thiếu" in err
        with pytest.raises(SystemExit):
            main(["--config", str(file), "--lang", "vi", "check", "--json"])
        problems = json.loads(capsys.readouterr().out)["problems"]
        assert [problem["what"] for problem in problems if problem["key"] == "site.oc"] == ["is missing"]
    finally:
        set_language("en")


def test_the_journal_stays_english(oc_agent: list[str], tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with journal.open("wb") as err:
        found = os.fstat(err.fileno())
        environment = {**os.environ, "LC_ALL": "vi_VN.UTF-8", "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        command = [*oc_agent, "--config", str(tmp_path / "agent.toml"), "run"]
        done = subprocess.run(command, stderr=err, env=environment, timeout=60, check=False)
    assert done.returncode == 78
    assert "<3>1 problem(s) in the configuration:" in journal.read_text(encoding="utf-8")
    assert "cannot be read: No such file or directory" in journal.read_text(encoding="utf-8")
