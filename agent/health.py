"""The machine's own figures: processor, memory, disk, temperature (psutil's one home).

A figure that this machine cannot give is left out, never guessed.
"""

from pathlib import Path
from typing import Any

import msgspec
import psutil


class SystemFigures(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How the machine is; `cpu_pct` is since the last call. Units stand in the names."""

    cpu_pct: float
    memory_pct: float
    rss_bytes: int
    disk_free_bytes: int | None = None
    temperature_c: float | None = None


class Hardware(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What machine this is, from the device tree (Raspberry Pi OS and others); empty where there is none."""

    model: str = ""
    serial: str = ""


_DEVICE_TREE = Path("/proc/device-tree")


def system_figures(data_dir: Path) -> SystemFigures:
    """A snapshot; `disk_free_bytes` is of the disk that holds `data_dir`."""
    return SystemFigures(
        cpu_pct=psutil.cpu_percent(),
        memory_pct=psutil.virtual_memory().percent,
        disk_free_bytes=_disk_free_bytes(data_dir),
        rss_bytes=psutil.Process().memory_info().rss,
        temperature_c=_temperature_c(),
    )


def uptime_s() -> int:
    """Seconds since this machine booted."""
    return int(float(Path("/proc/uptime").read_text(encoding="ascii").split()[0]))


def hardware() -> Hardware:
    """Model and serial number of the board."""
    return Hardware(model=_device_tree("model"), serial=_device_tree("serial-number"))


def _disk_free_bytes(folder: Path) -> int | None:
    try:
        return int(psutil.disk_usage(str(folder)).free)
    except OSError:
        return None


def _device_tree(name: str) -> str:
    try:
        return (_DEVICE_TREE / name).read_text(encoding="utf-8").strip("\0\n ")
    except OSError:
        return ""


def _temperature_c() -> float | None:
    sensors: dict[str, Any] = getattr(psutil, "sensors_temperatures", dict)()
    for name in ("cpu_thermal", "coretemp", "k10temp"):
        if sensors.get(name):
            return float(sensors[name][0].current)
    return None
