"""The agent as a process of its own, as systemd starts it; without broker and devices, which are elsewhere."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from processes import Popen, closed_port, python_module, started, wait_until

CONFIG = """\
[gateway]
id = "dng-hc-01"
data_dir = "data"
runtime_dir = "run"
[site]
oc = "oc-haichau"
[uplink]
host = "127.0.0.1"
port = {port}
tls = false
[clock]
hold_unsynced_s = 0
[outbox]
batch_interval_s = 0.1
[[link]]
name = "plc"
kind = "modbus"
transport = "tcp"
host = "127.0.0.1"
tcp_port = {port}
[[device]]
name = "meter-1"
link = "plc"
profile = "eastron/sdm120"
unit = 1
interval_s = 0.2
points = ["voltage"]
"""


class Systemd:
    """What systemd would see of the service."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self.states: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.setblocking(False)

    def has(self, state: str) -> bool:
        try:
            while True:
                self.states += self._socket.recv(4096).decode().split("\n")
        except BlockingIOError:
            return state in self.states

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    watcher = Systemd(tmp_path)
    yield watcher
    watcher.close()


@pytest.fixture(autouse=True)
def config(tmp_path: Path) -> Iterator[None]:
    """A configuration whose broker and device are not there."""
    with closed_port() as port:
        (tmp_path / "agent.toml").write_text(CONFIG.format(port=port), encoding="utf-8")
        yield


@contextmanager
def _agent(folder: Path, **environment: str) -> Iterator[Popen]:
    config = folder / "agent.toml"
    command = python_module("agent", "--lang", "en", "--config", config, "run")
    with started(command, folder / "log", env=os.environ | environment) as process:
        yield process


def _end(process: Popen, number: int = signal.SIGTERM) -> str:
    process.send_signal(number)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    return out


def test_systemd_hears_that_it_is_ready_alive_and_stopping(tmp_path: Path, systemd: Systemd) -> None:
    watch = {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "400000"}
    with _agent(tmp_path, **watch) as agent:
        wait_until(lambda: systemd.has("READY=1"), 10, "ready without a broker and without its device")
        wait_until(lambda: systemd.has("WATCHDOG=1"), 10, "the watchdog is patted")
        _end(agent)
    assert systemd.has("STOPPING=1")
    assert systemd.has("EXTEND_TIMEOUT_USEC=30000000")  # `drain_s`, and 25 s for the rest


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_without_a_broker_is_clean_and_loses_nothing(tmp_path: Path, systemd: Systemd, number: int) -> None:
    with _agent(tmp_path, NOTIFY_SOCKET=str(systemd.path)) as agent:
        wait_until(lambda: systemd.has("READY=1"), 10, "ready")
        wait_until(lambda: "link plc:" in (tmp_path / "log").read_text(encoding="utf-8"), 10, "the link is down")
        account = json.loads(_end(agent, number).splitlines()[-1])
    assert account["accepted"] == account["stored"] >= 1  # the device that is not there: one reading `com`
    assert account["delivered"] == 0
    assert account["lost"] == {}


def test_a_stop_while_another_process_holds_the_outbox_is_quick_and_loses_nothing(
    tmp_path: Path, systemd: Systemd
) -> None:
    with _agent(tmp_path, NOTIFY_SOCKET=str(systemd.path)) as agent:
        wait_until(lambda: systemd.has("READY=1"), 10, "ready")
        wait_until(lambda: "link plc:" in (tmp_path / "log").read_text(encoding="utf-8"), 10, "the link is down")
        with closing(sqlite3.connect(tmp_path / "data" / "outbox.db", isolation_level=None, timeout=10)) as other:
            other.execute("BEGIN IMMEDIATE")
            begun_s = time.monotonic()
            account = json.loads(_end(agent).splitlines()[-1])
            lasted_s = time.monotonic() - begun_s
    assert lasted_s < 10.0
    assert account["accepted"] == account["stored"] >= 1
    assert "another process holds it" in (tmp_path / "log").read_text(encoding="utf-8")
    assert list((tmp_path / "run" / "journal").glob("*.seg"))
    with _agent(tmp_path, NOTIFY_SOCKET=str(systemd.path)) as agent:
        systemd.states.clear()
        wait_until(lambda: systemd.has("READY=1"), 10, "ready again")
        again = json.loads(_end(agent).splitlines()[-1])
    assert again["accepted"] >= account["accepted"]
    assert again["lost"] == {}


def test_a_second_agent_on_the_same_data_is_refused_by_name(tmp_path: Path, systemd: Systemd) -> None:
    with _agent(tmp_path, NOTIFY_SOCKET=str(systemd.path)) as first:
        wait_until(lambda: systemd.has("READY=1"), 10, "ready")
        with _agent(tmp_path) as second:
            second.communicate(timeout=20)
            assert second.returncode == 1
        _end(first)
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert "another oc-agent uses" in log
    assert "Traceback" not in log


def test_sighup_reloads_as_systemd_wants_to_hear_it(tmp_path: Path, systemd: Systemd) -> None:
    with _agent(tmp_path, NOTIFY_SOCKET=str(systemd.path)) as agent:
        wait_until(lambda: systemd.has("READY=1"), 10, "ready")
        systemd.states.clear()
        before_us = time.monotonic_ns() // 1_000
        agent.send_signal(signal.SIGHUP)
        wait_until(lambda: systemd.has("READY=1"), 10, "ready again")
        states = [state for state in systemd.states if state != "WATCHDOG=1"]
        assert states[0] == "RELOADING=1"
        when_us = int(states[1].removeprefix("MONOTONIC_USEC="))
        assert before_us <= when_us <= time.monotonic_ns() // 1_000
        _end(agent)
    assert "reloaded: nothing has changed" in (tmp_path / "log").read_text(encoding="utf-8")


def test_under_journald_lines_carry_their_level_and_no_time(tmp_path: Path, systemd: Systemd) -> None:
    with _agent(tmp_path, NOTIFY_SOCKET=str(systemd.path), JOURNAL_STREAM=_journal(tmp_path)) as agent:
        wait_until(lambda: systemd.has("READY=1"), 10, "ready")
        wait_until(lambda: "<4>link plc" in (tmp_path / "log").read_text(encoding="utf-8"), 10, "a warning")
        _end(agent)
    lines = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert any(line.startswith("<6>oc-agent ") for line in lines)
    assert any(line.startswith("<4>") and "uplink.tls" in line for line in lines)
    assert all(line[:3] in {"<4>", "<6>"} for line in lines)


def _journal(folder: Path) -> str:
    """The log, as if journald read it: its device and inode."""
    (folder / "log").touch()
    found = (folder / "log").stat()
    return f"{found.st_dev}:{found.st_ino}"


def test_under_journald_what_is_wrong_with_the_configuration_is_a_warning_or_an_error(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text(CONFIG.format(port=1).replace("tls =", "tsl ="), encoding="utf-8")
    with _agent(tmp_path, JOURNAL_STREAM=_journal(tmp_path)) as agent:
        agent.communicate(timeout=20)
        assert agent.returncode == 78
    lines = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert len(lines) >= 3
    assert all(line.startswith("<3>") for line in lines)


def test_an_inherited_journal_stream_marks_nothing_for_people(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text("[", encoding="utf-8")
    with _agent(tmp_path, JOURNAL_STREAM="8:1") as agent:
        agent.communicate(timeout=20)
    assert "<" not in (tmp_path / "log").read_text(encoding="utf-8")


def test_a_file_that_is_no_outbox_is_set_aside_and_the_agent_runs(tmp_path: Path, systemd: Systemd) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "outbox.db").write_bytes(b"this was a memory card once" * 400)
    with _agent(tmp_path, NOTIFY_SOCKET=str(systemd.path)) as agent:
        wait_until(lambda: systemd.has("READY=1"), 10, "ready")
        _end(agent)
    assert list((tmp_path / "data").glob("outbox.db.corrupt-*"))


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file stands where the folder should be", encoding="utf-8")
    with _agent(tmp_path) as agent:
        agent.communicate(timeout=20)
        assert agent.returncode == 1
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert str(tmp_path / "data") in log
    assert "Traceback" not in log


def _outbox(folder: Path, *arguments: str) -> Any:
    """What `oc-agent outbox …` gives as JSON, as a process of its own."""
    command = python_module("agent", "--lang", "en", "--config", folder / "agent.toml", "outbox", *arguments, "--json")
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_outbox_of_a_running_agent_is_shown_verified_and_forgotten(tmp_path: Path, systemd: Systemd) -> None:
    with _agent(tmp_path, NOTIFY_SOCKET=str(systemd.path)) as agent:
        wait_until(lambda: systemd.has("READY=1"), 10, "ready")
        wait_until(lambda: _outbox(tmp_path, "show")["batches"], 20, "the first batch is on the card")
        status = _outbox(tmp_path, "status")
        account = status["account"]
        assert (status["source"], status["undelivered"] >= 1) == ("agent", True)
        assert account["accepted"] == account["stored"] >= 1
        assert _outbox(tmp_path, "verify")["ok"]
        batches = _outbox(tmp_path, "show", "--limit", "0")["batches"]
        readings = sum(batch["readings"] for batch in batches)
        given = _outbox(tmp_path, "forget", "--seq", f"1-{batches[-1]['seq']}", "--yes")["forgotten"]["batches"]
        assert (given["undelivered"], given["readings"]) == (len(batches), readings)
        assert _outbox(tmp_path, "status")["account"]["lost"] == {"forgotten": readings}
        assert _outbox(tmp_path, "verify")["ok"]
        account = json.loads(_end(agent).splitlines()[-1])
    assert account["lost"] == {"forgotten": readings}
    assert _outbox(tmp_path, "status")["source"] == "file"
    assert _outbox(tmp_path, "verify")["ok"]
