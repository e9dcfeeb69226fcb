"""A run is changed while it runs: over a real socket, in a real process, seen by a reader of Modbus."""

import json
import os
import socket
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from processes import Popen, python_module, ready_line, started, stop

from simulators.control.server import MAX_LINE_BYTES, control_socket
from simulators.control.tally import KEPT, Tally
from simulators.endpoints import CannotServe, free_port
from simulators.world import Exchange, Served

SITE = """
[[link]]
name = "plc"
kind = "modbus"
transport = "tcp"
host = "127.0.0.1"
tcp_port = {port}

[[device]]
name = "m1"
link = "plc"
unit = 1
profile = "test/meter"

[[device]]
name = "m2"
link = "plc"
unit = 2
profile = "test/meter"
"""
VALUES = "time_s,m1.temperature,m2.temperature\n0,21.5,-3\n"
READ_VOLTAGE = bytes((4, 0, 0, 0, 2))
READ_TEMPERATURE = bytes((4, 0, 4, 0, 1))
Ask = Callable[[socket.socket, int, bytes], bytes]


@dataclass
class Run:
    """A site that runs, its ready line, and a connection to each end of it."""

    process: Popen
    ready: dict[str, Any]
    control: Path
    modbus: socket.socket
    ask: Ask

    def tell(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = python_module("simulators", "tell", self.control, *words)
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    def order(self, line: bytes) -> dict[str, Any]:
        with talking(self.control) as sock:
            return said(sock, line)

    def voltage(self, unit: int = 1) -> float:
        answer = self.ask(self.modbus, unit, READ_VOLTAGE)
        return float(struct.unpack(">f", answer[2:])[0])

    def temperature(self, unit: int = 1) -> float:
        return int.from_bytes(self.ask(self.modbus, unit, READ_TEMPERATURE)[2:], "big", signed=True) / 10


def talking(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(10)
    sock.connect(str(path))
    return sock


def said(sock: socket.socket, line: bytes) -> dict[str, Any]:
    """The answer to a line, or to what was sent before where it is empty."""
    if line:
        sock.sendall(line + b"\n")
    data = b""
    while not data.endswith(b"\n"):
        piece = sock.recv(65_536)
        assert piece, "the connection was closed without an answer"
        data += piece
    return dict(json.loads(data))


@pytest.fixture
def config(tmp_path: Path, meter_file: Path) -> Path:
    file = tmp_path / "agent.toml"
    file.write_text(SITE.format(port=free_port()), encoding="utf-8")
    (tmp_path / "values.csv").write_text(VALUES, encoding="utf-8")
    return file


def _command(config: Path, *more: str) -> list[str]:
    control = config.with_name("control.sock")
    return python_module("simulators", "run", "--config", config, "--control", control, "--at", "12:00", *more)


@pytest.fixture
def run(config: Path, mbap_request: Ask) -> Iterator[Run]:
    more = ("--values", str(config.with_name("values.csv")), "--fault", "no_reply on=m2 from=3600")
    with started(_command(config, *more), config.with_name("log")) as process:
        ready = ready_line(process)
        host, port = ready["links"]["plc"].split(":")
        with socket.create_connection((host, int(port)), timeout=10) as modbus:
            yield Run(process, ready, Path(ready["control"]), modbus, mbap_request)
        assert stop(process) == ""
    assert config.with_name("log").read_text(encoding="utf-8") == ""


def test_a_reader_sees_what_was_set_and_what_the_script_says(run: Run, config: Path) -> None:
    assert run.ready["control"] == str(config.with_name("control.sock"))
    assert (run.ready["scripted"], run.ready["at"]) == (2, "12:00")
    assert (run.temperature(1), run.temperature(2)) == (21.5, -3)
    told = run.tell("set", "m1.voltage=231.5", "m1.temperature=40.04")
    assert (told.returncode, told.stdout) == (0, "m1.voltage = 231.5\nm1.temperature = 40.0\n")
    assert (run.voltage(1), run.temperature(1)) == (231.5, 40)
    assert run.voltage(2) != 231.5
    assert run.tell("release", "m1").stdout == "released 2\n"
    assert run.temperature(1) == 21.5
    assert run.voltage(1) != 231.5


def test_a_fault_begins_now_and_is_over_when_it_is_healed(run: Run) -> None:
    told = run.tell("fault", "exception on=m1 code=6", "for=3600")
    assert told.returncode == 0, told.stderr
    assert run.ask(run.modbus, 1, READ_VOLTAGE) == bytes((0x84, 6))
    assert run.ask(run.modbus, 2, READ_VOLTAGE)[0] == 4
    state = run.order(b'{"state":{}}')["state"]
    assert [(one["name"], one["on"], one["active"]) for one in state["faults"]] == [
        ("no_reply", "m2", False),
        ("exception", "m1", True),
    ]
    assert state["faults"][1]["code"] == 6
    assert run.tell("heal", "exception", "--on", "m1").stdout == "healed 1\n"
    assert run.ask(run.modbus, 1, READ_VOLTAGE)[0] == 4
    devices = run.order(b'{"state":{"device":"m1"}}')["state"]["devices"]
    assert devices.keys() == {"m1"}
    assert (devices["m1"]["requests"], devices["m1"]["faults"]) == (2, {"exception": 1})


def test_the_state_says_of_every_point_what_it_gives_and_who_says_so(run: Run) -> None:
    run.order(b'{"set":{"device":"m1","point":"mode","value":"manual"}}')
    device = run.order(b'{"state":{}}')["state"]["devices"]["m1"]
    assert device["link"] == "plc"
    assert device["points"]["mode"] == {"value": "manual", "unit": "1", "from": "set"}
    assert device["points"]["temperature"] == {"value": 21.5, "unit": "Cel", "from": "script"}
    assert device["points"]["voltage"]["from"] == "waveform"
    table = run.tell("state", "m1").stdout
    assert "m1 on plc: 0 requests" in table
    assert any(line.split() == ["temperature", "21.5", "Cel", "script"] for line in table.splitlines())
    assert "not now: no_reply on=m2 from_s=3600" in table
    again = json.loads(run.tell("state", "--json").stdout)["state"]["devices"]["m1"]
    assert again["points"].keys() == device["points"].keys()
    assert again["points"]["mode"] == device["points"]["mode"]


def test_served_gives_each_value_once(run: Run) -> None:
    run.order(b'{"set":{"device":"m1","point":"voltage","value":7}}')
    run.voltage()
    first = run.order(b'{"served":{}}')["served"]
    assert [(one["device"], one["point"], one["value"]) for one in first["values"]] == [("m1", "voltage", 7)]
    assert (first["next"], first["forgotten"]) == (1, 0)
    run.temperature(2)
    second = run.order(b'{"served":{"since":1}}')["served"]
    assert [(one["device"], one["value"]) for one in second["values"]] == [("m2", -3)]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"", None),
        (b"hello", "not JSON"),
        (b'\xff\xfe{"state":{}}', "not JSON"),
        (b"[]", "one order a line"),
        (b"{}", "one order a line"),
        (b'{"set":{},"state":{}}', "one order a line"),
        (b'{"stat":{}}', "did you mean state?"),
        (b'{"state":[]}', "state: Expected"),
        (b'{"state":{"device":"m3"}}', "write one of m1"),
        (b'{"set":{"device":"m1","point":"voltage"}}', "missing required field `value`"),
        (b'{"set":{"device":"m1","point":"voltage","value":null}}', "set: Expected"),
        (b'{"set":{"device":"m1","point":"voltage","value":1e400}}', "JSON"),
        (b'{"set":{"device":"m1","point":"voltage","value":1e39}}', "does not fit f32"),
        (b'{"set":{"device":"m1","point":"voltage","value":1,"for":5}}', "unknown field `for`"),
        (b'{"set":{"device":"m1","point":"volt","value":1}}', "did you mean voltage?"),
        (b'{"release":{"device":"m9"}}', "write one of m1"),
        (b'{"fault":{"name":"no_repl"}}', "did you mean no_reply?"),
        (b'{"fault":{"name":"no_reply","on":"m7"}}', "write one of m1, simulated"),
        (b'{"fault":{"name":"disk_full"}}', "cannot happen on"),
        (b'{"fault":{"name":"no_reply","for_s":"long"}}', "for_s: write a number"),
        (b'{"fault":"no_reply for"}', "key=value"),
        (b'{"fault":3}', "write its keys"),
        (b'{"fault":""}', "there is no fault"),
        (b'{"heal":{"name":"no_repl"}}', "did you mean no_reply?"),
        (b'{"heal":{"on":"simulate"}}', "did you mean simulated?"),
        (b'{"served":{"since":"x"}}', "served: Expected"),
        (b"[" * 60_000, "JSON"),
    ],
)
def test_a_bad_order_is_answered_with_what_to_write(line: bytes, why: str | None, shared_run: Run) -> None:
    """On one run for all of them: each finds it alive."""
    with talking(shared_run.control) as sock:
        if why is not None:
            assert why in said(sock, line)["error"]
        assert "devices" in said(sock, (line and b'{"state":{}}') or b'\n{"state":{}}')["state"]


@pytest.fixture(scope="module")
def shared_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("shared")
    control = folder / "control.sock"
    command = python_module("simulators", "device", "eastron/sdm120", "--name", "m1", "--control", control)
    with started(command, folder / "log") as process:
        ready_line(process)
        with socket.socket() as unused:
            yield Run(process, {}, control, unused, lambda *_: b"")
        stop(process)
    assert (folder / "log").read_text(encoding="utf-8") == ""


def test_a_line_without_end_costs_its_connection_and_nothing_else(shared_run: Run) -> None:
    with talking(shared_run.control) as quiet, talking(shared_run.control) as sock:
        sock.sendall(b"x" * (MAX_LINE_BYTES + 10))
        assert "a line has at most" in said(sock, b"")["error"]
        assert "state" in said(quiet, b'{"state":{}}')
    with talking(shared_run.control) as sock:
        sock.sendall(b'{"stat')
    assert "state" in shared_run.order(b'{"state":{}}')


def test_a_tester_who_takes_no_answers_holds_nobody_up(shared_run: Run) -> None:
    with talking(shared_run.control) as sock:
        sock.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                sock.send(b'{"state":{}}\n' * 100)
        assert "state" in shared_run.order(b'{"state":{}}')


def test_the_socket_is_for_its_user_only_and_goes_with_the_run(config: Path) -> None:
    path = config.with_name("control.sock")
    with started(_command(config), config.with_name("log")) as process:
        ready_line(process)
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
        with talking(path) as sock:
            said(sock, b'{"state":{}}')
            stop(process)
            assert sock.recv(1) == b""
    assert not path.exists()
    assert config.with_name("log").read_text(encoding="utf-8") == ""


async def test_a_socket_that_is_left_over_is_replaced_and_nothing_else_is(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    async with control_socket(path, lambda line: {"heard": line.decode()}):
        with pytest.raises(CannotServe, match="another oc-sim answers"):
            async with control_socket(path, lambda _line: {}):
                pass
    assert not path.exists()
    path.write_text("a file", encoding="utf-8")
    with pytest.raises(CannotServe, match="is no socket"):
        async with control_socket(path, lambda _line: {}):
            pass
    assert path.read_text(encoding="utf-8") == "a file"
    with pytest.raises(CannotServe, match="short path"):
        async with control_socket(tmp_path / ("long" * 40), lambda _line: {}):
            pass


def test_nobody_there_is_said_and_so_is_what_cannot_be_meant(tmp_path: Path) -> None:
    def tell(*words: str) -> tuple[int, str]:
        command = python_module("simulators", "tell", tmp_path / "none", *words)
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return done.returncode, done.stderr

    code, why = tell("state")
    assert code == 1
    assert f"--control {tmp_path / 'none'}" in why
    assert tell("set", "m1voltage=3") == (
        2, 'error: "m1voltage=3" is not understood: write device.point=value, like meter-1.voltage=231.5\n',
    )  # fmt: skip
    assert tell("heal", "late", "lost")[0] == 2


@pytest.mark.parametrize(
    ("more", "code", "why"),
    [
        (("--fault", "no_reply on=m3"), 78, "write one of m1, m2, plc"),
        (("--fault", "no_repl"), 2, "did you mean no_reply?"),
        (("--values", "{folder}/bad.csv"), 78, "bad.csv:2: m1.volt: "),
        (("--at", "25:00"), 2, "write it like 12:30"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_ready(
    more: tuple[str, ...], code: int, why: str, config: Path
) -> None:
    config.with_name("bad.csv").write_text("time_s,device,point,value\n0,m1,volt,1\n1,m1,voltage,x\n", encoding="utf-8")
    command = _command(config, *(word.format(folder=config.parent) for word in more))
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert why in done.stderr
    assert "Traceback" not in done.stderr
    if more[0] == "--values":
        assert "bad.csv:3: m1.voltage: " in done.stderr
    assert not os.path.lexists(config.with_name("control.sock"))


def test_served_values_that_are_forgotten_are_said_to_be() -> None:
    tally = Tally()
    tally.record(Served("d", "p", number, 0) for number in range(KEPT + 5))
    values, following, forgotten = tally.served(2, 10)
    assert [one.value for one in values] == list(range(5, 15))
    assert (following, forgotten) == (15, 3)
    assert tally.served(10**9, 10) == ([], KEPT + 5, 0)


def test_what_a_device_says_by_itself_is_no_request() -> None:
    tally = Tally()
    for request, faults in ((b"?", ("late", "lost")), (b"", ("late",))):
        tally.watch(Exchange("d", "l", request, faults, 0))
    count = tally.of("d")
    assert (count.requests, count.unasked, dict(count.faults)) == (1, 1, {"late": 2, "lost": 1})
    assert tally.of("other").requests == 0
