"""The folders of the agent: room, places for files, whether they can be written, and whether the journal is in RAM."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.cli.doctor.finding import Finding, fail, ok, warn
from agent.cli.doctor.machine.roots import Roots
from agent.cli.messages import tr
from agent.settings import Settings
from agent.store.journal import is_ram_disk

LEAST_BYTES: Final = 100_000_000
LEAST_FILES: Final = 1_000


def examined(settings: Settings, roots: Roots) -> Iterator[Finding]:
    """`data_dir` with its room, then `runtime_dir`."""
    folder = existing(Path(settings.gateway.data_dir))
    found = os.statvfs(folder)
    if found.f_flag & os.ST_RDONLY:
        text = tr("{folder}: its file system can only be read", folder=folder)
        advice = tr("the kernel has locked a broken card: see `dmesg`, restart; if it comes again, replace the card")
        yield fail("read_only", text, advice, code="read_only", subject=str(folder))
    yield _room(settings, folder, found.f_bavail * found.f_frsize)
    if found.f_files and found.f_favail < LEAST_FILES:
        text = tr("{folder}: there is room for {count} more files only", folder=folder, count=found.f_favail)
        yield fail("files", text, tr("delete old files: logs, mails, caches"), code="no_inodes", subject=str(folder))
    yield _journal(existing(Path(settings.gateway.runtime_dir)), roots)


def _room(settings: Settings, folder: Path, free: int) -> Finding:
    outbox = folder / "outbox.db"
    used = outbox.stat().st_size if outbox.is_file() else 0
    text = tr("{folder}: {free} free", folder=folder, free=_size(free))
    if free < LEAST_BYTES:
        advice = tr("delete what is not needed: `sudo du -xh / | sort -h | tail`; or a larger card")
        return fail("room", text, advice, code="disk_full", subject=str(folder))
    if free + used < settings.outbox.max_bytes:
        text += ", " + tr("and the outbox may grow to {size}", size=_size(settings.outbox.max_bytes))
        return warn("room", text, tr("lower `outbox.max_bytes`, or a larger card"), code="disk_small",
                    subject=str(folder))  # fmt: skip
    return ok("room", text, subject=str(folder))


def _journal(folder: Path, roots: Roots) -> Finding:
    if is_ram_disk(folder, roots.proc / "self/mountinfo"):
        return ok("journal", tr("{folder} is in RAM", folder=folder), subject=str(folder))
    text = tr("{folder} is not in RAM: each batch wears the card", folder=folder)
    advice = tr("the service puts it into /run by itself; else choose a folder under /run as `runtime_dir`")
    return warn("journal", text, advice, code="no_ram_disk", subject=str(folder))


def existing(folder: Path) -> Path:
    """`folder`, or the nearest one above it that is there."""
    folder = folder.resolve()
    return next((one for one in (folder, *folder.parents) if one.is_dir()), Path("/"))


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
