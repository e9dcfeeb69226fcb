"""The unit and its companions, as the tools of systemd read them."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import msgspec
import pytest

from agent.configuration import DEFAULT_FILE
from agent.settings import GatewaySettings, UplinkSettings

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "systemd"
SERVICE = UNITS / "oc-agent.service"
CLOCK = re.compile(r"^SystemCallFilter=adjtimex.*$\n", re.MULTILINE)
ADAPTERS = {
    "0403:6001", "0403:6010", "0403:6011", "0403:6015", "1a86:7523", "1a86:55d3", "10c4:ea60", "067b:2303", "067b:23a3",
}  # fmt: skip
RULE = re.compile(
    r"""^(?:(?:ACTION|SUBSYSTEM|ENV\{[A-Z_]+\}|ATTR\{[a-z_/]+\}|TEST|SYMLINK|GOTO|LABEL)(?:==|!=|\+=|=)"[^"]*"(?:,\s+|$))+$"""
)


def _tool(name: str) -> str:
    """The path of a program; its test is skipped by name where it is missing, but fails in CI."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin")
    if not found and "CI" in os.environ:
        pytest.fail(f"{name} is missing: apt-get install systemd udev")
    return found or pytest.skip(f"{name} is not installed: apt-get install systemd udev")


def _ran(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def _keys(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def _seconds(key: str) -> float:
    return float(_keys(SERVICE.read_text(encoding="utf-8"))[key][-1])


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that exists here."""
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", SERVICE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    copy = tmp_path / "oc-agent.service"
    copy.write_text(text, encoding="utf-8")
    return copy


def test_systemd_has_nothing_to_say_about_the_unit(unit: Path) -> None:
    done = _ran(_tool("systemd-analyze"), "verify", str(unit))
    said = [line for line in done.stderr.splitlines() if "oc-agent" in line]
    assert (done.returncode, said) == (0, [])


def test_nothing_but_the_question_for_the_clock_keeps_the_exposure_above_1_5(unit: Path) -> None:
    analyze = [_tool("systemd-analyze"), "security", "--offline=true"]
    assert _ran(*analyze, "--threshold=17", str(unit)).returncode == 0
    text = unit.read_text(encoding="utf-8")
    assert CLOCK.search(text)
    unit.write_text(CLOCK.sub("", text), encoding="utf-8")
    done = _ran(*analyze, "--threshold=15", str(unit))
    assert done.returncode == 0, done.stdout


def test_what_remains_exposed_is_known_and_wanted(unit: Path) -> None:
    done = _ran(_tool("systemd-analyze"), "security", "--offline=true", "--json=short", str(unit))
    found = {item["json_field"] for item in json.loads(done.stdout) if float(item["exposure"] or 0) > 0}
    serial = {"PrivateDevices", "DeviceAllow", "SupplementaryGroups"}
    network = {
        "PrivateNetwork",
        "IPAddressDeny",
        "RestrictAddressFamilies_AF_INET_INET6",
        "RestrictAddressFamilies_AF_UNIX",
    }
    clock = {"ProtectClock", "SystemCallFilter_clock", "SystemCallFilter_privileged"}
    machine = {"ProcSubset", "RootDirectoryOrRootImage"}
    assert found <= serial | network | clock | machine


def test_its_folders_are_those_of_the_settings() -> None:
    keys = _keys(SERVICE.read_text(encoding="utf-8"))
    gateway = GatewaySettings(id="g")
    assert gateway.data_dir == f"/var/lib/{keys['StateDirectory'][0]}"
    assert gateway.runtime_dir == f"/run/{keys['RuntimeDirectory'][0]}"
    assert Path("/etc", keys["ConfigurationDirectory"][0], "agent.toml") == DEFAULT_FILE
    assert str(DEFAULT_FILE) in keys["ExecStart"][0]
    example = (ROOT / "config" / "agent.example.toml").read_text(encoding="utf-8")
    assert tomllib.loads(example)["gateway"]["id"]
    assert f'data_dir = "{gateway.data_dir}"' in example
    assert f'runtime_dir = "{gateway.runtime_dir}"' in example


def test_a_stop_has_time_to_drain_and_the_watchdog_to_be_patted() -> None:
    drain_s = {field.name: field.default for field in msgspec.structs.fields(UplinkSettings)}["drain_s"]
    assert _seconds("TimeoutStopSec") >= drain_s + 25
    assert _seconds("WatchdogSec") >= 30
    keys = _keys(SERVICE.read_text(encoding="utf-8"))
    assert keys["RestartPreventExitStatus"] == ["78"]
    assert keys["StartLimitIntervalSec"] == ["0"]


def test_the_user_is_made_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    done = _ran(_tool("systemd-sysusers"), f"--root={tmp_path}", str(UNITS / "oc-agent.sysusers"))
    assert done.returncode == 0, done.stderr
    users = (tmp_path / "etc" / "passwd").read_text(encoding="utf-8").splitlines()
    assert [line.split(":")[0] for line in users] == ["oc-agent"]
    assert users[0].split(":")[5:] == ["/var/lib/oc-agent", "/usr/sbin/nologin"]
    groups = (tmp_path / "etc" / "group").read_text(encoding="utf-8")
    assert {line.split(":")[0] for line in groups.splitlines()} == {"oc-agent", "dialout"}
    dry = _ran(_tool("systemd-sysusers"), "--dry-run", str(UNITS / "oc-agent.sysusers"))
    assert (dry.returncode, "not a valid" in dry.stderr) == (0, False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_the_folders_are_made_once_and_keep_what_is_in_them(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text("root:x:0:0::/:/bin/sh\n", encoding="utf-8")
    (tmp_path / "etc" / "group").write_text("root:x:0:\noc-agent:x:4711:\n", encoding="utf-8")
    create = [_tool("systemd-tmpfiles"), "--create", f"--root={tmp_path}", str(UNITS / "oc-agent.tmpfiles")]
    done = _ran(*create)
    assert done.returncode == 0, done.stderr
    made = {
        folder: (tmp_path / folder).stat() for folder in ("etc/oc-agent", "etc/oc-agent/conf.d", "etc/oc-agent/keys")
    }
    assert [oct(found.st_mode & 0o7777) for found in made.values()] == ["0o750", "0o750", "0o700"]
    assert [(found.st_uid, found.st_gid) for found in made.values()] == [(0, 4711), (0, 4711), (0, 0)]
    (tmp_path / "etc/oc-agent/agent.toml").write_text("x", encoding="utf-8")
    assert _ran(*create).returncode == 0
    assert (tmp_path / "etc/oc-agent/agent.toml").read_text(encoding="utf-8") == "x"


def _rules() -> list[str]:
    lines = (UNITS / "99-oc-agent-serial.rules").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_udev_understands_each_rule() -> None:
    udevadm = _tool("udevadm")
    done = _ran(udevadm, "verify", str(UNITS / "99-oc-agent-serial.rules"))
    if "Unknown command verb" not in done.stderr:  # udev before 254
        assert done.returncode == 0, done.stdout + done.stderr
    assert [rule for rule in _rules() if not RULE.match(rule)] == []
    assert {rule.split('"')[-2] for rule in _rules() if "GOTO" in rule} == {"oc_agent_end"}
    assert _rules()[-1] == 'LABEL="oc_agent_end"'


def test_the_usual_adapters_have_names() -> None:
    known = set()
    for rule in _rules():
        if vendor := re.search(r'ID_VENDOR_ID\}=="(\w+)"', rule):
            models = re.search(r'ID_MODEL_ID\}=="([\w|]+)"', rule)
            assert models
            known |= {f"{vendor[1]}:{model}" for model in models[1].split("|")}
    assert known >= ADAPTERS


def test_adapters_without_a_number_of_their_own_go_by_their_socket_only() -> None:
    by_number = [rule for rule in _rules() if "SYMLINK" in rule and "ID_SERIAL_SHORT" in rule]
    assert by_number
    assert not any(name in rule for rule in by_number for name in ("ch340", "pl2303"))
    assert all('"0001' in rule for rule in by_number if "cp210x" in rule)
