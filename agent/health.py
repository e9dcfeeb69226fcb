"""The machine's own figures: processor, memory, disk, temperature, as the kernel tells them (proc(5)).

A figure that this machine cannot give is left out, never guessed.
"""

import os
from contextlib import suppress
from pathlib import Path

import msgspec


class SystemFigures(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How the machine is; `cpu_pct` is since the last call, at first since the boot. Units stand in the names."""

    cpu_pct: float
    memory_pct: float
    rss_bytes: int
    disk_free_bytes: int | None = None
    temperature_c: float | None = None


class Hardware(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What machine this is, from the device tree (Raspberry Pi OS and others); empty where there is none."""

    model: str = ""
    serial: str = ""


class _Times(msgspec.Struct, frozen=True):
    """What all processors together have done since the boot, in ticks."""

    busy: int = 0
    all: int = 0


_DEVICE_TREE = Path("/proc/device-tree")
_SENSORS = Path("/sys/class/hwmon")
_PROCESSOR_SENSORS = ("cpu_thermal", "coretemp", "k10temp")
_last = _Times()


def system_figures(data_dir: Path) -> SystemFigures:
    """A snapshot; `disk_free_bytes` is of the disk that holds `data_dir`."""
    return SystemFigures(
        cpu_pct=_cpu_pct(),
        memory_pct=_memory_pct(),
        disk_free_bytes=_disk_free_bytes(data_dir),
        rss_bytes=int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGESIZE"),
        temperature_c=_temperature_c(),
    )


def uptime_s() -> int:
    """Seconds since this machine booted."""
    return int(float(Path("/proc/uptime").read_text(encoding="ascii").split()[0]))


def hardware() -> Hardware:
    """Model and serial number of the board."""
    return Hardware(model=_device_tree("model"), serial=_device_tree("serial-number"))


def _cpu_pct() -> float:
    global _last
    before, _last = _last, _times()
    ticks = _last.all - before.all
    return round(100 * (_last.busy - before.busy) / ticks, 1) if ticks > 0 else 0.0


def _times() -> _Times:
    """Guests are in user and nice already; waiting for a disk is no work."""
    with Path("/proc/stat").open(encoding="ascii") as file:
        user, nice, system, idle, waiting, *interrupts = map(int, file.readline().split()[1:9])
    busy = user + nice + system + sum(interrupts)
    return _Times(busy, busy + idle + waiting)


def _memory_pct() -> float:
    """What is not available without swapping."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    kb = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    return round(100 * (1 - kb["MemAvailable"] / kb["MemTotal"]), 1)


def _disk_free_bytes(folder: Path) -> int | None:
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def _device_tree(name: str) -> str:
    try:
        return (_DEVICE_TREE / name).read_text(encoding="utf-8").strip("\0\n ")
    except OSError:
        return ""


def _temperature_c() -> float | None:
    """Of the first sensor of the processor (hwmon of the kernel: thousandths of a degree)."""
    for folder in sorted(_SENSORS.glob("*")):
        with suppress(OSError, ValueError):
            if (folder / "name").read_text(encoding="ascii").strip() in _PROCESSOR_SENSORS:
                for sensor in sorted(folder.glob("temp*_input")):
                    return int(sensor.read_text(encoding="ascii")) / 1000
    return None
