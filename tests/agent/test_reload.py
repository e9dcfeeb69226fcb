"""A reload of the real agent, with simulated devices, a real broker and the reference IOC.

Every device counts: the register that is read says how often it was asked. So a reading that is missing at the IOC, or
there twice, is seen.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from processes import Popen, closed_port, python_module, started, stop, wait_until

from simulators.testing import BenchBroker, BenchIoc, MakeModbusDevice, ModbusDevice

HEAD = """\
[gateway]
id = "dng-hc-01"
data_dir = "data"
runtime_dir = "{run}"
[site]
oc = "oc-haichau"
[uplink]
host = "127.0.0.1"
port = {port}
tls = false
connect_timeout_s = 1
[clock]
hold_unsynced_s = 0
[outbox]
batch_interval_s = 0.2
"""
PATIENCE_S = 3
AGENT = f"""\
import agent.reload
agent.reload.COMES_BACK_S = {PATIENCE_S}
from agent.cli import main
main()
"""


class Gateway:
    """The agent as a process, its configuration, and what it says."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.config = folder / "agent.toml"
        self.run = Path(tempfile.mkdtemp(prefix="oc-reload-", dir="/dev/shm"))
        self.port = port

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8")

    def write(self, *tables: str, port: int | None = None, more: str = "") -> None:
        head = HEAD.format(run=self.run, port=port or self.port)
        self.config.write_text(head + more + "".join(tables), encoding="utf-8")

    @contextmanager
    def running(self, **environment: str) -> Iterator[Popen]:
        command = [sys.executable, "-c", AGENT, "--lang", "en", "--config", str(self.config), "run"]
        with started(command, self.folder / "log", env=os.environ | environment) as process:
            wait_until(lambda: (self.run / "control.sock").exists(), 20, "the agent runs")
            yield process

    def ask(self, verb: str, *, code: int = 0) -> Any:
        done = self.asked(verb, "--json")
        assert done.returncode == code, (done.stdout, done.stderr)
        return json.loads(done.stdout)

    def asked(self, verb: str, *more: str) -> "subprocess.CompletedProcess[str]":
        command = python_module("agent", "--lang", "en", "--config", self.config, verb, *more)
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def connected(self) -> None:
        wait_until(lambda: self.ask("status")["uplink"]["connected"], 20, "connected")


@pytest.fixture
def gateway(tmp_path: Path, broker: BenchBroker) -> Iterator[Gateway]:
    made = Gateway(tmp_path, broker.port)
    yield made
    for path in sorted(made.run.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    made.run.rmdir()


def counter(modbus_device: MakeModbusDevice, name: str, **more: Any) -> ModbusDevice:
    """A meter; what it served is known to the bit."""
    return modbus_device("eastron/sdm120", name=name, **more)


def table(device: ModbusDevice, interval_s: float = 0.2) -> str:
    return device.toml(interval_s=interval_s, points=["voltage"])


def check_all_arrived(device: ModbusDevice, ioc: BenchIoc, name: str) -> None:
    """The IOC has each value that the device served, as often as it was served, and in that order."""
    served = [one.value for one in device.served if one.point == "voltage"]
    arrived = [one.value for one in ioc.readings(name, "voltage")]
    assert arrived == served


def end(agent: Popen) -> Any:
    account = json.loads(stop(agent).splitlines()[-1])
    assert account["lost"] == {}
    assert account["accepted"] == account["delivered"] + account["stored"]
    return account
