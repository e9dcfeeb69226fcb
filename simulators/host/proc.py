"""What /proc says about the processes of one mount namespace. Whoever ends while it is looked at counts for nothing."""

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Sample:
    """What all processes of a command used together, `elapsed_s` after the machine was there.

    `cpu_s` counts from the last start of the command, with its children that have ended. Memory that processes share
    counts for each.
    """

    elapsed_s: float
    processes: int
    rss_bytes: int
    cpu_s: float
    open_fds: int
    threads: int


def mount_namespace(pid: int) -> int:
    """The number of its namespace; raises `OSError` where it is gone, or not ours to look at."""
    return os.stat(f"/proc/{pid}/ns/mnt").st_ino  # noqa: PTH116 - a link that only the kernel can follow


def pids_in(namespace: int) -> list[int]:
    """Who is in there, in the order of their numbers; zombies are not."""
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if mount_namespace(int(entry.name)) == namespace:
                    found.append(int(entry.name))
    return sorted(found)


def sample(pids: Iterable[int], since_s: float) -> Sample:
    """Add up what they use now; `since_s` is the monotonic time that counts as the start."""
    rows = []
    for pid in pids:
        with suppress(OSError, IndexError):
            rows.append(_usage(pid))
    rss, cpu, fds, threads = (sum(column) for column in zip(*rows, strict=True)) if rows else (0, 0.0, 0, 0)
    return Sample(time.monotonic() - since_s, len(rows), int(rss), float(cpu), int(fds), int(threads))


def _usage(pid: int) -> tuple[int, float, int, int]:
    """Of one process: memory in bytes, CPU in s, open files, threads (proc(5), `stat` and `statm`)."""
    folder = _PROC / str(pid)
    fields = _stat(pid)
    pages = int((folder / "statm").read_text(encoding="ascii").split()[1])
    ticks = sum(map(int, fields[11:15]))
    return pages * _PAGE_BYTES, ticks / _TICKS_PER_S, len(list((folder / "fd").iterdir())), int(fields[17])


def is_stopped(pid: int) -> bool:
    """Whether it gets no time, or has ended."""
    with suppress(OSError):
        return _stat(pid)[0] in "TtZX"
    return True


def _stat(pid: int) -> list[str]:
    """The fields of `stat` from the third on, the state: the name before it may hold anything."""
    return (_PROC / str(pid) / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()


def written_files(pid: int, folder: Path) -> set[Path]:
    """The files below `folder` that it has open for writing."""
    found = set()
    with suppress(OSError):
        for entry in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                path = entry.readlink()
                if path.is_relative_to(folder) and _is_for_writing(pid, entry.name):
                    found.add(path)
    return found


def _is_for_writing(pid: int, fd: str) -> bool:
    lines = (_PROC / str(pid) / "fdinfo" / fd).read_text(encoding="ascii").splitlines()
    flags = next(int(line.split()[1], 8) for line in lines if line.startswith("flags:"))
    return flags & os.O_ACCMODE != os.O_RDONLY


def is_traced(pid: int) -> bool:
    """Whether a debugger holds each of its threads; so is what has ended."""
    return all(tracer != "0" for tracer in _tracers(pid))


def _tracers(pid: int) -> Iterator[str]:
    with suppress(OSError):
        for task in (_PROC / str(pid) / "task").iterdir():
            with suppress(OSError):
                lines = (task / "status").read_text(encoding="ascii", errors="replace").splitlines()
                yield next(line.split()[1] for line in lines if line.startswith("TracerPid:"))
