"""What `oc-agent run` has in memory before it reads its configuration: what it uses, and nothing else."""

import json
import subprocess
import sys
from pathlib import Path

OTHERS = {"aiosqlite", "msgspec", "paho", "psutil", "tenacity"}
"""Packages that are not of Python. pymodbus and pyserial come with the first link that needs them."""
VERB = {"layout", "messages", "output", "parser", "problems", "run", "sparing", "translations"}
"""Modules of the command line."""
UNUSED = {
    "csv",
    "difflib",
    "email",
    "html",
    "http",
    "importlib.metadata",
    "importlib.resources",
    "tempfile",
    "typing_extensions",
    "unittest",
    "urllib.response",
    "xml",
    "zipfile",
}
"""Of Python: what others import although we never need it."""
_SCRIPT = """
import json, sys
before = set(sys.modules)
from agent.cli import make_parser
make_parser(["run"])
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded(script: str = _SCRIPT) -> set[str]:
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{script}"]
    return set(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def test_run_carries_no_package_that_it_does_not_use() -> None:
    found = {name.partition(".")[0] for name in loaded()} - sys.stdlib_module_names
    assert found - {"agent", "drivers"} == OTHERS


def test_run_carries_no_other_verb_and_no_driver() -> None:
    found = loaded()
    assert {name.split(".")[2] for name in found if name.startswith("agent.cli.")} == VERB
    assert not {name for name in found if name.startswith(("drivers.modbus", "drivers.serial", "drivers.camera"))}


def test_run_carries_nothing_of_python_that_only_others_want() -> None:
    assert loaded() & UNUSED == set()


def test_what_was_put_off_is_there_when_it_is_used() -> None:
    found = loaded(
        """
import json, sys
import agent.uplink.mqtt
import urllib.request
import paho.mqtt.client
before = "http.client" in sys.modules
proxies = paho.mqtt.client.urllib.request.getproxies
print(json.dumps([repr(before), proxies.__module__, urllib.request.Request.__name__, sys.modules["urllib.request"].__file__]))
"""
    )
    assert found >= {"False", "urllib.request", "Request"}
    assert any(Path(one).name == "request.py" for one in found)
