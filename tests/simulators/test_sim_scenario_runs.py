"""`oc-sim check` with real gateways: ours, and a tiny one of another maker that has a bug which a scenario catches."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import psutil
import pytest
from host_needs import lacking

CHECK = (sys.executable, "-m", "simulators", "check")
AGENT = (sys.executable, "-m", "agent", "--config", "{config}", "run")

OUTAGE = """\
[scenario]
name = "Everything for a moment"
seconds = 6
settle_s = 1
seed = 3

[[link]]
name = "bus"
kind = "modbus"
transport = "rtu-over-tcp"

[[link]]
name = "mast"
kind = "serial"
baud = 4800

[[device]]
name = "meter"
link = "bus"
unit = 1
profile = "xy/md02"
interval_s = 0.5

[[device]]
name = "wind"
link = "mast"
profile = "nmea/weather-station"
interval_s = 1.0

[agent.outbox]
batch_interval_s = 0.3

[[fault]]
name = "sigkill"
from_s = 2
for_s = 0.5

[[fault]]
name = "broker_kill"
from_s = 4
for_s = 1

[[fault]]
name = "wrong_crc"
on = "meter"
share = 0.05

[[expect]]
that = "nothing_missing"
[[expect]]
that = "account"
[[expect]]
that = "exit"
[[expect]]
that = "lost"
[[expect]]
that = "duplicates_recognised"
[[expect]]
that = "recovers"
on = "uplink"
within_s = 15
[[expect]]
that = "memory"
at_most_mb = 300
[[expect]]
that = "disk"
at_most_mb = 50
[[expect]]
that = "event"
name = "nothing.like_this"
at_most = 0
"""

OTHER = """\
[scenario]
name = "Another maker's gateway"
seconds = 3.5
settle_s = 0.5
seed = 5

[[link]]
name = "plc"
kind = "modbus"
transport = "tcp"

[[device]]
name = "meter"
link = "plc"
unit = 1
profile = "xy/md02"
interval_s = 0.2

[[file]]
path = "gateway.json"
text = '{"plc": "{address:plc}", "broker": {broker_port}, "topic": "plant/line 1", "bug": "BUG"}'

[arrives]
topic = "plant/{device}"
value = "/values/{point}"
time = "/ts"
[arrives.devices]
"line 1" = "meter"

[[fault]]
name = "exception"
on = "meter"
from_s = 1
for_s = 1.5

[[expect]]
that = "nothing_missing"
start_s = 0.3
close_s = 0.1
unsure_s = 0.3
edge_s = 0.3
[[expect]]
that = "nothing_wrong"
close_s = 0.5
[[set]]
at_s = 0.5
point = "meter.temperature"
value = -3.5
[[expect]]
that = "value"
device = "meter"
point = "temperature"
equals = -3.5
from_s = 0.8
[[expect]]
that = "interval"
device = "meter"
at_most_s = 1.0
to_s = 1
[[expect]]
that = "output"
text = "exception 4"
"""

GATEWAY = '''\
"""A gateway of 40 lines: Modbus TCP with a raw socket, JSON over MQTT. `bug`: it repeats what it read last, and loses two values of four."""
import json, signal, socket, struct, sys, time
import paho.mqtt.client as mqtt

told = json.load(open(sys.argv[1]))
host, _, port = told["plc"].rpartition(":")
running = True

def stop(*_):
    global running
    running = False

signal.signal(signal.SIGTERM, stop)
client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.connect("127.0.0.1", told["broker"])
client.loop_start()
plc = socket.create_connection((host, int(port)))
last, good = None, 0
while running:
    plc.sendall(struct.pack(">HHHBBHH", 1, 0, 6, 1, 4, 1, 2))
    head = plc.recv(8, socket.MSG_WAITALL)
    body = plc.recv(head[5] - 2, socket.MSG_WAITALL)
    if head[7] == 4:
        words = struct.unpack(">hH", body[1:])
        last, good = {"temperature": words[0] / 10, "humidity": words[1] / 10}, good + 1
    else:
        print("exception", body[0], file=sys.stderr, flush=True)
    if last and (head[7] == 4 or "repeats" in told["bug"]):
        message = {"ts": time.time_ns() // 1_000_000, "values": last}
        if "loses" not in told["bug"] or head[7] != 4 or good % 4 < 2:
            client.publish(told["topic"], json.dumps(message), qos=1)
    time.sleep(0.2)
time.sleep(0.3)
client.loop_stop()
'''


def check(
    folder: Path, text: str, *arguments: str, command: Sequence[str], env: Mapping[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    scenario = folder / "scenario.toml"
    scenario.write_text(text, encoding="utf-8")
    argv = (*CHECK, str(scenario), "--report", "json", "-", *arguments, "--", *command)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, env=os.environ | dict(env or {}))
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def verdicts(report: dict[str, Any]) -> dict[str, bool]:
    (scenario,) = report["scenarios"]
    return {one["that"]: one["passed"] for one in scenario["verdicts"]}


def test_our_agent_keeps_its_promises_through_kills_of_itself_and_of_the_broker(tmp_path: Path) -> None:
    code, report = check(tmp_path, OUTAGE, command=AGENT)
    (scenario,) = report["scenarios"]
    assert (code, scenario["outcome"]) == (0, "passed"), json.dumps(scenario, indent=1)
    assert scenario["done"]["sigkill"] == scenario["done"]["broker_kill"] == 1
    assert scenario["counts"]["values arrived"] > 50


def other(folder: Path, bug: str) -> tuple[str, Sequence[str]]:
    script = folder / "gateway.py"
    script.write_text(GATEWAY, encoding="utf-8")
    return OTHER.replace("BUG", bug), (sys.executable, str(script), "{folder}/gateway.json")


@pytest.mark.parametrize(("bug", "fails"), [("", set()), ("repeats and loses", {"nothing_wrong", "nothing_missing"})])
def test_another_gateway_passes_and_with_a_bug_it_fails_by_the_name_of_what_is_wrong(
    tmp_path: Path, bug: str, fails: set[str]
) -> None:
    text, command = other(tmp_path, bug)
    junit = tmp_path / "junit.xml"
    code, report = check(tmp_path, text, "--report", "junit", str(junit), command=command)
    found = verdicts(report)
    assert {that for that, passed in found.items() if not passed} == fails, json.dumps(report, indent=1)
    assert code == (1 if fails else 0)
    failures = Xml.fromstring(junit.read_bytes()).findall(".//failure")
    assert len(failures) == len(fails)


def test_a_gateway_that_ends_by_itself_fails_and_its_last_words_are_shown(tmp_path: Path) -> None:
    text, _ = other(tmp_path, "")
    code, report = check(tmp_path, text, command=(sys.executable, "-c", "print('no license'); raise SystemExit(3)"))
    (scenario,) = report["scenarios"]
    assert (code, verdicts(report)["runs"]) == (1, False)
    (runs,) = [one for one in scenario["verdicts"] if one["that"] == "runs"]
    assert runs["examples"][0].startswith("exit code 3 at ")
    assert scenario["output_tail"] == ["no license"]
    assert scenario["seconds"] < 4


def test_a_command_that_is_not_there_breaks_the_scenario_and_says_so(tmp_path: Path) -> None:
    code, report = check(tmp_path, other(tmp_path, "")[0], command=("no-such-gateway",))
    (scenario,) = report["scenarios"]
    assert (code, scenario["outcome"]) == (1, "broken")
    assert "no-such-gateway" in scenario["why"]


def test_a_value_that_a_point_cannot_have_breaks_the_scenario_before_the_gateway_starts(tmp_path: Path) -> None:
    text, command = other(tmp_path, "")
    code, report = check(tmp_path, text.replace("value = -3.5", 'value = "cold"'), command=command)
    (scenario,) = report["scenarios"]
    assert (code, scenario["outcome"], scenario["seconds"]) == (1, "broken", 0)
    assert "temperature" in scenario["why"]


HOST_FAULT = '[[fault]]\nname = "disk_full"\nfrom_s = 1\nfor_s = 1\n'


@pytest.mark.parametrize(("strict", "code"), [((), 0), (("--strict",), 1)])
def test_what_this_computer_cannot_do_is_skipped_by_name_and_is_a_failure_only_where_it_is_strict(
    tmp_path: Path, strict: tuple[str, ...], code: int
) -> None:
    text, command = other(tmp_path, "")
    env = {"PATH": str(tmp_path)}
    done, report = check(tmp_path, text + HOST_FAULT, *strict, command=command, env=env)
    (scenario,) = report["scenarios"]
    assert (done, scenario["outcome"]) == (code, "skipped")
    assert "unshare is missing" in scenario["why"]


@pytest.mark.soak
@pytest.mark.skipif(bool(lacking()), reason=lacking())
def test_a_full_disk_and_a_clock_that_jumps_are_survived_by_our_agent(tmp_path: Path) -> None:
    faults = HOST_FAULT + '[[fault]]\nname = "clock_jump"\nfrom_s = 3\nseconds = 3600\n'
    text = OUTAGE.replace("seconds = 6", "seconds = 5").replace('name = "sigkill"', 'name = "sigstop"')
    code, report = check(tmp_path, text + faults, command=AGENT)
    (scenario,) = report["scenarios"]
    assert (code, scenario["outcome"]) == (0, "passed"), json.dumps(scenario, indent=1)
    assert scenario["done"]["disk_full"] == scenario["done"]["clock_jump"] == 1


def test_a_scenario_that_cannot_be_understood_is_78_and_a_missing_command_is_2(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text('[scenario]\nname = "x"\n', encoding="utf-8")
    for argv, code, word in (
        ((str(file), "one-ded", "--", "true"), 78, "scenario.seconds: is missing"),
        ((str(file), "one-ded", "--", "true"), 78, 'there is no scenario "one-ded"'),
        ((str(file),), 2, "COMMAND"),
    ):
        done = subprocess.run((*CHECK, *argv), capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stdout) == (code, "")
        assert word in done.stderr
    listed = subprocess.run((*CHECK, "--list-faults"), capture_output=True, text=True, timeout=30)
    assert listed.returncode == 0
    assert "wrong_crc" in listed.stdout


def test_a_check_that_is_stopped_ends_everything_that_it_started(tmp_path: Path, wait_for: Any) -> None:
    scenario = tmp_path / "scenario.toml"
    scenario.write_text(OUTAGE.replace("seconds = 6", "seconds = 60"), encoding="utf-8")
    process = subprocess.Popen(
        (*CHECK, str(scenario), "--", *AGENT), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    try:
        children = wait_for(lambda: _children(process.pid, 3), 30.0)
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert not [one for one in children if one.is_running()]
    assert list(tmp_path.glob("oc-sim-*")) == []


def _children(pid: int, count: int) -> list[psutil.Process]:
    """All children of a process once there are so many: broker, IOC, gateway."""
    children = psutil.Process(pid).children(recursive=True)
    return children if len(children) >= count else []


DOING = """\
[scenario]
name = "Doing"
seconds = 2
settle_s = 0
arrive_s = 0
nothing_wrong = false
[[link]]
name = "plc"
kind = "modbus"
transport = "tcp"
[[device]]
name = "meter"
link = "plc"
unit = 1
profile = "xy/md02"
[[do]]
run = "echo before > {data}/before; sleep 60 & echo $! > {data}/left; test ! -e {data}/started"
[[do]]
at_s = 1
run = "echo \\"$OC_SIM_BROKER_PORT {broker_port}\\" > {data}/later; sleep 60"
[[expect]]
that = "output"
text = "^before$"
"""
WAITS = 'touch "$OC_SIM_DATA/started"; cat "$OC_SIM_DATA/before"; exec sleep 30'


@pytest.mark.parametrize(
    "on_host", [False, pytest.param(True, marks=pytest.mark.skipif(bool(lacking()), reason=lacking()))]
)
def test_what_is_to_be_done_is_done_before_the_start_and_at_its_time_and_ends_with_the_scenario(
    tmp_path: Path, on_host: bool, wait_for: Any
) -> None:
    """Beside the gateway: it sees the same files, and no signal for the gateway reaches it."""
    text = DOING + ('[[fault]]\nname = "read_only"\nfrom_s = 1.8\n' if on_host else "")
    kept = tmp_path / "kept"
    text = text.replace("{data}/left", f"{kept}").replace("{data}/later", f"{kept}-later")
    code, report = check(tmp_path, text, command=("sh", "-c", WAITS))
    assert code == 0, json.dumps(report, indent=1)
    assert len(set((tmp_path / "kept-later").read_text().split())) == 1
    left = int(kept.read_text())
    assert wait_for(lambda: not psutil.pid_exists(left), 5.0)


@pytest.mark.parametrize("at", ["", "at_s = 0.2\n"])
def test_what_cannot_be_done_breaks_the_scenario_and_says_why(tmp_path: Path, at: str) -> None:
    text = DOING + f"[[do]]\n{at}run = 'echo no such thing >&2; exit 4'\n"
    code, report = check(tmp_path, text, command=("sh", "-c", WAITS))
    (scenario,) = report["scenarios"]
    assert (code, scenario["outcome"]) == (1, "broken")
    assert "exit code 4: no such thing" in scenario["why"]


BROKEN_TRUST = """\
import os, socket, ssl, sys
context = ssl.create_default_context(cafile=os.environ["OC_SIM_CA_FILE"])
try:
    with socket.create_connection(("127.0.0.1", int(os.environ["OC_SIM_BROKER_PORT"]))) as plain:
        context.wrap_socket(plain, server_hostname="127.0.0.1").close()
    print("trusted")
except ssl.SSLCertVerificationError as err:
    print("refused:", err.verify_message)
"""


@pytest.mark.parametrize(
    ("tls", "said"),
    [
        ("good", "^trusted"),
        ("wrong_ca", "refused: .*issuer"),
        ("wrong_name", "refused: .*mismatch"),
        ("expired", "refused: .*has expired"),
        ("not_yet_valid", "refused: .*not yet valid"),
    ],
)
def test_a_broker_shows_the_certificate_that_the_scenario_wants(tmp_path: Path, tls: str, said: str) -> None:
    text = DOING.partition("[[do]]")[0].replace("seconds = 2", "seconds = 2\nruns = false")
    text += f'[broker]\ntls = "{tls}"\n[[expect]]\nthat = "output"\ntext = "{said}"\n'
    code, report = check(tmp_path, text, command=(sys.executable, "-c", BROKEN_TRUST))
    assert code == 0, json.dumps(report, indent=1)


def test_several_scenarios_run_at_once_and_are_reported_in_their_order(tmp_path: Path) -> None:
    text = DOING.partition("[[do]]")[0]
    names = ["long", "short", "middle"]
    for name, seconds in zip(names, (6, 2, 4), strict=True):
        (tmp_path / f"{name}.toml").write_text(text.replace("seconds = 2", f"seconds = {seconds}"), encoding="utf-8")
    argv = (*CHECK, *(f"{tmp_path}/{name}.toml" for name in names), "--jobs", "3", "--report", "json", "-")
    done = subprocess.run((*argv, "--", "sleep", "60"), capture_output=True, text=True, timeout=100)
    found = json.loads(done.stdout)["scenarios"]
    assert (done.returncode, [Path(one["file"]).stem for one in found]) == (0, names), done.stderr
    starts = [line for line in done.stderr.splitlines() if line.endswith(tuple(names))]
    assert [line.split()[-1] for line in starts] == ["long", "middle", "short"]
    assert done.stderr.index("short") < done.stderr.index("long: passed")


def test_a_gateway_that_is_told_to_end_and_started_again_is_not_taken_for_one_that_died(tmp_path: Path) -> None:
    text = DOING.partition("[[do]]")[0] + '[[fault]]\nname = "sigterm"\nfrom_s = 0.5\nfor_s = 0.5\n'
    text += '[[expect]]\nthat = "output"\ntext = "^up$"\nat_least = 2\nat_most = 2\n'
    code, report = check(tmp_path, text, command=("sh", "-c", "trap 'exit 0' TERM; echo up; sleep 30 & wait"))
    assert code == 0, json.dumps(report, indent=1)
