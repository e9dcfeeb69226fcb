import json
from pathlib import Path

import pytest
from agent_config import METER

from agent.cli import main
from simulators.testing import MakeSerialDevice

CONFIG = (
    """\
[gateway]
id = "dng-hc-01"
runtime_dir = "run"
[site]
oc = "oc-haichau"
[uplink]
host = "127.0.0.1"
tls = false
"""
    + METER
)

SDM120 = ["decode", "eastron/sdm120", "--request", "01 04 00 00 00 02 71 CB", "--response"]


def _run(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["--lang", "en", *map(str, arguments)])
    out, err = capsys.readouterr()
    return int(caught.value.code or 0), out, err


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "agent.toml"
    path.write_text(CONFIG, encoding="utf-8")
    return path


def test_check_says_good_and_exits_zero(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    code, out, err = _run(capsys, "--config", config, "check")
    assert code == 0
    assert "tcp://127.0.0.1:1" in out
    assert "unencrypted" in err
    code, out, _ = _run(capsys, "--config", config, "check", "--json")
    report = json.loads(out)
    assert (code, report["ok"], report["links"][0]["devices"][0]["device"]) == (0, True, "meter-1")


def test_check_shows_every_problem_and_exits_78(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    config.write_text(
        CONFIG.replace("unit = 1", "unit = 999").replace('"plc"\nkind', '"plc 1"\nkind'), encoding="utf-8"
    )
    code, out, err = _run(capsys, "--config", config, "check")
    assert (code, out) == (78, "")
    assert "link[1].name" in err
    assert "device[1].unit" in err
    code, out, _ = _run(capsys, "--config", config, "check", "--json")
    problems = json.loads(out)["problems"]
    assert code == 78
    assert {p["key"] for p in problems} >= {"link[1].name", "device[1].unit"}
    assert all({"file", "line", "key", "what", "fix"} == p.keys() for p in problems)


def test_a_missing_configuration_exits_78_and_names_the_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for verb in (["check"], ["run"], ["status"], ["outbox", "status"], ["outbox", "forget", "--seq", "1"]):
        code, _, err = _run(capsys, "--config", tmp_path / "none.toml", *verb)
        assert code == 78
        assert "none.toml" in err


def test_decode_gives_the_documented_value(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, *SDM120, "01 04 04 43 66 33 34 1B 38", "--json")
    assert (code, json.loads(out)) == (0, {"values": {"voltage": 230.2}, "quality": {}})
    code, out, _ = _run(capsys, *SDM120, "0104044366 33341B38")
    assert code == 0
    assert "230.2" in out


def test_decode_gives_an_error_and_no_value_for_a_broken_frame(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = _run(capsys, *SDM120, "01 04 04 43 66 33 34 1B 39", "--json")
    assert code == 1
    assert json.loads(out).keys() == {"error"}
    code, out, err = _run(capsys, *SDM120, "01 04 04 43 66 33 34 1B 39")
    assert (code, out) == (1, "")
    assert err.startswith("error: ")


def test_decode_explains_bytes_that_are_not_hexadecimal(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = _run(capsys, *SDM120, "01 0x")
    assert code == 1
    assert "--response is not hexadecimal" in err
    code, _, err = _run(capsys, *SDM120, "")
    assert code == 1
    assert "--response is empty" in err


def test_an_unknown_profile_and_an_unknown_device_list_what_there_is(
    capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    code, _, err = _run(capsys, "decode", "eastron/sdm999", "--response", "00")
    assert code == 1
    assert "eastron/sdm120" in err
    code, _, err = _run(capsys, "--config", config, "read", "meter-9")
    assert code == 1
    assert "meter-1" in err


def test_read_says_what_to_try_when_the_device_is_not_there(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    code, out, err = _run(capsys, "--config", config, "read", "meter-1")
    assert (code, out) == (1, "")
    assert "127.0.0.1" in err
    assert "check the cable and the address" in err


def test_status_of_an_agent_that_does_not_run_says_so(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    code, _, err = _run(capsys, "--config", config, "status")
    assert code == 1
    assert "no agent is running" in err


def test_usage_errors_exit_two(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(capsys, "nonsense")[0] == 2
    assert _run(capsys)[0] == 2


def test_help_of_every_verb_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("run", "check", "read", "decode", "status"):
        code, out, _ = _run(capsys, verb, "--help")
        assert code == 0
        assert "usage: oc-agent" in out


PICTURE = 'picture = { purpose = "flood-verification", class = "possible", keep_days = 7 }\n'


def test_read_saves_a_picture_for_its_owner_only_and_only_with_a_purpose(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], camera_device: MakeSerialDevice
) -> None:
    config, saved = tmp_path / "agent.toml", tmp_path / "one.jpg"
    text = CONFIG + camera_device("vimicro/vc0706", name="cam-01").toml()
    config.write_text(text, encoding="utf-8")
    read = ["--config", config, "read", "cam-01", "--save", saved]
    assert "no purpose, no picture" in _run(capsys, *read)[2]
    config.write_text(text + PICTURE, encoding="utf-8")
    code, out, err = _run(capsys, *read, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["picture"]["bytes"] == saved.stat().st_size
    assert saved.read_bytes()[:2] == b"\xff\xd8"
    assert saved.stat().st_mode & 0o777 == 0o600
    assert "is there already" in _run(capsys, *read)[2]
    assert "gives no pictures" in _run(capsys, "--config", config, "read", "meter-1", "--save", saved)[2]
