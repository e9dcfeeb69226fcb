"""Processes of the bench: started on one core, looked at through /proc, ended by their id.

A gateway may be several processes; everything here speaks of a process and all that it started (proc(5)).
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGESIZE")
STOP_S = 15.0
_FIRST = -10
_ALLOWED = sorted(os.sched_getaffinity(0))
"""As we were started: the bench pins itself later."""


class Usage(NamedTuple):
    """What a process and its children have used so far. `card_bytes`: `write_bytes` of io, what the kernel was given.

    Whatever a child used that has ended and was waited for is in `cpu_s`, not in `card_bytes`.
    """

    cpu_s: float
    rss_mb: float
    pss_mb: float
    card_bytes: int


def allowed() -> list[int]:
    """The cores that we may use."""
    return _ALLOWED


def cores() -> tuple[int, int]:
    """(for the gateway, for all the load), of those that we may use; the same one where there is no second."""
    return _ALLOWED[0], _ALLOWED[-1]


def start(
    command: Sequence[str], core: int, folder: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a command in `folder`, first on one core, in a session of its own; its output goes to `output.log`."""
    with (folder / "output.log").open("a") as log:
        process = subprocess.Popen(
            ["taskset", "-c", str(core), *command],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
    go_first(process.pid)
    return process


def serve(command: Sequence[str], core: int) -> subprocess.Popen[str]:
    """Start a helper of the bench on one core, where it goes first; its output is read by us."""
    process = subprocess.Popen(["taskset", "-c", str(core), *command], stdout=subprocess.PIPE, text=True)
    go_first(process.pid)
    return process


def go_first(task: int) -> None:
    """A process, or a thread, and what it will start, before others on its core, where we may (nice -10).

    So that a busy machine is nearer to a quiet one: a gateway has a board for itself, and the load is other machines.
    Where the kernel shares cores between sessions, it is the session that counts (sched(7), autogroup).
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, task, _FIRST)
        Path(f"/proc/{task}/autogroup").write_text(str(_FIRST))


def end(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> None:
    """End a process with a signal; where it does not within 15 s, and for what it left behind, kill its group."""
    if process.poll() is None:
        process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
    if os.getpgid(0) != process.pid:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.poll() is None:
        process.kill()
    process.wait()
    if process.stdout:
        process.stdout.close()


def usage(pid: int) -> Usage:
    """What a process and its children use; a child that ends meanwhile counts as nothing."""
    cpu_s, rss, pss, card = 0.0, 0.0, 0.0, 0
    for each in tree(pid):
        with suppress(OSError):
            place = Path(f"/proc/{each}")
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            cpu_s += own_cpu_s(each) + sum(map(int, fields[13:15])) * _TICK_S
            rss += int(fields[21]) * _PAGE / 1e6
            pss += _kilobytes((place / "smaps_rollup").read_text(), "Pss:") / 1e3
            card += int(_facts((place / "io").read_text())["write_bytes"])
    return Usage(cpu_s, rss, pss, card)


def card_bytes_at_end(pid: int, timeout_s: float) -> int:
    """What a process has given to the card, when it has ended but was not waited for, or after `timeout_s`."""
    place, deadline_s = Path(f"/proc/{pid}"), time.monotonic() + timeout_s
    while time.monotonic() < deadline_s and (place / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    return int(_facts((place / "io").read_text())["write_bytes"])


def tree(pid: int) -> Iterator[int]:
    """A process and everything below it."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text().split():
                yield from tree(int(child))


def own_cpu_s(pid: int) -> float:
    """What all threads of a process have used, without children, in ns and not in ticks (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


def _kilobytes(text: str, name: str) -> float:
    return next(float(line.split()[1]) * 1.024 for line in text.splitlines() if line.startswith(name))


def _facts(text: str) -> dict[str, str]:
    return dict(line.split(": ", 1) for line in text.splitlines())
