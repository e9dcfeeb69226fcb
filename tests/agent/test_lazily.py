"""What is put off, and what is not seen."""

import json
import subprocess
import sys


def said(script: str) -> object:
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:] = {sys.path!r}\n{script}"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_a_module_that_is_put_off_is_there_when_it_is_used() -> None:
    script = """
import json
from agent.lazily import later
later("ipaddress")
import ipaddress
before = type(ipaddress).__name__
print(json.dumps([before, str(ipaddress.ip_address("::1")), type(sys.modules["ipaddress"]).__name__]))
"""
    assert said(script) == ["_Later", "::1", "module"]


def test_what_is_not_seen_can_be_imported_afterwards() -> None:
    script = """
import json
from agent.lazily import unseen
found = []
for _ in range(2):
    with unseen("calendar"):
        try:
            import calendar
            found.append("seen")
        except ImportError:
            found.append("unseen")
    import calendar
print(json.dumps([*found, calendar.MONDAY]))
"""
    assert said(script) == ["unseen", "seen", 0]
