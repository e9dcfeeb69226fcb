"""`oc-sim demo` balances its account, and leaves nothing behind when it is stopped."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

DEMO = (sys.executable, "-m", "simulators", "demo")


@pytest.mark.soak
@pytest.mark.parametrize("broker", [(), ("--embedded",)], ids=["mosquitto", "embedded"])
def test_the_demo_reads_delivers_and_loses_nothing(broker: tuple[str, ...]) -> None:
    done = subprocess.run((*DEMO, "--seconds", "12", "--json", *broker), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    account = json.loads(done.stdout)
    assert account["read"] == account["delivered"] == account["at_ioc"] > 100
    assert (account["lost"], account["wrong"], account["changed"]) == (0, 0, 0)


def test_a_demo_that_is_stopped_ends_everything_that_it_started(tmp_path: Path, wait_for: Any) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        (*DEMO, "--seconds", "60"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    )
    try:
        started = wait_for(lambda: _children(process.pid, 4), 30.0)
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, b"")
    assert not [one for one in started if one.is_running()]
    assert list(tmp_path.iterdir()) == []


def _children(pid: int, count: int) -> list[psutil.Process]:
    """All children of a process once there are so many: broker, IOC, devices, agent."""
    children = psutil.Process(pid).children(recursive=True)
    return children if len(children) >= count else []
