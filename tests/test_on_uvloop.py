"""What leans on the event loop holds on uvloop too: the same tests, in a pytest of their own with `--uvloop`.

Ptys and timers of the kernel, signals, the control socket, TCP, UDP and TLS, and the whole chain with a kill -9.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("uvloop", reason="uvloop is not installed")

ROOT = Path(__file__).resolve().parent.parent
SHORT = [
    "test_end_to_end.py -k mosquitto-5",
    "agent/test_reload.py agent/test_app.py agent/test_app_tls.py -k 'cheap or sighup or wrong_with_the_broker'",
    "agent/test_control.py agent/test_waking.py drivers/test_timerfd.py",
    "drivers/modbus/test_modbus_transport.py -k 'udp or tls or unplugged'",
]
LONG = ["agent", "drivers", "test_end_to_end.py test_renewal.py test_uplink_exactness.py"]


@pytest.mark.parametrize("tests", SHORT)
def test_what_leans_on_the_loop(tests: str) -> None:
    assert " passed" in on_uvloop(tests)


@pytest.mark.soak
@pytest.mark.parametrize("tests", LONG)
def test_all_that_has_a_loop(tests: str) -> None:
    assert " passed" in on_uvloop(tests)


def on_uvloop(tests: str) -> str:
    """The last line of pytest; fails with its output where it does."""
    command = f'"$0" -m pytest -q --uvloop -c "$1"/pyproject.toml --rootdir "$1" {tests}'
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        ["sh", "-c", command, sys.executable, ROOT],
        cwd=ROOT / "tests",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]
