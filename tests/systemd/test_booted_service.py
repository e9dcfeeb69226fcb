"""The unit under a real systemd: start, sandbox, kill, watchdog, a wrong configuration, keys, stop."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from booted_systemd import CODE, PYTHON, Machine, lacking
from processes import wait_until

from drivers.catalogue import shipped_profiles

UNITS = Path(__file__).resolve().parents[2] / "systemd"
WHY_NOT = lacking()
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=f"no systemd can be booted: {WHY_NOT}")
LAUNCHER = f"""\
#!/bin/sh
export LD_LIBRARY_PATH={PYTHON}/lib PYTHONPATH={CODE}
exec {PYTHON}/bin/python{sys.version_info[0]}.{sys.version_info[1]} "$@"
"""
CONFIG = """\
[gateway]
id = "dng-hc-01"
[site]
oc = "oc-haichau"
[uplink]
host = "localhost"
port = 1
tls = false
[clock]
hold_unsynced_s = 0
[outbox]
batch_interval_s = 0.1
[[link]]
name = "bus-1"
kind = "modbus"
transport = "rtu"
port = "/dev/ttyS1"
[[device]]
name = "meter-1"
link = "bus-1"
profile = "eastron/sdm120"
unit = 1
"""
PROBE = """\
import ctypes, errno, json, os, socket, sys, time

def attempt(do):
    try:
        do()
        return "ok"
    except OSError as err:
        return errno.errorcode[err.errno]

libc = ctypes.CDLL(None, use_errno=True)
timex = ctypes.create_string_buffer(256)
answer = libc.adjtimex(timex)
called = []
ctypes.CFUNCTYPE(None)(lambda: called.append(1))()
def line():
    import serial
    ours, theirs = os.openpty()
    with serial.Serial(os.ttyname(theirs), 19200, parity="E", timeout=5, exclusive=True) as port:
        port.write(b"asked")
        asked = os.read(ours, 5)
        os.write(ours, b"answered")
        return [asked.decode(), port.read(8).decode()]

from agent.clock import SystemClock
from agent.health import hardware, system_figures, uptime_s
print(json.dumps({
    "clock": answer,
    "clock_state": str(SystemClock().state()),
    "clock_set": attempt(lambda: time.clock_settime(time.CLOCK_REALTIME, time.time())),
    "callback": called,
    "names": attempt(lambda: socket.getaddrinfo("localhost", 1883)),
    "figures": system_figures("/var/lib/oc-agent").memory_pct > 0 and uptime_s() > 0,
    "serial": attempt(lambda: os.open("/dev/ttyS1", os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY)),
    "line": line(),
    "device": attempt(lambda: os.open("/dev/forbidden", os.O_RDWR)),
    "open_folder": attempt(lambda: os.open("/opt/oc-agent/open/new", os.O_CREAT | os.O_WRONLY)),
    "state": attempt(lambda: os.open("/var/lib/oc-agent/new", os.O_CREAT | os.O_WRONLY)),
    "packet": attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW)),
    "credential": open(os.environ["CREDENTIALS_DIRECTORY"] + "/gateway.key").read(),
    "key": attempt(lambda: open("/etc/oc-agent/keys/gateway.key")),
}))
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Booted, the agent installed by hand as its README says, not yet started."""
    folder = tmp_path_factory.mktemp("boot") / "machine"
    folder.mkdir()
    booted = Machine(folder)
    try:
        _install(booted)
        yield booted
    finally:
        booted.close()


def _install(machine: Machine) -> None:
    machine.write("/opt/oc-agent/python", LAUNCHER, "755")
    machine.write("/opt/oc-agent/venv/bin/oc-agent", '#!/bin/sh\nexec /opt/oc-agent/python -m agent "$@"\n', "755")
    for file, place in (
        ("oc-agent.service", "/etc/systemd/system/oc-agent.service"),
        ("oc-agent.sysusers", "/usr/lib/sysusers.d/oc-agent.conf"),
        ("oc-agent.tmpfiles", "/usr/lib/tmpfiles.d/oc-agent.conf"),
    ):
        machine.write(place, (UNITS / file).read_text(encoding="utf-8"))
    machine.run("systemd-sysusers", "oc-agent.conf")
    machine.run("systemd-tmpfiles", "--create", "oc-agent.conf")
    profile = shipped_profiles() / "eastron" / "sdm120.toml"  # a wheel has it where this machine does not look
    machine.write("/etc/oc-agent/profiles/eastron/sdm120.toml", profile.read_text(encoding="utf-8"), "644")
    machine.write("/etc/oc-agent/keys/gateway.key", "secret", "600")
    machine.run("systemctl", "daemon-reload")


@pytest.fixture
def service(machine: Machine) -> Iterator[Machine]:
    """Started with a configuration that is right; stopped at the end."""
    machine.write("/etc/oc-agent/agent.toml", CONFIG, "640", "root:oc-agent")
    machine.run("systemctl", "reset-failed", "oc-agent", check=False)
    machine.run("systemctl", "start", "oc-agent")
    yield machine
    machine.run("systemctl", "stop", "oc-agent")
    machine.run("rm", "-rf", "/etc/systemd/system/oc-agent.service.d")
    machine.run("systemctl", "daemon-reload")


def _status(machine: Machine) -> Any:
    return json.loads(machine.run("/opt/oc-agent/venv/bin/oc-agent", "status", "--json"))


def _journal(machine: Machine) -> list[dict[str, Any]]:
    lines = machine.run("journalctl", "-u", "oc-agent", "-o", "json", "--no-pager").splitlines()
    return [json.loads(line) for line in lines]


def test_it_starts_as_its_own_user_without_capabilities_and_with_a_limit(service: Machine) -> None:
    assert service.shows("oc-agent", "ActiveState") == "active"
    assert service.shows("oc-agent", "MemoryMax") == str(64 << 20)
    main = service.shows("oc-agent", "MainPID")
    status = dict(
        line.split(":\t", 1) for line in service.run("cat", f"/proc/{main}/status").splitlines() if ":\t" in line
    )
    assert status["CapBnd"] == status["CapEff"] == "0" * 16
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert int(service.shows("oc-agent", "MemoryCurrent")) < 64 << 20
    assert "oc-agent" in service.run("stat", "-c", "%U %G", "/var/lib/oc-agent", "/run/oc-agent", "/etc/oc-agent")
    assert _status(service)["outbox"]["ram_disk"]


def test_the_journal_has_the_levels(service: Machine) -> None:
    wait_until(lambda: any("link bus-1" in e["MESSAGE"] for e in _journal(service)), 20, "the port cannot be opened")
    levels = {
        e["MESSAGE"].split(" ")[0]: e["PRIORITY"] for e in _journal(service) if e.get("_COMM", "")[:6] == "python"
    }
    assert levels["link"] == levels["/etc/oc-agent/agent.toml:8:"] == "4"
    assert levels["oc-agent"] == "6"
    assert not any(e["MESSAGE"].startswith("<") for e in _journal(service))


def test_the_sandbox_lets_through_what_the_agent_needs_and_nothing_else(machine: Machine) -> None:
    unit = (UNITS / "oc-agent.service").read_text(encoding="utf-8")
    unit = (
        unit.replace("Type=notify\n", "Type=oneshot\n")
        .replace("Restart=on-failure\n", "")
        .replace("#LoadCredential=gateway", "LoadCredential=gateway")
    )
    unit = "\n".join(
        "ExecStart=/opt/oc-agent/python /opt/oc-agent/probe.py\nStandardOutput=file:/run/probe.json\nStandardError=journal" if line.startswith("ExecStart=") else line
        for line in unit.splitlines()
        if not line.startswith("WatchdogSec=")
    )  # fmt: skip
    machine.write("/etc/systemd/system/oc-probe.service", unit)
    machine.write("/opt/oc-agent/probe.py", PROBE)
    machine.run("install", "-d", "-m", "777", "/opt/oc-agent/open")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "oc-probe", check=False)
    assert machine.shows("oc-probe", "Result") == "success", machine.run("journalctl", "-u", "oc-probe", "--no-pager")
    found = json.loads(machine.run("cat", "/run/probe.json"))
    assert found["clock"] >= 0, "adjtimex may be asked"
    assert found["callback"] == [1]
    assert found["names"] == found["state"] == "ok"
    assert found["line"] == ["asked", "answered"]
    assert found["figures"] is True
    assert found["credential"] == "secret"
    assert found["clock_set"] == "EPERM"
    assert found["key"] == "EACCES"
    assert found["open_folder"] == "EROFS"
    assert found["packet"] == "EAFNOSUPPORT"
    assert found["device"] == "EPERM"
    if "ttyS" in Path("/proc/devices").read_text(encoding="ascii"):
        assert found["serial"] in {"ok", "ENXIO", "EIO", "ENODEV"}, "the kernel is asked for the port"


def test_after_a_kill_it_runs_again_with_its_journal(service: Machine) -> None:
    wait_until(lambda: _status(service)["account"]["accepted"], 20, "the device that is not there has a reading")
    before = _status(service)["account"]["accepted"]
    service.write("/run/oc-agent/journal/kept", "")
    service.run("systemctl", "kill", "--signal=KILL", "oc-agent")
    wait_until(lambda: service.shows("oc-agent", "NRestarts") == "1", 20, "it is started again")
    wait_until(lambda: service.shows("oc-agent", "ActiveState") == "active", 20, "it is ready again")
    account = _status(service)["account"]
    service.run("test", "-e", "/run/oc-agent/journal/kept")
    assert account["accepted"] >= before
    assert account["lost"] == {}


def test_a_reload_takes_over_the_file_or_says_why_not(service: Machine) -> None:
    main = service.shows("oc-agent", "MainPID")
    meter = CONFIG[CONFIG.index("[[device]]") :].replace("meter-1", "meter-2").replace("unit = 1", "unit = 2")
    service.write("/etc/oc-agent/agent.toml", CONFIG + meter, "640", "root:oc-agent")
    service.run("systemctl", "reload", "oc-agent")
    wait_until(lambda: len(_status(service)["links"][0]["devices"]) == 2, 20, "the second device is there")
    wait_until(lambda: service.shows("oc-agent", "ActiveState") == "active", 20, "it is ready again")
    assert service.shows("oc-agent", "StatusText") == "2 devices on 1 links"
    login = 'username = "gw"\npassword_file = "keys/gateway.key"\n[clock]'  # root's, 0600
    service.write("/etc/oc-agent/agent.toml", CONFIG.replace("[clock]", login), "640", "root:oc-agent")
    service.run("/opt/oc-agent/venv/bin/oc-agent", "check")  # root may read it
    service.run("systemctl", "reload", "oc-agent")
    error = "the service may not read /etc/oc-agent/keys/gateway.key"
    wait_until(lambda: any(error in e["MESSAGE"] and e["PRIORITY"] == "3" for e in _journal(service)), 20, "why not")
    wait_until(lambda: service.shows("oc-agent", "ActiveState") == "active", 20, "it runs on")
    assert len(_status(service)["links"][0]["devices"]) == 2
    assert service.shows("oc-agent", "MainPID") == main


def test_an_agent_that_hangs_is_ended_and_started_again(machine: Machine) -> None:
    machine.write("/etc/systemd/system/oc-agent.service.d/quick.conf", "[Service]\nWatchdogSec=5\n")
    machine.write("/etc/oc-agent/agent.toml", CONFIG, "640", "root:oc-agent")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "oc-agent")
    try:
        first = machine.shows("oc-agent", "MainPID")
        machine.run("kill", "-STOP", first)
        wait_until(lambda: machine.shows("oc-agent", "NRestarts") != "0", 60, "the watchdog bites")
        wait_until(lambda: machine.shows("oc-agent", "ActiveState") == "active", 20, "it is ready again")
        assert machine.shows("oc-agent", "MainPID") != first
        said = "\n".join(e["MESSAGE"] for e in _journal(machine))
        assert "Watchdog timeout" in said
        assert "Fatal Python error: Aborted" in said  # and where each thread was
    finally:
        machine.run("systemctl", "stop", "oc-agent")
        machine.run("rm", "-rf", "/etc/systemd/system/oc-agent.service.d")
        machine.run("systemctl", "daemon-reload")


def test_a_configuration_that_is_wrong_is_told_and_not_tried_again(machine: Machine) -> None:
    machine.write("/etc/oc-agent/agent.toml", CONFIG.replace("tls =", "tsl ="), "640", "root:oc-agent")
    machine.run("systemctl", "reset-failed", "oc-agent", check=False)
    machine.run("systemctl", "start", "oc-agent", check=False)
    wait_until(lambda: machine.shows("oc-agent", "ActiveState") == "failed", 20, "it has failed for good")
    assert machine.shows("oc-agent", "ExecMainStatus") == "78"
    assert machine.shows("oc-agent", "NRestarts") == "0"
    assert any("tsl" in e["MESSAGE"] and e["PRIORITY"] == "3" for e in _journal(machine))


def test_a_stop_is_clean_and_what_was_read_is_on_the_card(machine: Machine) -> None:
    machine.write("/etc/oc-agent/agent.toml", CONFIG, "640", "root:oc-agent")
    machine.run("systemctl", "reset-failed", "oc-agent", check=False)
    machine.run("systemctl", "start", "oc-agent")
    wait_until(lambda: _status(machine)["account"]["accepted"], 20, "a reading")
    machine.run("systemctl", "stop", "oc-agent")
    assert machine.shows("oc-agent", "Result") == "success"
    outbox = json.loads(machine.run("/opt/oc-agent/venv/bin/oc-agent", "outbox", "status", "--json"))
    assert outbox["undelivered"] >= 1
    assert outbox["account"]["lost"] == {}
