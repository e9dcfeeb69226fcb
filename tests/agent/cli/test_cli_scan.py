"""`oc-agent scan`: what is on a bus or behind an address."""

import json
import os
import signal
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from agent_config import HEAD
from rtu_bus import BusDevice, RtuBus

from agent.cli import main
from agent.cli.scan import asking, choosing
from agent.cli.scan.inquiring import inquirable
from agent.configuration import load_configuration
from drivers.profile import Profile
from simulators.testing import MakeModbusDevice, MakeSerialDevice, RawLine, RegisterImage

MakeLine = Callable[..., RawLine]
READS = (1, 2, 3, 4, 43)
SOME = (
    "eastron/sdm120",
    "schneider/pm5000",
    "plantower/pms5003",
    "plantower/pms5003-passive",
    "senseair/s8",
    "sony/visca",
)
ALL_PROFILES = choosing.all_profiles
FAST = ("--listen", "0", "--timeout", "0.05")


@cache
def every_profile() -> dict[str, Profile]:
    return ALL_PROFILES(Path("/nonexistent"))


def some_profiles(_beside: Path) -> dict[str, Profile]:
    return {name: every_profile()[name] for name in SOME}


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The devices of a test need no pause between two requests, and few profiles are held against them."""
    monkeypatch.setattr(choosing, "all_profiles", some_profiles)
    monkeypatch.setattr(asking, "PATIENCE_S", 0.2)
    monkeypatch.setattr(asking, "PAUSE_S", 0.0)
    monkeypatch.setattr(asking, "LONG_PAUSE_S", 0.05)
    monkeypatch.setattr(asking, "SECOND_ANSWER_S", 0.03)


@pytest.fixture
def scan(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str | Path, config: Path | None = None) -> tuple[int, str, str]:
        where = ["--config", str(config or tmp_path / "agent.toml")]
        with pytest.raises(SystemExit) as caught:
            main(["--lang", "en", *where, "scan", *map(str, arguments)])
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return run


@pytest.fixture
def report(scan: Callable[..., tuple[int, str, str]]) -> Callable[..., dict[str, Any]]:
    def run(*arguments: str | Path, code: int = 0, config: Path | None = None) -> dict[str, Any]:
        got, out, err = scan(*arguments, "--json", config=config)
        assert got == code, err
        return dict(json.loads(out))

    return run


def holding(*words: int) -> RegisterImage:
    return RegisterImage(holding={0: list(words)})


def units(report: dict[str, Any]) -> list[tuple[int, int]]:
    return [(one["unit"], one["baud"]) for one in report["found"]]


def codes(report: dict[str, Any]) -> list[str]:
    return [hint["code"] for hint in report["hints"]]


def test_devices_at_two_bauds_are_found_and_only_read(
    serial_line: MakeLine, report: Callable[..., dict[str, Any]]
) -> None:
    line = serial_line()
    devices = BusDevice(unit=3, image=holding(231)), BusDevice(unit=7, image=holding(5), baud=2400)
    bus = RtuBus(line, *devices)
    found = report(line.port, "--baud", "2400,9600,4800", "--parity", "N", "--units", "1,3,7", *FAST)
    assert units(found) == [(3, 9600), (7, 2400)]
    assert found["complete"]
    assert found["found"][0] | {"profiles": [], "reply_ms": 0} == {
        "unit": 3, "baud": 9600, "parity": "N", "stop_bits": 1, "answer": "values", "reply_ms": 0, "slow": False,
        "told": "", "device": "", "profiles": [],
    }  # fmt: skip
    assert {request[1] for _, request in bus.asked} <= {*READS}
    assert 0 not in {request[0] for _, request in bus.asked}
    assert [baud for baud, request in bus.asked if request[0] == 1][:3] == [9600, 4800, 2400], "the likely one first"
    assert {request[0] for baud, request in bus.asked if request[1] == 4 and baud == 4800} == set(), "nobody is there"
    toml = tomllib.loads(found["toml"])
    assert toml["link"] == [{"name": "bus-1", "kind": "modbus", "transport": "rtu", "port": line.port, "baud": 9600}]
    assert "unit 7, 2400 8N1" in found["toml"]


def test_a_device_that_knows_one_function_only_is_found_in_the_second_round(
    serial_line: MakeLine, report: Callable[..., dict[str, Any]]
) -> None:
    line = serial_line()

    def only_inputs(_number: int, request: bytes, _meant: bytes) -> list[tuple[float, bytes]]:
        device = BusDevice(unit=40, image=RegisterImage(input={0: 7}))
        return [(0.0, device.answer(request))] if request[:2] == b"\x28\x04" else []

    line.script(only_inputs)
    found = report(line.port, "--baud", "9600", "--parity", "N", "--units", "39-40", *FAST)
    assert units(found) == [(40, 9600)]


def test_a_refusal_is_an_answer(serial_line: MakeLine, report: Callable[..., dict[str, Any]]) -> None:
    line = serial_line()
    RtuBus(line, BusDevice(unit=2, image=RegisterImage(coil={0: 1})))
    found = report(line.port, "--baud", "9600", "--parity", "N", "--units", "1-2", *FAST)
    assert found["found"][0]["answer"] == "exception 2"


def test_a_slow_device_is_found_though_it_answers_while_the_next_one_is_asked(
    serial_line: MakeLine, report: Callable[..., dict[str, Any]]
) -> None:
    line = serial_line()
    RtuBus(line, BusDevice(unit=2, image=holding(1), wait_s=0.08))
    found = report(line.port, "--baud", "9600", "--parity", "N", "--units", "1-3", *FAST)
    assert [(one["unit"], one["slow"]) for one in found["found"]] == [(2, True)]
    assert tomllib.loads(found["toml"])["link"][0]["timeout_s"] == 1.0


def test_two_devices_with_one_address_are_told(serial_line: MakeLine, report: Callable[..., dict[str, Any]]) -> None:
    line = serial_line()
    twins = BusDevice(unit=2, image=holding(1)), BusDevice(unit=2, image=holding(9), wait_s=0.01)
    RtuBus(line, *twins, BusDevice(unit=4, image=holding(1)))
    found = report(line.port, "--baud", "9600", "--parity", "N", "--units", "1-4", *FAST)
    assert codes(found) == ["two_devices"]
    assert "unit 2" in found["hints"][0]["what"]


@pytest.mark.parametrize(
    ("devices", "keys", "expected"),
    [
        ([], {}, ["silent"]),
        ([], {"echo": True}, ["only_echo"]),
        ([], {"noise": b"\x00\xff"}, ["noise"]),
        ([], {"noise": bytes.fromhex("f8 1c e0 07 c3")}, ["garbage"]),
        ([BusDevice(unit=1, image=holding(1)), BusDevice(unit=2, image=holding(1), spoilt=True)], {}, ["checksum"]),
        ([BusDevice(unit=1, image=holding(1))], {"echo": True}, ["echo"]),
        ([BusDevice(unit=1, image=holding(1))], {}, []),
    ],
    ids=["silent", "only-echo", "noise", "garbage", "one-spoilt", "echo-and-answer", "good"],
)
def test_what_the_bytes_say_of_the_wiring(
    devices: list[BusDevice],
    keys: dict[str, Any],
    expected: list[str],
    serial_line: MakeLine,
    report: Callable[..., dict[str, Any]],
) -> None:
    line = serial_line()
    RtuBus(line, *devices, **keys)
    code = 0 if devices else 1
    found = report(line.port, "--baud", "9600", "--parity", "N", "--units", "1-3", *FAST, code=code)
    assert codes(found) == expected


def test_a_setting_that_the_port_does_not_have_is_told_and_left_out(
    modbus_device: MakeModbusDevice, report: Callable[..., dict[str, Any]]
) -> None:
    device = modbus_device(holding={0: 1}, transport="rtu")
    found = report(device.port, "--baud", "9600", "--parity", "E,N", "--units", "1", *FAST)
    assert found["refused_settings"] == ["9600 8E1"]
    assert units(found) == [(1, 9600)]


def test_an_instrument_that_sends_by_itself_is_heard_and_not_asked(
    serial_device: MakeSerialDevice, report: Callable[..., dict[str, Any]]
) -> None:
    device = serial_device("plantower/pms5003")
    found = report(device.port, "--baud", "9600", "--parity", "N", "--listen", "1.6")
    (heard,) = found["heard"]
    assert heard["baud"] == 9600
    assert (heard["profiles"][0]["profile"], heard["profiles"][0]["checked"]) == ("plantower/pms5003", True)
    assert found["requests"] == 0
    assert tomllib.loads(found["toml"])["device"][0]["profile"] == "plantower/pms5003"


@pytest.mark.parametrize(
    ("profile", "unit", "kind", "checked"), [("senseair/s8", None, "serial", True), ("sony/visca", 1, "camera", False)]
)
def test_instruments_and_cameras_of_another_language_are_asked_when_told_to(
    profile: str,
    unit: int | None,
    kind: str,
    checked: bool,
    serial_device: MakeSerialDevice,
    camera_device: MakeSerialDevice,
    report: Callable[..., dict[str, Any]],
) -> None:
    device = (camera_device if kind == "camera" else serial_device)(profile, unit=unit)
    more = ("--baud", "9600", "--parity", "N", "--units", "1", *FAST)
    assert report(device.port, *more, code=1)["asked"] == []
    found = report(device.port, *more, "--ask")
    assert [(one["profile"], one["checked"], one["baud"]) for one in found["asked"]] == [(profile, checked, 9600)]
    assert found["asked"][0]["values"]
    toml = tomllib.loads(found["toml"])
    assert (toml["link"][0]["kind"], toml["device"][0].get("unit")) == (kind, unit)


def test_what_sets_or_wakes_an_instrument_is_never_asked() -> None:
    names = inquirable(every_profile()).keys()
    assert {"senseair/s8", "sony/visca"} <= names
    assert names.isdisjoint(
        {"plantower/pms5003-passive", "nova/sds011-query", "davis/vantage-pro2", "hydreon/rg-15", "eastron/sdm120"}
    )


def test_what_was_found_is_shown_also_where_the_port_then_vanishes(
    serial_line: MakeLine, scan: Callable[..., tuple[int, str, str]]
) -> None:
    line = serial_line()
    device = BusDevice(unit=1, image=holding(5))

    def say(number: int, request: bytes, _meant: bytes) -> list[tuple[float, bytes]]:
        if request[0] == 2:
            Path(line.port).unlink(missing_ok=True)
        return [(0.0, device.answer(request))] if request[0] == 1 else []

    line.script(say)
    code, out, err = scan(line.port, "--baud", "9600,19200", "--parity", "N", "--units", "1-2", *FAST)
    assert code == 1
    assert "no such port" in err
    assert "unit 1, 9600 8N1" in out
    assert "broken off" in out


def test_bytes_of_no_profile_are_told(serial_line: MakeLine, report: Callable[..., dict[str, Any]]) -> None:
    line = serial_line()
    line.script(lambda _number, _request, _meant: [])
    line.fault("babble gap_s=0.01 bytes=20")
    more = ("--baud", "115200", "--parity", "N", "--units", "1", "--timeout", "0.05", "--listen", "0.6")
    found = report(line.port, *more, code=1)
    assert found["heard"][0]["profiles"] == []
    assert "talks" in codes(found)


def test_units_behind_a_gateway(modbus_device: MakeModbusDevice, report: Callable[..., dict[str, Any]]) -> None:
    first = modbus_device(holding={0: 1}, unit=1)
    modbus_device("schneider/pm5000", unit=9, on=first)
    found = report("--tcp", f"{first.host}:{first.tcp_port}", "--units", "1-10")
    assert [one["unit"] for one in found["found"]] == [1, 9]
    assert found["found"][1]["profiles"][0]["fit"] == "fits"
    toml = tomllib.loads(found["toml"])
    assert toml["link"][0]["tcp_port"] == first.tcp_port
    assert toml["device"][-1] == {
        "name": "pm5000-9", "link": "tcp-1", "unit": 9, "profile": "schneider/pm5000", "interval_s": 10.0
    }  # fmt: skip


def test_a_host_that_answers_to_every_unit_is_one_device(
    modbus_device: MakeModbusDevice, report: Callable[..., dict[str, Any]]
) -> None:
    image = holding(1)
    first = modbus_device(image=image, unit=1)
    for unit in (2, 211, 223, 255):
        modbus_device(image=image, unit=unit, on=first)
    found = report("--tcp", f"{first.host}:{first.tcp_port}")
    assert codes(found) == ["any_unit"]
    assert [one["unit"] for one in found["found"]] == [1, 255]


def test_a_serial_server_that_says_nothing_to_modbus_tcp_is_told(
    serial_line: MakeLine, report: Callable[..., dict[str, Any]]
) -> None:
    line = serial_line(tcp=True)
    line.script(lambda _number, _request, _meant: [])
    found = report("--tcp", f"{line.host}:{line.tcp_port}", "--units", "1-2", "--timeout", "0.05", code=1)
    assert codes(found) == ["no_modbus"]


def test_a_bus_behind_a_serial_server_is_scanned_by_its_link(
    modbus_device: MakeModbusDevice, report: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    device = modbus_device("eastron/sdm120", name="meter-1", unit=2, transport="rtu-over-tcp")
    config = tmp_path / "agent.toml"
    config.write_text(HEAD + device.toml(), encoding="utf-8")
    found = report("--link", device.link["name"], "--units", "1-3", "--timeout", "0.1", config=config)
    assert [(one["unit"], one["device"]) for one in found["found"]] == [(2, "meter-1")]


def test_a_subnet_is_scanned_when_it_is_named(
    modbus_device: MakeModbusDevice, report: Callable[..., dict[str, Any]]
) -> None:
    device = modbus_device(holding={0: 1})
    found = report("--subnet", "127.0.0.0/30", "--tcp-port", str(device.tcp_port))
    assert [(one["host"], one["unit"]) for one in found["found"]] == [("127.0.0.1", 1)]
    assert found["silent_hosts"] == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--subnet", "10.0.0.0/16"], "/22"),
        (["--subnet", "nonsense"], "--subnet"),
        (["/dev/null", "--units", "0-3"], "1 to 247"),
        (["/dev/null", "--units", "x"], "--units"),
        (["/dev/null", "--baud", "7"], "300"),
        (["/dev/null", "--parity", "X"], "N, E or O"),
        (["/dev/null", "--timeout", "0"], "--timeout"),
        (["/dev/nothing-there", "--listen", "0"], "no such port"),
    ],
)
def test_what_cannot_be_scanned_is_refused_with_the_reason(
    arguments: list[str], why: str, scan: Callable[..., tuple[int, str, str]]
) -> None:
    code, out, err = scan(*arguments)
    assert (code, out) == (1, "")
    assert why in err


@pytest.mark.parametrize("arguments", [[], ["/dev/ttyUSB0", "--tcp", "x"], ["--link", "a", "--subnet", "b"]])
def test_one_place_must_be_named(arguments: list[str], scan: Callable[..., tuple[int, str, str]]) -> None:
    assert scan(*arguments)[0] == 2


def test_a_link_is_borrowed_while_it_is_scanned(
    modbus_device: MakeModbusDevice,
    report: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    device = modbus_device("eastron/sdm120", name="meter-1", unit=1, transport="rtu")
    modbus_device("eastron/sdm120", name="meter-2", unit=2, on=device)
    config = tmp_path / "agent.toml"
    config.write_text(HEAD + device.toml(), encoding="utf-8")
    seen: list[str] = []

    @contextmanager
    def borrowed(_settings: object, link: Any, _purpose: str) -> Iterator[bool]:
        seen.append(f"{link.name} {len(device.line.requests)}")
        yield True
        seen.append(f"back {len(device.line.requests) > 0}")

    monkeypatch.setattr(choosing, "borrowed", borrowed)
    written = tmp_path / "found.toml"
    more = ("--baud", "9600", "--parity", "N", "--units", "1-2", *FAST, "--write", written)
    found = report("--link", device.link["name"], *more, config=config)
    assert seen == [f"{device.link['name']} 0", "back True"]
    assert [one["device"] for one in found["found"]] == ["meter-1", ""]
    assert [one["unit"] for one in tomllib.loads(written.read_text(encoding="utf-8"))["device"]] == [2]
    config.write_text(config.read_text(encoding="utf-8") + "\n" + written.read_text(encoding="utf-8"), encoding="utf-8")
    assert [one.name for one in load_configuration(config).settings.devices] == ["meter-1", "sdm120-2"]


def test_people_see_what_is_found_within_80_columns(
    modbus_device: MakeModbusDevice, scan: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    device = modbus_device("eastron/sdm120", unit=1, transport="rtu")
    code, out, err = scan(device.port, "--baud", "9600", "--parity", "N", "--units", "1", *FAST)
    assert code == 0
    assert "unit 1, 9600 8N1: answers" in out
    assert "may fit: eastron/sdm120" in out
    assert "proves nothing" in out
    assert "at most" in err
    text, _, toml = out.partition("# for agent.toml:")
    assert max(map(len, text.splitlines())) <= 80
    assert tomllib.loads(toml)["device"][0]["profile"] == "eastron/sdm120"


def test_ctrl_c_shows_what_was_found_so_far(
    modbus_device: MakeModbusDevice, oc_agent: list[str], tmp_path: Path
) -> None:
    device = modbus_device(holding={0: 1}, unit=2, transport="rtu")
    later = modbus_device(holding={0: 1}, unit=4, on=device)
    later.script(lambda number, _request, meant: [] if number else [(0.0, meant)])
    command = [*oc_agent, "scan", device.port, "--baud", "9600", "--parity", "N", "--listen", "0", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"LC_ALL": "C"}
    ) as process:
        later.wait_for_requests(2, timeout_s=30)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    report = json.loads(out)
    assert report["complete"] is False
    assert [one["unit"] for one in report["found"]] == [2, 4]
    assert [bool(one["profiles"]) for one in report["found"]] == [True, False], "broken off in the midst of the second"
