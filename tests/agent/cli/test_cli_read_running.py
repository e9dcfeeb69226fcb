"""`oc-agent read` while the agent runs: it reads on the line that it has open, and the store hears nothing of it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from running_agent import RunningAgent, running_agent

from agent.cli import main
from agent.cli.borrowing import borrowed
from simulators.testing import MakeModbusDevice, MakeSerialDevice

THROUGH = "read through the running agent\n"
Read = Callable[..., tuple[int, str, str]]


@pytest.fixture
def read(capsys: pytest.CaptureFixture[str]) -> Read:
    def run(agent: RunningAgent, *arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(["--lang", "en", "--config", str(agent.config), "read", *map(str, arguments)])
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return run


@pytest.mark.parametrize("transport", ["rtu", "tcp"])
def test_a_modbus_device_is_read_on_the_open_line_and_the_store_hears_nothing(
    tmp_path: Path, modbus_device: MakeModbusDevice, read: Read, transport: str
) -> None:
    meter = modbus_device("eastron/sdm120", name="m1", transport=transport)
    if transport == "tcp":
        meter.line.fault("one_connection")
    with running_agent(tmp_path, meter, interval_s=3600, points=["voltage"]) as agent:
        agent.wait_for_link(meter.link["name"])
        meter.set("voltage", 231.5)
        accepted = agent.ask()["account"]["accepted"]
        code, out, err = read(agent, "m1", "--json")
        assert (code, json.loads(out), err) == (
            0,
            {"device": "m1", "values": {"voltage": 231.5}, "quality": {}},
            THROUGH,
        )
        assert "231.5" in read(agent, "m1")[1]
        assert agent.ask()["account"]["accepted"] == accepted
        assert "lent" not in agent.log
        assert agent.link(meter.link["name"])["up"]


def test_an_instrument_that_sends_by_itself_is_read_and_its_polls_miss_nothing(
    tmp_path: Path, serial_device: MakeSerialDevice, read: Read
) -> None:
    weather = serial_device("nmea/weather-station", name="w1", tcp=True)
    speed = weather.set("wind_speed", 7.5)
    with running_agent(tmp_path, weather, interval_s=2) as agent:
        agent.wait_for_link(weather.link["name"])
        code, out, err = read(agent, "w1", "--json")
        assert (code, json.loads(out)["values"]["wind_speed"], err) == (0, speed, THROUGH)
        agent.stop()
        assert agent.events() == []


def test_a_picture_is_taken_through_the_agent_and_only_saved(
    tmp_path: Path, camera_device: MakeSerialDevice, read: Read
) -> None:
    purpose = {"purpose": "flood-verification", "class": "possible", "keep_days": 7}
    camera, saved = camera_device("vimicro/vc0706", name="cam-01"), tmp_path / "a.jpg"
    with running_agent(tmp_path, camera, interval_s=3600, picture=purpose) as agent:
        agent.wait_for_link(camera.link["name"])
        code, out, err = read(agent, "cam-01", "--save", saved, "--json")
        assert (code, err) == (0, THROUGH)
        assert saved.read_bytes()[:2] == b"\xff\xd8"
        assert json.loads(out)["picture"]["bytes"] == saved.stat().st_size
        assert agent.ask()["pictures"] == {"waiting": 0, "bytes": 0}


def test_what_is_wrong_is_said_as_in_a_direct_read(tmp_path: Path, modbus_device: MakeModbusDevice, read: Read) -> None:
    meter = modbus_device("eastron/sdm120", name="m1", transport="rtu")
    with running_agent(tmp_path, meter, interval_s=3600, points=["voltage"]) as agent:
        agent.wait_for_link(meter.link["name"])
        said = []
        for fault in ("no_reply", "exception code=2", "wrong_crc", "unplug"):
            meter.line.heal()
            agent.wait_for_link(meter.link["name"])
            meter.line.fault(fault)
            code, out, err = read(agent, "m1")
            assert (code, out) == (1, "")
            assert err.startswith(THROUGH)
            said.append(err.removeprefix(THROUGH))
    for err, words in zip(
        said, ["check power, wiring", "fits this exact model", "check baud rate", "who else holds"], strict=True
    ):
        assert words in err


def test_a_configuration_that_is_newer_than_the_agent_borrows_the_line(
    tmp_path: Path, modbus_device: MakeModbusDevice, read: Read
) -> None:
    first = modbus_device("eastron/sdm120", name="m1", unit=1, transport="rtu")
    second = modbus_device("eastron/sdm120", name="m2", unit=2, on=first)
    first.set("voltage", 231.5)
    second.set("voltage", 225.0)
    with running_agent(tmp_path, first, interval_s=3600, points=["voltage"]) as agent:
        agent.wait_for_link(first.link["name"])
        written = agent.config.read_text(encoding="utf-8")
        assert "unit = 1" in written
        agent.config.write_text(written.replace("unit = 1", "unit = 2"), encoding="utf-8")
        code, out, err = read(agent, "m1", "--json")
        assert (code, json.loads(out)["values"]) == (0, {"voltage": 225.0})
        assert err == f"the running agent lends {first.port}: it does not poll there now\n"
        assert "read)" in agent.log
        agent.wait_for_link(first.link["name"])


def test_where_the_line_is_lent_who_has_it_is_said(tmp_path: Path, modbus_device: MakeModbusDevice, read: Read) -> None:
    meter = modbus_device("eastron/sdm120", name="m1", transport="rtu")
    with running_agent(tmp_path, meter, interval_s=3600, points=["voltage"]) as agent:
        agent.wait_for_link(meter.link["name"])
        with borrowed(agent.settings, agent.link_settings(meter.link["name"]), "scan"):
            code, _, err = read(agent, "m1")
        assert code == 1
        assert "is lent already: to scan, pid" in err
