"""How worn the card is, and whether the kernel has met errors on it.

Sources: eMMC `life_time` and `pre_eol_info` are DEVICE_LIFE_TIME_EST and PRE_EOL_INFO of JESD84-B51, as
Documentation/driver-api/mmc/mmc-dev-attrs.rst of Linux has them; `errors_count` is in
Documentation/ABI/testing/sysfs-fs-ext4. An SD card says nothing of its wear: there only errors show it.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.cli.doctor.finding import Finding, fail, ok, warn
from agent.cli.doctor.machine.disk import existing
from agent.cli.doctor.machine.roots import Roots, line_of
from agent.cli.doctor.programs import output_of
from agent.cli.messages import tr
from agent.settings import Settings

_WORN: Final = 0x09
"""80 to 90 % of the life time is used; 0x0B is more than all of it."""
_PRE_EOL_WARNING, _PRE_EOL_URGENT = 2, 3
_IO_ERROR: Final = re.compile(r"I/O error, dev|EXT4-fs error|mmc\d.*(?:error -\d+|timeout waiting)|Buffer I/O error")


def examined(settings: Settings, roots: Roots) -> Iterator[Finding]:
    """The disk that `data_dir` is on, then errors of all."""
    partition = _partition(existing(Path(settings.gateway.data_dir)), roots)
    if partition is not None:
        yield from wear(partition)
        yield from file_system_errors(partition.name, roots)
    yield from kernel_errors(output_of("dmesg", "--kernel"))


def wear(partition: Path) -> Iterator[Finding]:
    """What an eMMC says of itself; `partition` is its folder, or that of a partition, under /sys."""
    disk = next((one for one in (partition, partition.parent) if (one / "device").is_dir()), None)
    if disk is None or not disk.name.startswith("mmcblk"):
        return
    name = " ".join(filter(None, (line_of(disk / "device/type"), line_of(disk / "device/name"))))
    used = max((_hex(word) for word in line_of(disk / "device/life_time").split()), default=0)
    reserve = _hex(line_of(disk / "device/pre_eol_info"))
    if not used:
        yield ok(
            "wear", tr("{disk} ({name}) does not tell how worn it is", disk=disk.name, name=name), subject=disk.name
        )
        return
    text = tr("{disk} ({name}): {percent} % of its life time is used", disk=disk.name, name=name,
              percent=min(used, 11) * 10)  # fmt: skip
    advice = tr("plan to replace it: docs/en/upkeep.md says how the data moves")
    if reserve >= _PRE_EOL_URGENT or used > 0x0A:
        yield fail("wear", text, tr("replace it now: the data can still be read"), code="card_worn", subject=disk.name)
    elif reserve == _PRE_EOL_WARNING or used >= _WORN:
        yield warn("wear", text, advice, code="card_wears", subject=disk.name)
    else:
        yield ok("wear", text, subject=disk.name)


def file_system_errors(partition: str, roots: Roots) -> Iterator[Finding]:
    """What ext4 has counted since it was made or last repaired."""
    count = line_of(roots.sys / "fs/ext4" / partition / "errors_count")
    if not count.isdigit():
        return
    if int(count):
        text = tr("{disk}: the file system has met {count} errors", disk=partition, count=count)
        advice = tr("run fsck at the next start (fsck.mode=force); if more come, replace the card")
        yield fail("file_system", text, advice, code="file_system_errors", subject=partition)
    else:
        yield ok("file_system", tr("{disk}: the file system has met no error", disk=partition), subject=partition)


def kernel_errors(messages: str) -> Iterator[Finding]:
    """Errors of cards and file systems in the log of the kernel; nothing where it may not be read."""
    lines = [line for line in messages.splitlines() if _IO_ERROR.search(line)]
    if lines:
        text = tr(
            "the kernel has met {count} errors of the card; the last: {line}", count=len(lines), line=lines[-1][:160]
        )
        advice = tr("push the card in firmly, try another power supply; if more come, replace the card now")
        yield fail("card_errors", text, advice, code="card_errors")


def _partition(folder: Path, roots: Roots) -> Path | None:
    number = folder.stat().st_dev
    place = roots.sys / f"dev/block/{os.major(number)}:{os.minor(number)}"
    return place.resolve() if place.exists() else None


def _hex(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return 0
