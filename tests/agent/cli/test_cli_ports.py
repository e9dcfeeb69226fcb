"""`oc-agent ports`: what is said of a port, on a made-up `/sys` and `/dev`, with real ptys and real processes."""

import asyncio
import grp
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_config import HEAD

from agent.cli import main
from agent.cli.layout import cell_width
from agent.cli.messages import set_language
from agent.cli.ports import PortReport, told, with_agent
from agent.cli.ports.holders import Holder, OpenFiles, open_devices
from agent.cli.ports.machine import Adapter, SerialPort, configured_port, serial_ports
from agent.cli.ports.rights import Owned, advice, may_open, owned
from agent.control import AgentNotRunning, agent_pid, control_server

FTDI = {"idVendor": "0403", "idProduct": "6001", "manufacturer": "FTDI", "product": "FT232R USB UART", "serial": "A10K"}
CH340 = {"idVendor": "1a86", "idProduct": "7523", "product": "USB Serial"}
LINK = """\
[[link]]
name = "bus-1"
kind = "modbus"
transport = "rtu"
port = "{port}"
[[device]]
name = "meter-1"
link = "bus-1"
profile = "eastron/sdm120"
unit = 1
"""


class Machine:
    """A `/dev` and a `/sys` as Linux 6.1 and udev make them."""

    def __init__(self, folder: Path) -> None:
        self.dev, self.sys = folder / "dev", folder / "sys"
        self.dev.mkdir()
        (self.sys / "class/tty/console").mkdir(parents=True)

    def usb_serial(
        self, name: str, driver: str, told: dict[str, str], socket: str, *, interface: int = 0, by_id: str = ""
    ) -> None:
        """An adapter with a driver of its own (ttyUSB); its interface and the device are above it."""
        device = self.sys / f"devices/usb1/{socket}"
        port = device / f"{socket}:1.{interface}" / name
        port.mkdir(parents=True)
        for key, text in told.items():
            (device / key).write_text(text + "\n", encoding="utf-8")
        self._tty(name, port, driver)
        self._named(name, "by-path", f"usb-0:{socket}-port{interface}")
        if by_id:
            self._named(name, "by-id", by_id)

    def uart(self, name: str, type_: str, *, driver: str = "serial") -> None:
        """A port of the board, behind the two devices that `serial-base` puts above it."""
        port = self.sys / f"devices/platform/{name}/ctrl/port"
        port.mkdir(parents=True)
        self._tty(name, port, "port")
        self._driver(port.parent, "ctrl")
        self._driver(port.parent.parent, driver)
        (self.sys / "class/tty" / name / "type").write_text(type_ + "\n", encoding="utf-8")

    def _tty(self, name: str, port: Path, driver: str) -> None:
        entry = self.sys / "class/tty" / name
        entry.mkdir()
        (entry / "device").symlink_to(port)
        self._driver(port, driver)
        (self.dev / name).touch()

    def _driver(self, folder: Path, driver: str) -> None:
        home = self.sys / "bus/drivers" / driver
        home.mkdir(parents=True, exist_ok=True)
        (folder / "driver").symlink_to(home)

    def _named(self, name: str, folder: str, link: str) -> None:
        (self.dev / "serial" / folder).mkdir(parents=True, exist_ok=True)
        (self.dev / "serial" / folder / link).symlink_to(self.dev / name)

    def ports(self) -> dict[str, SerialPort]:
        return {Path(port.device).name: port for port in serial_ports(self.dev, self.sys)}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def pty() -> Iterator[str]:
    ours, theirs = os.openpty()
    yield os.ttyname(theirs)
    os.close(ours)
    os.close(theirs)


def report(**changes: object) -> PortReport:
    port = SerialPort(device="/dev/ttyUSB0")
    known = {
        "write": "/dev/ttyUSB0", "port": port, "links": [], "may_open": True, "advice": "", "holders": [],
        "holders_known": True,
    }  # fmt: skip
    return PortReport(**(known | changes))  # type: ignore[arg-type]


def words(**changes: object) -> str:
    return "\n".join(told(report(**changes)))


def test_an_adapter_tells_what_it_is_and_is_written_by_its_serial_number(machine: Machine) -> None:
    machine.usb_serial("ttyUSB0", "ftdi_sio", FTDI, "1-1", by_id="usb-FTDI_FT232R_USB_UART_A10K-if00-port0")
    port = machine.ports()["ttyUSB0"]
    assert (port.adapter, port.driver) == (
        Adapter(usb="0403:6001", socket="1-1", vendor="FTDI", product="FT232R USB UART", serial="A10K"),
        "ftdi_sio",
    )
    assert port.to_write == str(machine.dev / "serial/by-id/usb-FTDI_FT232R_USB_UART_A10K-if00-port0")


def test_adapters_without_a_serial_number_are_told_by_their_sockets(machine: Machine) -> None:
    machine.usb_serial("ttyUSB0", "ch341-uart", CH340, "1-1")
    machine.usb_serial("ttyUSB1", "ch341-uart", CH340, "1-2", by_id="usb-1a86_USB_Serial-if00-port0")
    assert [port.to_write for port in machine.ports().values()] == [
        str(machine.dev / "serial/by-path/usb-0:1-1-port0"),
        str(machine.dev / "serial/by-path/usb-0:1-2-port0"),
    ]


def test_adapters_to_which_their_maker_gave_one_serial_number_are_told_by_their_sockets(machine: Machine) -> None:
    cp2102 = {"idVendor": "10c4", "idProduct": "ea60", "product": "CP2102 USB to UART", "serial": "0001"}
    name = "usb-Silicon_Labs_CP2102_USB_to_UART_0001-if00-port0"
    machine.usb_serial("ttyUSB0", "cp210x", cp2102, "1-1", by_id=name)
    assert machine.ports()["ttyUSB0"].to_write == str(machine.dev / "serial/by-id" / name)
    machine.usb_serial("ttyUSB1", "cp210x", cp2102, "1-2")
    found = machine.ports()
    assert [port.to_write for port in found.values()] == [
        str(machine.dev / "serial/by-path/usb-0:1-1-port0"),
        str(machine.dev / "serial/by-path/usb-0:1-2-port0"),
    ]
    assert "another adapter here has the same serial number" in words(port=found["ttyUSB0"])


def test_two_ports_of_one_adapter_are_told_by_its_serial_number(machine: Machine) -> None:
    machine.usb_serial("ttyUSB0", "ftdi_sio", FTDI, "1-1", by_id="usb-FTDI_A10K-if00-port0")
    machine.usb_serial("ttyUSB1", "ftdi_sio", FTDI, "1-1", interface=1, by_id="usb-FTDI_A10K-if01-port0")
    assert [Path(port.to_write).name for port in machine.ports().values()] == [
        "usb-FTDI_A10K-if00-port0",
        "usb-FTDI_A10K-if01-port0",
    ]


def test_ports_of_the_board_are_those_with_a_chip_behind_them(machine: Machine) -> None:
    machine.uart("ttyS0", "4")
    machine.uart("ttyS1", "0")
    machine.uart("ttyAMA0", "32", driver="uart-pl011")
    (machine.dev / "serial0").symlink_to(machine.dev / "ttyAMA0")
    (machine.sys / "class/tty/console/active").write_text("tty0 ttyAMA0\n", encoding="utf-8")
    ports = machine.ports()
    assert ports.keys() == {"ttyS0", "ttyAMA0"}
    assert (ports["ttyAMA0"].to_write, ports["ttyAMA0"].driver) == (str(machine.dev / "serial0"), "uart-pl011")
    assert (ports["ttyAMA0"].console, ports["ttyS0"].console) == (True, False)


def test_a_terminal_without_hardware_is_no_port(machine: Machine) -> None:
    (machine.sys / "class/tty/tty0").mkdir()
    (machine.dev / "tty0").touch()
    assert machine.ports() == {}


def test_who_holds_a_port_is_found_by_its_open_files(pty: str) -> None:
    script = f"import os; os.open({pty!r}, os.O_RDWR | os.O_NOCTTY); print('open', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        holders = {holder.pid: holder.command for holder in open_devices().holders[pty]}
        other.communicate(b"\n")
    assert holders.keys() == {os.getpid(), other.pid}
    assert pty in holders[other.pid]
    assert other.pid not in {holder.pid for holder in open_devices().holders[pty]}


def test_a_process_that_may_not_be_looked_into_is_not_taken_for_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "7" / "fd").mkdir(parents=True)
    (tmp_path / "7" / "fd" / "3").symlink_to("/dev/ttyUSB0")
    (tmp_path / "7" / "fd" / "4").symlink_to("socket:[1]")
    (tmp_path / "7" / "cmdline").write_bytes(b"minicom\0-D\0/dev/ttyUSB0\0")
    (tmp_path / "8").mkdir()  # without a folder of files: as a process that ends while it is looked at
    held = {"/dev/ttyUSB0": [Holder(pid=7, command="minicom -D /dev/ttyUSB0")]}
    assert open_devices(tmp_path) == OpenFiles(holders=held, all_seen=True)
    real = Path.iterdir

    def guarded(path: Path) -> Iterator[Path]:
        if path.parent.name == "8":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(Path, "iterdir", guarded)
    assert open_devices(tmp_path) == OpenFiles(holders=held, all_seen=False)


def test_what_is_hidden_is_said_so_and_never_that_nobody_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "nobody" in words()
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "nobody that can be seen: use sudo to see all" in words(holders_known=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert words(holders_known=False).splitlines()[-2].endswith("nobody that can be seen")


def test_the_running_agent_is_named_also_where_its_files_are_hidden() -> None:
    held = OpenFiles(holders={"/dev/ttyUSB0": [Holder(pid=7, command="python"), Holder(pid=8)]}, all_seen=False)
    found = with_agent(held, 7, ["/dev/ttyUSB0", "/dev/ttyUSB1"]).holders
    assert [(one.pid, one.agent) for one in found["/dev/ttyUSB0"]] == [(7, True), (8, False)]
    assert [(one.pid, one.agent) for one in found["/dev/ttyUSB1"]] == [(7, True)]
    assert with_agent(held, None, []) == held
    assert "the running oc-agent, pid 7" in words(holders=found["/dev/ttyUSB1"])


def test_the_right_to_a_port_comes_with_its_group() -> None:
    mine = Owned(mode=stat.S_IFCHR | 0o660, group="dialout", user="pi", member=False)
    assert advice(mine) == "run: sudo usermod -aG dialout pi; then log out and in again"
    assert "log out and in" in advice(Owned(mode=mine.mode, group="dialout", user="pi", member=True))
    assert "usermod" not in advice(Owned(mode=mine.mode, group="dialout", user="pi", member=True))
    assert "only root" in advice(Owned(mode=stat.S_IFCHR | 0o600, group="dialout", user="pi", member=False))
    assert "only root" in advice(Owned(mode=stat.S_IFCHR | 0o660, group="root", user="pi", member=False))


def test_a_device_file_tells_whose_it_is(pty: str) -> None:
    assert may_open(pty)
    found = owned(pty)
    assert stat.S_ISCHR(found.mode)
    assert found.group == grp.getgrgid(Path(pty).stat().st_gid).gr_name
    assert not may_open(pty + "-none")


@pytest.mark.parametrize("lang", ["vi", "en"])
def test_a_port_is_told_on_80_columns_with_the_name_to_write_alone_on_its_line(lang: str) -> None:
    name = "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A10K1234-if00-port0"
    adapter = Adapter(usb="0403:6001", socket="1-1", vendor="FTDI", product="FT232R USB UART " * 3)
    port = SerialPort(device="/dev/ttyUSB0", driver="ftdi_sio", adapter=adapter, by_id=name, by_path="/x", console=True)
    set_language(lang)
    try:
        todo = advice(Owned(mode=0o660, group="dialout", user="nguyen", member=False))
        lines = list(
            told(
                report(
                    write=name, port=port, may_open=False, advice=todo, links=["bus-1", "bus-2"],
                    holders=[Holder(pid=7, command="python " * 30), Holder(pid=8, agent=True)],
                )
            )
        )  # fmt: skip
    finally:
        set_language("en")
    assert lines[0] == name
    assert max(map(cell_width, lines)) <= 80
    text = " ".join(line.strip() for line in lines)
    assert "sudo usermod -aG dialout nguyen" in text
    assert "bus-1, bus-2" in text
    assert ("không có số sê-ri" if lang == "vi" else "no serial number") in text


def test_a_port_that_is_configured_and_not_there_is_listed(tmp_path: Path) -> None:
    port = configured_port(str(tmp_path / "none"))
    assert not port.there
    text = words(port=port, may_open=False, links=["bus-1"])
    assert "NOT THERE" in text
    assert "nobody" not in text


def run(capsys: pytest.CaptureFixture[str], config: Path, *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["--lang", "en", "--config", str(config), "ports", *arguments])
    out, err = capsys.readouterr()
    return int(caught.value.code or 0), out, err


def test_the_verb_shows_the_link_and_the_holder_of_a_configured_port(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pty: str
) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(HEAD + LINK.format(port=pty), encoding="utf-8")
    code, out, err = run(capsys, config, "--json")
    assert (code, err) == (0, "")
    (port,) = (one for one in json.loads(out)["ports"] if one["device"] == pty)
    assert (port["write"], port["links"], port["may_open"]) == (pty, ["bus-1"], True)
    assert [(one["pid"], one["agent"]) for one in port["holders"]] == [(os.getpid(), False)]
    code, out, _ = run(capsys, config)
    assert code == 0
    assert pty in out.splitlines()
    assert f"pid {os.getpid()}: " in out


def test_a_port_that_is_configured_by_a_name_of_ones_own_is_shown_by_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pty: str
) -> None:
    config, name = tmp_path / "agent.toml", tmp_path / "roof-line"
    name.symlink_to(pty)
    config.write_text(HEAD + LINK.format(port=name), encoding="utf-8")
    (port,) = (one for one in json.loads(run(capsys, config, "--json")[1])["ports"] if one["links"])
    assert (port["write"], port["holders"][0]["pid"]) == (str(name), os.getpid())


def test_ports_are_shown_without_a_configuration_and_with_a_broken_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "agent.toml"
    code, out, err = run(capsys, config, "--json")
    assert (code, json.loads(out).keys()) == (0, {"ports"})
    assert "there is no" in err
    config.write_text(HEAD + LINK.format(port=""), encoding="utf-8")
    code, out, err = run(capsys, config, "--json")
    assert (code, json.loads(out).keys()) == (0, {"ports"})
    assert "problem(s), so links are not told" in err


async def test_the_running_agent_is_asked_which_ports_it_has_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pty: str
) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(HEAD.replace('"run"', f'"{tmp_path}"') + LINK.format(port=pty), encoding="utf-8")
    links = [{"link": "bus-1", "endpoint": pty, "up": True}]
    async with control_server(tmp_path, {"status": lambda: {"links": links}}):
        assert await asyncio.to_thread(agent_pid, tmp_path) == os.getpid()
        _, out, _ = await asyncio.to_thread(run, capsys, config, "--json")
    (port,) = (one for one in json.loads(out)["ports"] if one["device"] == pty)
    assert [(one["pid"], one["agent"]) for one in port["holders"]] == [(os.getpid(), True)]
    with pytest.raises(AgentNotRunning):
        agent_pid(tmp_path)


def test_a_pseudo_terminal_of_a_container_is_not_taken_for_ours_of_the_same_name(tmp_path: Path, pty: str) -> None:
    other = tmp_path / "other"  # a file of another file system in its place
    other.write_bytes(b"")
    (tmp_path / "proc" / "7" / "fd").mkdir(parents=True)
    link = tmp_path / "proc" / "7" / "fd" / "3"
    link.symlink_to(pty)
    assert set(open_devices(tmp_path / "proc").holders) == {pty}

    class Elsewhere(type(link)):  # type: ignore[misc]  # /proc shows the name, and opens what the process has open
        def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
            return other.stat() if self.name == "3" else super().stat(follow_symlinks=follow_symlinks)

    assert set(open_devices(Elsewhere(tmp_path / "proc")).holders) == set()
