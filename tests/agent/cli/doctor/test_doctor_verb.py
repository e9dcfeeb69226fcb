"""The verb: groups, order, JSON, what a group that crashes or hangs does, and the word of a running agent."""

import asyncio
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_config import HEAD, METER
from wiring_site import bus, config, spoil, tcp

from agent.cli import main
from agent.cli.doctor import NAMES, groups, showing
from agent.cli.doctor.devices import findings
from agent.cli.doctor.devices.told import told
from agent.cli.doctor.examination import examined
from agent.cli.doctor.finding import Case, Finding, ok, warn
from agent.cli.layout import cell_width
from agent.cli.messages import set_language
from agent.clock import NS_PER_S
from agent.configuration import load_configuration
from agent.control import control_server
from agent.polling.tally import Tally
from drivers.api import Reading
from drivers.errors import BadReply, DeviceRefused, NoReply
from simulators.testing import Bench


def doctor(capsys: pytest.CaptureFixture[str], path: Path, *arguments: str, lang: str = "en") -> tuple[int, str]:
    try:
        with pytest.raises(SystemExit) as caught:
            main(["--lang", lang, "--config", str(path), "doctor", *arguments])
    finally:
        set_language("en")
    return int(caught.value.code or 0), capsys.readouterr().out


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "agent.toml"
    file.write_text(HEAD + METER, encoding="utf-8")
    return file


def test_every_group_is_examined_in_its_order_and_told_with_its_name(
    capsys: pytest.CaptureFixture[str], path: Path
) -> None:
    assert tuple(groups.GROUPS) == NAMES
    code, out = doctor(capsys, path, "--json")
    said = json.loads(out)
    assert code == 1
    assert (said["ok"], said.keys()) == (False, {"ok", "took_s", "findings"})
    order = [finding["group"] for finding in said["findings"]]
    assert order == sorted(order, key=NAMES.index)
    assert set(order) == set(NAMES)
    assert all(
        one.keys() == {"group", "check", "subject", "state", "code", "what", "advice"} for one in said["findings"]
    )
    by_code = {one["code"]: one for one in said["findings"]}
    assert by_code["tcp_refused"]["subject"] == "plc"
    assert all(one["advice"] for one in said["findings"] if one["state"] != "ok")


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_lines_fit_a_terminal_and_have_no_colour_elsewhere(
    capsys: pytest.CaptureFixture[str], path: Path, lang: str
) -> None:
    _, out = doctor(capsys, path, lang=lang)
    assert "\033" not in out
    long = [line for line in out.splitlines() if cell_width(line) > 80 and str(path.parent) not in line]
    assert long == []
    assert ("THIẾT BỊ VÀ ĐẤU DÂY" if lang == "vi" else "DEVICES AND WIRING") in out


def test_colour_is_for_terminals_and_for_those_who_want_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    showing.Shown().show("clock", warn("a", "b", "c"))
    assert "\033[33mwarning\033[0m" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    showing.Shown().show("clock", warn("a", "b", "c"))
    assert "\033" not in capsys.readouterr().out


def test_what_is_unwise_in_the_configuration_is_said_in_the_language_of_the_reader(
    capsys: pytest.CaptureFixture[str], path: Path
) -> None:
    _, out = doctor(capsys, path, "--only", "configuration", lang="vi")
    assert "được gửi đi không mã hóa" in " ".join(out.split())
    assert "unencrypted" not in out


def test_only_some_groups(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    code, out = doctor(capsys, path, "--json", "--only", "bus", "--only", "configuration")
    assert code == 0
    assert [one["group"] for one in json.loads(out)["findings"]] == ["configuration", "configuration", "bus"]
    assert doctor(capsys, path, "--only", "nonsense")[0] == 2
    code, out = doctor(capsys, path, "--json", "--only", "devices", "--no-devices")
    assert (code, json.loads(out)["findings"]) == (0, [])


def test_a_group_that_crashes_or_hangs_is_a_finding_and_the_next_ones_go_on(path: Path) -> None:
    release = threading.Event()

    def crashing(case: Case) -> Iterator[Finding]:
        yield ok("first", "found before")
        raise ZeroDivisionError("a defect")

    def hanging(case: Case) -> Iterator[Finding]:
        yield ok("second", "found before")
        release.wait(30)
        yield ok("never", "told")

    case = Case(load_configuration(path), None, None)  # type: ignore[arg-type]
    three = {"crashing": crashing, "hanging": hanging, "good": lambda case: iter([ok("last", "good")])}
    began = time.monotonic()
    found = [(name, one.check, one.state, one.code) for name, one in examined(case, three, {"hanging": 0.2})]
    release.set()
    assert time.monotonic() - began < 10
    assert found == [
        ("crashing", "first", "ok", ""),
        ("crashing", "examination", "fail", "crash"),
        ("hanging", "second", "ok", ""),
        ("hanging", "examination", "fail", "timeout"),
        ("good", "last", "ok", ""),
    ]


def test_the_whole_verb_reads_a_bus_with_one_dead_meter(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    devices = bus(bench, "meter")
    file = config(tmp_path, devices)
    spoil(devices, "no_reply", "one unit")
    code, out = doctor(capsys, file, "--only", "devices", lang="vi")
    assert code == 1
    assert "meter-2: địa chỉ 2 không trả lời" in out
    assert "meter-1 trả lời tốt: 2 giá trị" in out
    devices[1].heal()
    code, out = doctor(capsys, file, "--only", "devices", "--json")
    assert code == 0
    assert [one["state"] for one in json.loads(out)["findings"]] == ["ok"] * 3


def test_a_device_that_serves_one_client_is_told_while_another_one_has_it(
    bench: Bench, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (device,) = tcp(bench, "meter-2")
    device.line.fault("one_connection")
    with socket.create_connection((device.host, device.tcp_port), 5):
        device.line.wait_for_connections()
        _, out = doctor(capsys, config(tmp_path, [device]), "--only", "devices", "--json")
    assert [one["code"] for one in json.loads(out)["findings"]] == ["tcp_closed"]


def reported(path: Path, *tallies: Tally, now_s: float = 0.0, **more: Any) -> list[Finding]:
    """What is said of the one link of `path` where the running agent has these tallies of its devices."""
    settings = load_configuration(path).settings
    points = more.pop("points", [])
    devices = [
        {"device": one.name, "unit": one.unit, "mismatch": "", "points": points, **tally.told(round(now_s * NS_PER_S))}
        for one, tally in zip(settings.devices, tallies, strict=True)
    ]
    link = json.loads(_json({"link": "x", "up": True, "error": None, "late": 0, "devices": devices, **more}))
    return list(findings(told(settings.links[0], link)))


def _json(value: Any) -> str:
    import msgspec

    return msgspec.json.encode(value).decode()


def tally(*errors: Exception | None) -> Tally:
    found = Tally()
    for error in errors:
        if error is None:
            found.answered([Reading("voltage", 230.1, 0)], 0)
        else:
            found.failed(error, 0)  # type: ignore[arg-type]
    return found


SILENT = NoReply("no reply")
CRC = BadReply("crc", bytes.fromhex("0104000000027 1CB".replace(" ", "")), bytes.fromhex("01040443663334FFFF"))


def test_the_running_agent_is_believed(path: Path) -> None:
    def code(*errors: Exception | None, **more: Any) -> list[tuple[str, str]]:
        return [(one.code, one.state) for one in reported(path, tally(*errors), **more)]

    assert code(None, None) == [("", "ok")]
    assert code(SILENT, SILENT) == [("tcp_mute", "fail")]
    assert code(None, SILENT, SILENT) == [("unit_silent", "warn")]
    assert code(DeviceRefused("no", 2)) == [("registers_refused", "fail")]
    assert code(None, DeviceRefused("no", 6)) == [("device_busy", "warn")]
    assert code(SILENT, late=40) == [("late_bytes", "fail")]
    assert code() == [("not_asked", "warn")]
    points = [{"point": "voltage", "value": 230, "quality": "rng"}, {"point": "power", "value": 1, "quality": "rng"}]
    assert code(None, points=points) == [("byte_order", "fail")]
    assert code(SILENT, up=False, error="gone") == [("tcp_refused", "fail")]


def test_the_bytes_of_the_last_bad_answer_are_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    text = METER.replace('"tcp"', '"rtu"').replace('host = "127.0.0.1"\ntcp_port = 1', f'port = "{tmp_path}/tty"')
    file.write_text(HEAD + text, encoding="utf-8")
    (one,) = reported(file, tally(None, CRC))
    assert (one.code, one.state) == ("reply_damaged", "warn")
    assert "01 04 04 43 66 33 34 FF FF" in one.what
    assert "(1 of 2 times)" in one.what


def test_a_sensor_that_stands_still_for_an_hour_is_told(path: Path) -> None:
    frozen = tally(None)
    frozen.answered([Reading("voltage", 230.1, 0)], round(3_601 * NS_PER_S))
    (one,) = reported(path, frozen, now_s=3_601)
    assert (one.code, one.state) == ("unchanged", "warn")
    assert "60 minutes" in one.what


async def test_no_device_is_touched_while_an_agent_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bench: Bench
) -> None:
    (device,) = tcp(bench, "meter-2")
    file = config(tmp_path, [device], HEAD.replace('"run"', json.dumps(str(tmp_path))))
    link = load_configuration(file).settings.links[0].name
    report = {
        "version": "0", "running_s": 9.0,
        "links": [{"link": link, "up": True, "late": 0, "error": None, "devices": [
            {"device": "meter-2", "unit": 2, "points": [], "polls": {"ok": 9}}]}],
    }  # fmt: skip
    async with control_server(tmp_path, {"status": lambda: report}):
        arguments = ("--only", "devices", "--only", "service", "--json")
        _, out = await asyncio.to_thread(doctor, capsys, file, *arguments)
    found = {one["check"]: one for one in json.loads(out)["findings"]}
    assert "9 of its polls" in found["device"]["what"]
    assert found["version"]["code"] == "old_version"
    assert not device.requests


def test_a_link_that_the_running_agent_does_not_know_is_to_be_loaded(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from agent.cli.doctor import devices

    monkeypatch.setattr(devices, "ask_agent", lambda folder, verb: {"links": []})
    _, out = doctor(capsys, path, "--only", "devices", "--json")
    assert [one["code"] for one in json.loads(out)["findings"]] == ["not_loaded"]

    def forbidden(folder: Path, verb: str) -> None:
        raise PermissionError

    monkeypatch.setattr(devices, "ask_agent", forbidden)
    _, out = doctor(capsys, path, "--only", "devices", "--json")
    assert [one["code"] for one in json.loads(out)["findings"]] == ["not_permitted"]


def test_the_agent_does_not_load_what_only_the_doctor_needs() -> None:
    import subprocess

    script = "import sys, agent.cli; print([m for m in sys.modules if m.startswith('agent.cli.doctor.')])"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "agent.cli.doctor.devices" not in out
    assert "agent.cli.doctor.broker" not in out
