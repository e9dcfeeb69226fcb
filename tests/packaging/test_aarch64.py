"""The agent as a Raspberry Pi runs it, correct in everything but speed: the aarch64 bundle on an emulated Debian.

Devices, broker, proxy and IOC run on the machine itself, and so do those who compare. `tests/support/emulated.py`.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from bundles import ROOT, built_wheel, unpacked
from emulated import Emulated, debian, emulated, lacking
from processes import wait_until
from running_agent import OC_AGENT, RunningAgent, running_agent

from simulators.testing import SimulatedDevice

pytestmark = pytest.mark.soak

AGENT = "/opt/oc-agent/venv/bin/oc-agent"
PACKAGES = ("python3", "systemd")
PURE = (
    "drivers/modbus/test_modbus_captures.py drivers/modbus/test_modbus_codec.py drivers/modbus/test_modbus_decoder.py"
    " drivers/modbus/test_modbus_framing.py drivers/serial/test_serial_captures.py drivers/camera/test_camera_captures.py"
    " drivers/test_timerfd.py agent/store/test_store_journal.py agent/store/test_store_bundles.py"
    " agent/store/test_store_rows.py agent/store/test_store_sealing.py agent/test_clock_and_health.py"
)
"""Where a byte order, a size, a constant of the kernel or a float could be another one."""
TOOLS = [
    "attrs",
    "hypothesis",
    "iniconfig",
    "jsonschema",
    "jsonschema-specifications",
    "packaging",
    "pillow",
    "pluggy",
    "pygments",
    "pytest",
    "pytest-asyncio",
    "referencing",
    "rpds-py",
    "sortedcontainers",
    "typing-extensions",
]
SCENARIO = Path(__file__).with_name("aarch64.toml")
CHECK_S = 600


@pytest.fixture(scope="module")
def pi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    """A Debian of aarch64 on which the installer of the bundle has run."""
    if why := lacking():
        pytest.skip(why)
    shared = tmp_path_factory.mktemp("shared")
    files = debian(ROOT / "build" / "emulated", *PACKAGES)
    top = unpacked(bundled_for_aarch64(shared), shared)
    with emulated(files, tmp_path_factory.mktemp("emulated") / "work", shared) as machine:
        assert machine.run("uname", "-m") == "aarch64\n"
        machine.run(str(top / "install.sh"), "--image", "--lang", "en")
        yield machine


def bundled_for_aarch64(folder: Path) -> Path:
    """The bundle, as `make bundle` makes it."""
    made = [sys.executable, str(ROOT / "packaging" / "bundle.py"), "aarch64", "--out", str(folder)]
    done = subprocess.run([*made, "--wheel", str(built_wheel(folder))], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.splitlines()[0])


def test_nothing_is_wrong_or_missing_after_a_cut_and_a_kill(pi: Emulated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(pi.shared))
    found = pi.shared / "report.json"
    check = [sys.executable, "-m", "simulators", "check", "--report", "json", str(found), "--strict", str(SCENARIO)]
    command = [*check, "--", *pi.command(AGENT, "--config", "{config}", "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=CHECK_S)
    (report,) = json.loads(found.read_bytes())["scenarios"]
    assert done.returncode == 0, json.dumps(report, indent=1)
    assert report["outcome"] == "passed"


def test_what_one_architecture_has_written_the_other_reads_and_goes_on_with(
    pi: Emulated, modbus_device: Callable[..., SimulatedDevice]
) -> None:
    """Journal and outbox: each is killed, and the other takes over all that it had."""
    folder = pi.shared / "gateway"
    folder.mkdir()
    meter, there = modbus_device("eastron/sdm120", name="meter-1"), pi.command(AGENT)
    accepted = 0
    for number, program in enumerate((there, OC_AGENT, there, OC_AGENT)):
        with running_agent(folder, meter, program=program, interval_s=1.0) as agent:
            assert count(agent) >= accepted
            accepted = wait_until(partial(more_than, agent, accepted + 40), 30, "readings")
            if number == 3:
                account = agent.stop()
            else:
                agent.process.kill()
    assert account["lost"] == {}
    assert account["accepted"] == account["stored"] >= accepted
    files = [outbox(program, folder, "export", "--format", "jsonl") for program in (there, OC_AGENT)]
    assert files[0] == files[1]
    assert files[0].count("\n") == account["accepted"]
    assert outbox(there, folder, "verify", "--json") == outbox(OC_AGENT, folder, "verify", "--json")


def more_than(agent: RunningAgent, few: int) -> int:
    """How many there are; 0 where they are not more."""
    return found if (found := count(agent)) > few else 0


def test_what_depends_on_the_processor_is_as_it_is_here(pi: Emulated) -> None:
    tools, tests = pi.shared / "tools", pi.shared / "tests"
    install_for_aarch64(TOOLS, tools)
    for name in ("tests", "docs"):
        shutil.copytree(ROOT / name, pi.shared / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", pi.shared)
    environment = f"PYTHONPATH={tools} PYTHONSAFEPATH=1 OC_TEST_INSTALLED=1"
    command = f"{Path(AGENT).with_name('python')} -m pytest -q -c ../pyproject.toml --rootdir=.. {PURE}"
    last = pi.run("sh", "-euc", f"cd {tests}; {environment} {command}").splitlines()[-1]
    assert re.match(r"[1-9]\d* passed", last)


def install_for_aarch64(names: Sequence[str], folder: Path) -> None:
    """Packages of the lock, with their hashes, for the Python of the emulated Debian."""
    entries = re.split(r"^(?=\S)", (ROOT / "requirements.lock").read_text(encoding="utf-8"), flags=re.MULTILINE)
    wanted = folder.with_suffix(".txt")
    wanted.write_text("".join(entry for entry in entries if entry.partition("==")[0] in names), encoding="utf-8")
    tags = [f"--platform=manylinux{tag}_aarch64" for tag in ("2014", "_2_17", "_2_28")]
    options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", *tags, "--python-version=3.11"]
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *options]
    subprocess.run([*pip, f"--target={folder}", "-r", str(wanted)], check=True)


def count(agent: RunningAgent) -> int:
    """The readings that it has accepted in all its life."""
    return int(agent.ask()["account"]["accepted"])


def outbox(program: Sequence[str], folder: Path, verb: str, *arguments: str) -> str:
    """What a verb says of the outbox."""
    command = [*program, "--lang", "en", "--config", str(folder / "agent.toml"), "outbox", verb, *arguments]
    environment = {**os.environ, "TZ": "UTC"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
