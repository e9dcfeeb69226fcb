"""`oc-sim run --scenario`: the devices of a scenario, with its faults and values, for a gateway that runs elsewhere."""

import socket
import struct
import subprocess
from pathlib import Path
from typing import Any

from processes import python_module, ready_line, started, stop, wait_until

SCENARIO = """
[scenario]
name = "A test"
seconds = 60
seed = 5
[[link]]
name = "plc"
kind = "modbus"
transport = "tcp"
[[device]]
name = "meter"
link = "plc"
unit = 1
profile = "eastron/sdm120"
[[fault]]
name = "exception"
on = "meter"
from_s = 0
for_s = 1
[[fault]]
name = "sigkill"
on = "host"
from_s = 5
for_s = 1
[[set]]
at_s = 0.5
point = "meter.voltage"
value = 231.5
[[expect]]
that = "exit"
"""


def ask(ready: dict[str, Any]) -> bytes:
    host, _, port = ready["links"]["plc"].rpartition(":")
    with socket.create_connection((host, int(port)), 5) as sock:
        sock.sendall(bytes.fromhex("000100000006010400000002"))
        return sock.recv(100)[7:]


def test_the_devices_of_a_scenario_stand_up_with_their_faults_and_values(tmp_path: Path) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text(SCENARIO, encoding="utf-8")
    with started(python_module("simulators", "run", "--scenario", file), tmp_path / "log") as simulator:
        ready = ready_line(simulator)
        assert (ready["scenario"], ready["devices"], ready["seed"]) == ("A test", ["meter"], 5)
        assert ready["left_out"] == ["sigkill on host"]
        assert ask(ready) == bytes.fromhex("8404")
        answer = wait_until(lambda: found if (found := ask(ready))[0] == 4 else b"", 10, "the fault is over")
        assert struct.unpack(">f", answer[2:]) == (231.5,)
        stop(simulator)


def test_a_scenario_that_cannot_be_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "scenario.toml"
    file.write_text(SCENARIO.replace('"exception"', '"unplugg"'), encoding="utf-8")
    done = subprocess.run(
        python_module("simulators", "run", "--scenario", file), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 78
    assert f"{file}:16: " in done.stderr
    assert "unplug" in done.stderr
