"""`oc-agent init` on a real terminal: it explains, asks again, hides the password, and writes nothing after Ctrl-C."""

import io
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
from dialogue import Dialogue

from agent.cli.init import wiring
from agent.cli.init.draft import Draft
from agent.cli.init.instruments import Instruments
from agent.cli.init.placing import PASSWORD_FILE, problems_of
from agent.cli.init.writing import configuration_text
from agent.cli.messages import set_language
from agent.cli.ports.machine import Adapter, SerialPort
from agent.configuration import load_configuration

SECRET = "Bí mật #1"


def _init(oc_agent: Sequence[str], file: Path, *options: str, language: str = "en") -> Dialogue:
    return Dialogue([*oc_agent, "--lang", language, "--config", str(file), "init", *options])


def test_a_whole_interview(oc_agent: list[str], tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    (tmp_path / "ca.pem").write_text("x", encoding="utf-8")
    with _init(oc_agent, file) as terminal:
        terminal.answer("Gateway id", "?")
        terminal.expect("Its name at the IOC")
        terminal.answer("Gateway id", "Hải Châu")
        terminal.expect("must be a-z 0-9 - without accents")
        terminal.answer("Gateway id", "dng-hc-01")
        terminal.answer("Code of the operations centre", "")
        terminal.expect("an answer is needed here")
        terminal.answer("Code of the operations centre", "oc-haichau")
        terminal.answer("in Vietnamese", "OC quận Hải Châu")
        terminal.answer("in English", "")
        terminal.answer("Longitude,latitude", "16.0678, 108.2208")
        terminal.expect("did you mean 108.221,16.0678?")
        terminal.answer("Longitude,latitude", "108.2208, 16.0678")
        terminal.answer("Broker of the IOC", "http://ioc")
        terminal.expect("mqtts://ioc.example.vn:8883")
        terminal.answer("Broker of the IOC", "ioc.example.vn")
        terminal.answer("File of the authority", "nowhere.pem")
        terminal.expect("there is no file")
        terminal.answer("File of the authority", "ca.pem")
        terminal.answer("this gateway's certificate", "")
        terminal.answer("User name", "dng-hc-01")
        terminal.answer("Password (not shown)", SECRET)
        terminal.answer("Add a link", "")
        terminal.answer("Port or address", "/dev/ttyS77")
        terminal.answer("Kind", "9")
        terminal.expect("a number from 1 to 4")
        terminal.answer("Kind", "1")
        terminal.answer("Baud rate", "12")
        terminal.answer("Data bits", "8E1")
        terminal.answer("Name of the link", "")
        terminal.expect("expected a whole number >= 300")
        terminal.expect("so it is asked again")
        terminal.answer("Add a link", "yes")
        terminal.answer("Port or address", "/dev/ttyS77")
        terminal.answer("Kind", "")
        terminal.answer("Baud rate", "")
        terminal.answer("Data bits", "8E1")
        terminal.answer("Name of the link [bus-1]", "")
        terminal.answer("Device on bus-1", "no such thing")
        terminal.expect("no profile of kind modbus")
        terminal.answer("Device on bus-1", "eastron dien ke")
        terminal.answer("Profile (empty: none of these)", "")
        terminal.answer("Device on bus-1", "eastron/sdm120")
        terminal.answer("Profile [1]", "")
        terminal.answer("Unit id [1]", "255")
        terminal.answer("Name of the device [sdm120-1]", "meter-1")
        terminal.answer("Interval [10s]", "1m")
        terminal.answer("Label in Vietnamese", "Điện kế tủ 1")
        terminal.answer("Label in English", "-")
        terminal.expect("write a number from 1 to 247")
        terminal.answer("Device on bus-1", "sdm120 eastron")
        terminal.answer("Profile [1]", "")
        terminal.answer("Unit id [1]", "")
        terminal.answer("Name of the device [sdm120-1]", "meter-1")
        terminal.answer("Interval [10s]", "1m")
        terminal.answer("Label in Vietnamese", "Điện kế tủ 1")
        terminal.answer("Label in English", "-")
        terminal.answer("Device on bus-1", "")
        terminal.answer("Add a link", "")
        terminal.answer(f"Write this to {file}?", "")
        assert terminal.ends() == 0, terminal.text
        assert SECRET not in terminal.text
    settings = load_configuration(file).settings
    assert (settings.gateway.id, settings.site.oc, settings.site.location) == (
        "dng-hc-01", "oc-haichau", (108.2208, 16.0678),
    )  # fmt: skip
    assert settings.uplink.password_file == str(tmp_path / PASSWORD_FILE)
    assert SECRET not in file.read_text(encoding="utf-8")
    secret = tmp_path / PASSWORD_FILE
    assert (secret.read_text(encoding="utf-8"), stat.S_IMODE(secret.stat().st_mode)) == (SECRET + "\n", 0o600)
    (device,) = settings.devices
    assert (device.name, device.unit, device.label) == ("meter-1", 1, {"vi": "Điện kế tủ 1"})
    assert settings.links[0].options.parity == "E"


GOOD = (
    "--gateway-id",
    "a",
    "--oc",
    "b",
    "--name-vi",
    "x",
    "--location",
    "1,2",
    "--broker",
    "mqtt://ioc",
    "--username",
    "u",
)


def test_ctrl_c_writes_nothing(oc_agent: list[str], tmp_path: Path) -> None:
    with _init(oc_agent, tmp_path / "agent.toml", *GOOD) as terminal:
        terminal.answer("Password", SECRET)
        terminal.expect("Add a link")
        terminal.type("\x03")
        terminal.expect("nothing was written")
        assert terminal.ends() == 130
    assert not list(tmp_path.iterdir())


def test_the_end_of_the_input_and_a_no_write_nothing(oc_agent: list[str], tmp_path: Path) -> None:
    with _init(oc_agent, tmp_path / "agent.toml", *GOOD) as terminal:
        terminal.answer("Password", "")
        terminal.expect("Add a link")
        terminal.type("\x04")
        terminal.expect("nothing was written")
        assert terminal.ends() == 1
    with _init(oc_agent, tmp_path / "agent.toml", *GOOD) as terminal:
        terminal.answer("Password", "")
        terminal.answer("Add a link", "n")
        terminal.answer("Write this to", "n")
        assert terminal.ends() == 1
    assert not list(tmp_path.iterdir())


def test_it_asks_in_vietnamese_and_only_what_the_options_do_not_say(oc_agent: list[str], tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    with _init(oc_agent, file, *GOOD, language="vi") as terminal:
        terminal.answer("Mật khẩu (không hiện)", "")
        terminal.answer("Thêm một đường truyền", "không")
        terminal.answer("Ghi nội dung này vào", "có")
        terminal.expect("đã ghi")
        assert terminal.ends() == 0
        assert "Mã gateway [" not in terminal.text
    assert load_configuration(file).settings.uplink.username == "u"


def test_the_ports_of_the_machine_are_offered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    set_language("en")
    adapter = Adapter(usb="0403:6001", socket="1-1", vendor="FTDI", product="FT232R", serial="A1")
    ports = [
        SerialPort(device="/dev/ttyUSB0", by_id="/dev/serial/by-id/usb-FTDI-A1", adapter=adapter),
        SerialPort(device="/dev/ttyAMA0", console=True),
        SerialPort(device="/dev/ttyAMA1", board="/dev/serial1"),
    ]
    monkeypatch.setattr(wiring, "serial_ports", lambda: ports)
    answers = ["", "", "3", "4800", "", "", "", "y", "1", "", "", "", "", "", "n"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(answers) + "\n"))
    draft = Draft(gateway={"id": "a"}, site={"oc": "b"}, uplink={"host": "c"})

    def look(now: Draft) -> list:
        return problems_of(configuration_text(now), tmp_path / "agent.toml")

    wiring.ask_about_links(draft, look, Instruments(draft, look, tmp_path))
    told = capsys.readouterr().err
    assert "1  /dev/serial/by-id/usb-FTDI-A1  FTDI FT232R" in told
    assert "2  /dev/serial1  a port of this board" in told
    assert "ttyAMA0" not in told
    assert draft.links == [
        {"name": "serial-1", "kind": "serial", "port": "/dev/serial/by-id/usb-FTDI-A1", "baud": 4800,
         "parity": "N", "stop_bits": 1},
        {"name": "bus-1", "kind": "modbus", "transport": "rtu", "port": "/dev/serial1", "baud": 9600,
         "parity": "N", "stop_bits": 1},
    ]  # fmt: skip
