"""What the kernel says of this machine: for the head of the table, and for what depends on it."""

import ctypes
import os
import platform
import subprocess
from pathlib import Path

from gateways.processes import allowed

_TIME_ERROR = 5
_TIMEX_BYTES = 256


def clock_is_set() -> bool:
    """Does the kernel call the clock synchronised (adjtimex(2))?"""
    return bool(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)) != _TIME_ERROR)


def file_system(folder: Path) -> str:
    """The type of the file system that a folder is on, as the kernel mounts it."""
    device = folder.stat().st_dev
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        major, minor = map(int, fields[2].split(":"))
        if os.makedev(major, minor) == device:
            return fields[fields.index("-") + 1]
    return "unknown"


def machine() -> dict[str, str]:
    """Processor, cores, memory, system, load: what figures of this machine must be read with."""
    cpu = [line.partition(": ")[2] for line in _lines("/proc/cpuinfo") if line.startswith(("model name", "Model"))]
    memory_kb = int(next(line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")))
    system = [line.partition("=")[2].strip('"') for line in _lines("/etc/os-release") if line.startswith("PRETTY_NAME")]
    return {
        "processor": f"{len(allowed())} x {(cpu or [platform.machine()])[0]}",
        "memory": f"{memory_kb / 1e6:.1f} GB",
        "system": f"{(system or ['?'])[0]}, Linux {platform.release()}, Python {platform.python_version()}",
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "commit": _commit(),
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _commit() -> str:
    asked = ["git", "describe", "--always", "--dirty"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "?"
