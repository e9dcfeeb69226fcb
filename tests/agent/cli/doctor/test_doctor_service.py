"""The groups `service`, `ports` and `bus`."""

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent_config import HEAD

from agent.cli.doctor import ports, service
from agent.cli.doctor.bus import judged as bus_judged
from agent.cli.doctor.finding import Finding
from agent.cli.doctor.ports import PortFacts, examined, user_may_open
from agent.cli.ports.holders import Holder, OpenFiles
from agent.cli.ports.machine import Adapter, SerialPort
from agent.configuration import load_configuration
from agent.settings import LinkSettings

SHOWN = """\
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
NRestarts=0
Result=success
ExecMainStatus=0
MemoryCurrent=31457280
MemoryMax=67108864
"""
BUS = """\
[[link]]
name = "bus-1"
kind = "modbus"
transport = "rtu"
baud = 1200
port = "{port}"
[[device]]
name = "meter-1"
link = "bus-1"
profile = "eastron/sdm120"
unit = 1
interval_s = {interval_s}
"""
NOBODY = PortFacts(known=[], held=OpenFiles(holders={}, all_seen=True))


def codes(found: Iterator[Finding]) -> list[str]:
    return [one.code for one in found if one.code]


def shown(**changes: str) -> Iterator[Finding]:
    return service.judged(service.properties(SHOWN) | changes)


def test_a_service_that_runs_is_well() -> None:
    assert [one.state for one in shown()] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"LoadState": "not-found"}, "not_installed"),
        ({"UnitFileState": "disabled"}, "not_enabled"),
        ({"NRestarts": "4"}, "restarted"),
        ({"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "78"}, "bad_configuration"),
        ({"ActiveState": "failed", "Result": "watchdog", "ExecMainStatus": "6"}, "watchdog"),
        ({"ActiveState": "failed", "Result": "oom-kill", "ExecMainStatus": "9"}, "oom"),
        ({"ActiveState": "inactive"}, "not_running"),
        ({"MemoryCurrent": "66000000"}, "service_memory"),
    ],
)
def test_each_state_of_the_service_has_its_name(changes: dict[str, str], code: str) -> None:
    assert codes(shown(**changes)) == [code]


def test_systemd_may_know_no_limit_of_memory() -> None:
    assert codes(shown(MemoryMax="infinity", MemoryCurrent="[not set]")) == []


def test_the_last_words_of_a_service_that_failed_are_shown() -> None:
    (one,) = service.last_words("\nconfiguration: link[1].port: is missing\n")
    assert "link[1].port" in one.what


def link(tmp_path: Path, port: Path | str, interval_s: float = 10.0) -> LinkSettings:
    path = tmp_path / "agent.toml"
    path.write_text(HEAD + BUS.format(port=port, interval_s=interval_s), encoding="utf-8")
    return load_configuration(path).settings.links[0]


def test_a_port_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    name = "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A10K-if00-port0"
    facts = PortFacts(known=[SerialPort(device="/dev/ttyUSB0", by_id=name)], held=NOBODY.held)
    (one,) = examined(link(tmp_path, name.replace("A10K", "A10L")), facts)
    assert (one.code, one.subject) == ("port_missing", "bus-1")
    assert name in one.advice
    (one,) = examined(link(tmp_path, name), NOBODY)
    assert "no serial port at all" in one.advice


def test_who_else_holds_a_port_is_named_and_the_agent_is_nobody_else(tmp_path: Path) -> None:
    port = tmp_path / "ttyUSB0"
    port.touch()

    def held(*holders: Holder, all_seen: bool = True) -> PortFacts:
        return PortFacts(known=[], held=OpenFiles(holders={str(port): list(holders)}, all_seen=all_seen))

    (one,) = examined(link(tmp_path, port), held(Holder(pid=7, command="/usr/sbin/ModemManager")))
    assert (one.code, one.state) == ("port_held", "fail")
    assert "pid 7: /usr/sbin/ModemManager" in one.what
    (one,) = examined(link(tmp_path, port), held(Holder(pid=7, agent=True), Holder(pid=os.getpid())))
    assert one.state == "ok"


def test_what_is_hidden_from_this_user_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = tmp_path / "ttyUSB0"
    port.touch()
    monkeypatch.setattr(ports, "is_root", lambda: False)
    facts = PortFacts(known=[], held=OpenFiles(holders={}, all_seen=False))
    assert codes(examined(link(tmp_path, port), facts)) == ["not_permitted"]


def test_a_name_that_may_change_and_a_console_are_told(tmp_path: Path) -> None:
    port = tmp_path / "ttyUSB0"
    port.touch()
    adapter = Adapter(usb="0403:6001", socket="1-1", serial="A10K")
    known = SerialPort(device=str(port), adapter=adapter, by_id="/dev/serial/by-id/usb-A10K", console=True)
    found = list(examined(link(tmp_path, port), PortFacts(known=[known], held=NOBODY.held)))
    assert [(one.code, one.state) for one in found] == [("port_unstable", "warn"), ("port_console", "fail")]
    assert "/dev/serial/by-id/usb-A10K" in found[0].advice


def test_the_rights_of_the_user_of_the_service_count_not_those_of_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = tmp_path / "ttyUSB0"
    port.touch()
    nobody = pwd.getpwnam("nobody")
    monkeypatch.setattr(ports, "USER", "nobody")
    port.chmod(0o660)
    assert codes(examined(link(tmp_path, port), NOBODY)) == ["port_forbidden"]
    port.chmod(0o666)
    assert codes(examined(link(tmp_path, port), NOBODY)) == []
    port.chmod(0o604)
    assert not user_may_open(nobody, port)
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: [port.stat().st_gid])
    port.chmod(0o660)
    assert user_may_open(nobody, port)
    port.chmod(0o640)
    assert not user_may_open(nobody, port)


def test_two_links_on_one_port_are_told_under_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port, other = tmp_path / "ttyUSB0", tmp_path / "by-id"
    port.touch()
    other.symlink_to(port)
    first, second = link(tmp_path, port), link(tmp_path, other)
    (one,) = ports._used_twice([first, second])
    assert one.code == "port_twice"
    assert list(ports._used_twice([first])) == []


def judged(tmp_path: Path, interval_s: float, busy: float | None = None, **report: int) -> Finding:
    path = tmp_path / "agent.toml"
    path.write_text(HEAD + BUS.format(port="/dev/ttyUSB0", interval_s=interval_s), encoding="utf-8")
    settings = load_configuration(path).settings
    return bus_judged(settings.links[0], settings.devices, busy, report)


def test_a_bus_that_is_nearly_full_is_told_with_the_interval_that_helps(tmp_path: Path) -> None:
    assert judged(tmp_path, 60).state == "ok"
    full = judged(tmp_path, 1.3)
    assert full.code == "bus_full"
    assert "`interval_s` of meter-1" in full.advice
    enough_s = float(full.advice.split(" to ")[1].split(" s")[0])
    assert judged(tmp_path, enough_s).state == "ok"


def test_what_was_measured_counts_where_it_is_more(tmp_path: Path) -> None:
    assert judged(tmp_path, 60, busy=0.75).code == "bus_full"
    assert "75% is measured" in judged(tmp_path, 60, busy=0.75).what
    assert judged(tmp_path, 60, busy=1.2).code == "bus_overload"
    assert judged(tmp_path, 60, missed=9).code == "polls_missed"
