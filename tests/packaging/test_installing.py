"""The bundle on a booted Debian without network: install, start, kill, reboot, upgrade and back, interruption, uninstall."""

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from booted_systemd import Disk, Machine, lacking
from bundles import altered, built_wheel, bundled, debian_python, unpacked
from processes import wait_until

WHY_NOT = lacking() or ("" if debian_python() else "Debian's python3 is missing or older than 3.11")
pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=f"no systemd can be booted: {WHY_NOT}")

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
RUN = """\
'''Run.'''
import os, threading
from agent.cli.run_as_before import add_arguments, main as as_before
def main(args):
    threading.Timer(DELAY, os._exit, [3]).start()
    return as_before(args)
"""
REFUSING = """\
'''Check.'''
from agent.configuration import ConfigError
from drivers.tomlfile import Problem
def add_arguments(parser):
    parser.add_argument("--json", action="store_true")
def main(args):
    raise ConfigError([Problem(file="agent.toml", line=1, key="gateway", what="is not what it was", fix="mend it")])
"""
QUICK = ("--ready-within", "20", "--steady-for", "0")


class Stick:
    """A USB stick with the bundles of several versions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "stick"
        self._folder = folder
        self._wheel = built_wheel(folder)
        self.first = self._add(self._wheel)

    def version(self, version: str, files: dict[str, str] | None = None) -> str:
        """The installer of this wheel as another version, with other files."""
        return self._add(altered(self._wheel, self._folder, version, files or {}))

    def that_ends(self, version: str, after_s: float, **more: str) -> str:
        """One whose `run` ends by itself."""
        run = "agent/cli/run.py"
        as_before = subprocess.run(["unzip", "-p", str(self._wheel), run], capture_output=True, text=True, check=True)
        files = {run: RUN.replace("DELAY", str(after_s)), "agent/cli/run_as_before.py": as_before.stdout}
        return self.version(version, files | more)

    def _add(self, wheel: Path) -> str:
        return f"/mnt/{unpacked(bundled(wheel, self._folder), self.folder).name}/install.sh"


@pytest.fixture(scope="module")
def stick(tmp_path_factory: pytest.TempPathFactory) -> Stick:
    return Stick(tmp_path_factory.mktemp("bundles"))


class Gateway:
    """A machine with the stick in it, on a disk that outlives a power cut."""

    def __init__(self, folder: Path, stick: Stick) -> None:
        folder.mkdir()
        self._folder, self._stick = folder, stick
        self.disk = Disk(folder)
        self.machine = Machine(folder, self.disk, {stick.folder: "mnt"})

    def reboot(self) -> None:
        """The power is cut, and comes back."""
        self.machine.run("sh", "-c", "rm -f /etc/systemd/system/multi-user.target.wants/[!o]*")  # not ours to start
        self.machine.close()
        self.machine = Machine(self._folder, self.disk, {self._stick.folder: "mnt"}, "multi-user.target")

    def close(self) -> None:
        self.machine.close()
        self.disk.close()

    def installs(self, installer: str, *options: str, code: int = 0) -> str:
        """What an installer says; it must end with `code`."""
        done = self.machine.done(installer, *options)
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        return said

    def configured(self) -> None:
        self.machine.write("/etc/oc-agent/agent.toml", CONFIG, "640", "root:oc-agent")

    def has_version(self, version: str) -> None:
        """It is the one in use, it runs, and nothing of an installation is left over."""
        try:
            wait_until(lambda: self.machine.shows("oc-agent", "ActiveState") == "active", 20, "the service runs")
        except AssertionError as err:
            why = self.machine.run("sh", "-c", "systemctl status oc-agent; journalctl -n 40 --no-pager", check=False)
            raise AssertionError(f"{err}\n{why}") from err
        assert self.machine.run("oc-agent", "--version").split() == ["oc-agent", version]
        pid = self.machine.shows("oc-agent", "MainPID")
        assert f"/versions/{version}-" in self.machine.run("cat", f"/proc/{pid}/cmdline")
        assert self.machine.shows("oc-agent", "RuntimeDirectoryPreserve") == "restart"
        assert not re.search(r"trial|\.new", self.machine.run("ls", "/opt/oc-agent"))
        assert "before-upgrade" not in self.machine.run("ls", "/var/lib/oc-agent")

    def outbox(self) -> dict[str, Any]:
        return dict(json.loads(self.machine.run("oc-agent", "outbox", "status", "--json")))

    def accepted(self) -> int:
        return int(self.outbox()["account"]["accepted"])


@pytest.fixture
def bare(tmp_path: Path, stick: Stick) -> Iterator[Gateway]:
    """Nothing of oc-agent is there."""
    gateway = Gateway(tmp_path / "machine", stick)
    yield gateway
    gateway.close()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, stick: Stick) -> Iterator[Gateway]:
    """The first version is installed, configured and runs."""
    gateway = Gateway(tmp_path_factory.mktemp("kept") / "machine", stick)
    try:
        gateway.installs(stick.first)
        gateway.configured()
        gateway.installs(stick.first, *QUICK)
        yield gateway
    finally:
        gateway.close()


@pytest.fixture
def gateway(kept: Gateway) -> Iterator[Gateway]:
    """The same, after a while of reading; each test ends with the first version in use."""
    kept.has_version("0.1.0")
    wait_until(kept.accepted, 20, "a reading")
    yield kept
    kept.has_version("0.1.0")


def test_a_bare_machine_without_network_gets_it_keeps_what_is_yours_and_gives_everything_back(
    bare: Gateway, stick: Stick
) -> None:
    machine = bare.machine
    assert [line.split(":")[1].strip() for line in machine.run("ip", "-o", "link").splitlines()] == ["lo"]
    assert "sudo oc-agent init" in bare.installs(stick.first)
    assert machine.shows("oc-agent", "ActiveState") == "inactive"
    assert machine.run("systemctl", "is-enabled", "oc-agent").strip() == "enabled"
    assert "_oc_agent oc-agent" in machine.run("sh", "-c", "cat /usr/local/share/bash-completion/*/oc-agent")
    assert "[[device]]" in machine.run("cat", "/etc/oc-agent/agent.example.toml")
    machine.run("touch", "/run/then")
    assert "đã được cài từ trước" in bare.installs(stick.first, "--lang", "vi")
    places = ("/opt/oc-agent/versions", "/etc", "/usr/lib", "/usr/local", "/var/lib/oc-agent")
    assert machine.run("find", *places, "-newer", "/run/then", "-type", "f", check=False) == ""
    bare.configured()
    bare.installs(stick.first, *QUICK)
    bare.has_version("0.1.0")
    before, installed = (
        wait_until(lambda: bare.accepted() and bare.outbox(), 20, "a reading"),
        "/opt/oc-agent/install.sh",
    )
    said = bare.installs(installed, "--uninstall", "--purge", code=1)
    assert re.search(r"not delivered yet: [1-9]", said)
    assert "--purge --yes" in said
    bare.has_version("0.1.0")
    assert re.search(r"not delivered yet: [1-9]", bare.installs(installed, "--uninstall"))
    assert machine.run("cat", "/etc/oc-agent/agent.toml") == CONFIG
    assert _left(machine) == ["/etc/oc-agent", "/var/lib/oc-agent"]
    bare.installs(stick.first, *QUICK)
    bare.has_version("0.1.0")
    _goes_on(bare, before)
    bare.installs(installed, "--uninstall", "--purge", "--yes")
    assert _left(machine) == []
    assert machine.done("id", "oc-agent").returncode


def _left(machine: Machine) -> list[str]:
    find = "find /etc /opt /usr /var /run -xdev -name '*oc-agent*' -not -name '*.lock' -prune"
    return [path for path in machine.run("sh", "-c", find).split() if not path.startswith("/run/systemd/")]


def _goes_on(gateway: Gateway, before: dict[str, Any]) -> None:
    """It is the same outbox, and nothing is lost."""
    after = gateway.outbox()
    assert after["epoch"] == before["epoch"]
    assert after["account"]["accepted"] >= before["account"]["accepted"]
    assert after["account"]["lost"] == {}


def test_killed_it_runs_again(gateway: Gateway) -> None:
    before = gateway.outbox()
    gateway.machine.run("systemctl", "kill", "--signal=KILL", "oc-agent")
    wait_until(lambda: gateway.machine.shows("oc-agent", "NRestarts") == "1", 20, "it is started again")
    gateway.has_version("0.1.0")
    _goes_on(gateway, before)


@pytest.mark.soak
def test_hung_it_is_ended_and_runs_again(gateway: Gateway) -> None:
    machine = gateway.machine
    before, first = gateway.outbox(), machine.shows("oc-agent", "MainPID")
    machine.run("kill", "-STOP", first)
    wait_until(lambda: machine.shows("oc-agent", "MainPID") not in {first, "0"}, 120, "the watchdog bites")
    gateway.has_version("0.1.0")
    _goes_on(gateway, before)


def test_an_upgrade_cut_off_by_a_power_cut_goes_on_and_can_be_taken_back(gateway: Gateway, stick: Stick) -> None:
    before = gateway.outbox()
    installer = stick.version("0.2.0")
    _killed(gateway, installer, lambda: "trial" in gateway.machine.run("ls", "/opt/oc-agent"))
    gateway.reboot()
    wait_until(lambda: gateway.machine.shows("oc-agent", "ActiveState") == "active", 20, "it has started by itself")
    assert "oc-agent 0.2.0 is installed" in gateway.installs(installer, *QUICK)
    gateway.has_version("0.2.0")
    assert gateway.machine.run("cat", "/etc/oc-agent/agent.toml") == CONFIG
    assert gateway.outbox()["epoch"] == before["epoch"]
    gateway.installs("/opt/oc-agent/install.sh", "--rollback", *QUICK)
    gateway.has_version("0.1.0")


def _killed(gateway: Gateway, installer: str, when: Callable[[], Any]) -> None:
    """kill -9 to the installer and all that it has started, as soon as `when`."""
    gateway.machine.run("systemd-run", "--quiet", "--unit=installer", "--collect", installer, *QUICK)
    wait_until(when, 30, "that far")
    gateway.machine.run("systemctl", "kill", "--signal=KILL", "installer", check=False)
    wait_until(lambda: gateway.machine.shows("installer", "ActiveState") != "active", 10, "it has ended")


def test_a_version_that_does_not_run_is_taken_back(gateway: Gateway, stick: Stick) -> None:
    before = gateway.outbox()
    gateway.machine.write("/run/oc-agent/journal/kept", "")
    said = gateway.installs(stick.that_ends("0.3.0", 0), "--lang", "vi", *QUICK, code=1)
    assert "đã quay về bản 0.1.0" in said
    assert "journalctl -u oc-agent" in said
    gateway.has_version("0.1.0")
    assert "0.3.0" not in gateway.machine.run("ls", "/opt/oc-agent/versions")
    gateway.machine.run("test", "-e", "/run/oc-agent/journal/kept")  # what is read and not on the card yet outlives it
    _goes_on(gateway, before)


def test_a_version_that_refuses_the_configuration_never_comes_into_use(gateway: Gateway, stick: Stick) -> None:
    pid = gateway.machine.shows("oc-agent", "MainPID")
    said = gateway.installs(stick.version("0.4.0", {"agent/cli/check.py": REFUSING}), code=78)
    assert "is not what it was" in said
    assert gateway.machine.shows("oc-agent", "MainPID") == pid
    assert "0.4.0" not in gateway.machine.run("ls", "/opt/oc-agent/versions")


@pytest.mark.soak
def test_an_outbox_that_a_version_has_changed_before_it_failed_is_given_back(gateway: Gateway, stick: Stick) -> None:
    before = gateway.outbox()
    migration = {"agent/store/migrations/9999_later.sql": "CREATE TABLE later (x);"}
    said = gateway.installs(stick.that_ends("0.5.0", 1.5, **migration), *QUICK, "--steady-for", "3", code=1)
    (newer,) = re.findall(r"/var/lib/oc-agent/outbox\.db\.newer-\d+", said)
    gateway.machine.run("test", "-s", newer)
    gateway.has_version("0.1.0")
    wait_until(lambda: gateway.outbox()["salvages"] == [], 30, "what was undelivered is brought over")
    after = gateway.outbox()
    assert after["epoch"] != before["epoch"]
    assert after["account"]["stored"] >= before["account"]["stored"]
    assert after["account"]["lost"] == {}


@pytest.mark.soak
def test_keys_that_only_the_running_service_has_do_not_keep_it_from_starting(gateway: Gateway, stick: Stick) -> None:
    machine, drop_in = gateway.machine, "/etc/systemd/system/oc-agent.service.d/keys.conf"
    secret = 'tls = false\nusername = "u"\npassword_file = "/run/credentials/oc-agent.service/mqtt.password"\n'
    machine.write("/etc/oc-agent/keys/mqtt.password", "secret", "600")
    machine.write(drop_in, "[Service]\nLoadCredential=mqtt.password:/etc/oc-agent/keys/mqtt.password\n")
    machine.write("/etc/oc-agent/agent.toml", CONFIG.replace("tls = false\n", secret), "640", "root:oc-agent")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "stop", "oc-agent")
    gateway.installs(stick.version("0.9.0"), *QUICK)
    gateway.has_version("0.9.0")
    machine.run("rm", drop_in)
    gateway.configured()
    gateway.installs(stick.first, *QUICK)


@pytest.mark.soak
def test_forth_and_back_and_forth_nothing_is_lost(gateway: Gateway, stick: Stick) -> None:
    before = gateway.outbox()
    gateway.installs(stick.version("0.6.0"), *QUICK)
    for version in ("0.1.0", "0.6.0", "0.1.0"):
        gateway.installs("/opt/oc-agent/install.sh", "--rollback", *QUICK)
        gateway.has_version(version)
        _goes_on(gateway, before)


@pytest.mark.soak
def test_an_upgrade_killed_on_trial_can_be_taken_back(gateway: Gateway, stick: Stick) -> None:
    before = gateway.outbox()
    _killed(gateway, stick.version("0.7.0"), lambda: "trial" in gateway.machine.run("ls", "/opt/oc-agent"))
    assert "0.1.0" in gateway.installs("/opt/oc-agent/install.sh", "--rollback", *QUICK)
    gateway.has_version("0.1.0")
    _goes_on(gateway, before)


@pytest.mark.soak
@pytest.mark.parametrize("step", range(24))
def test_killed_at_any_moment_and_run_again_it_is_whole(gateway: Gateway, stick: Stick, step: int) -> None:
    end = time.monotonic() + 0.25 * step
    installer = stick.version("0.8.0")
    _killed(gateway, installer, lambda: time.monotonic() >= end)
    if step % 2:
        gateway.reboot()
    gateway.installs(installer, *QUICK)
    gateway.has_version("0.8.0")
    gateway.installs(stick.first, *QUICK)
