"""A share of a core for the processes of a gateway, by the processor controller of the kernel's control groups.

The kernel lets a group run for its quota of each period and then holds it until the next (sched-bwc). Version 2 is used
where the root group has the controller, else version 1; it takes the rights of root. Within its quota the group goes
before others, as gateways do that are not limited.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PERIOD_US = 20_000
LEAST_US = 1_000
"""The kernel refuses less."""
_ROOT = Path("/sys/fs/cgroup")
_GONE_S = 5.0


class Unlimited(Exception):
    """There is no way to limit a gateway here; the message says why."""


@contextmanager
def limited(share: float, name: str) -> Iterator[Path]:
    """A group that has `share` of one core; gives the file that a process writes its id into. Raises Unlimited."""
    quota_us = round(share * PERIOD_US)
    if not LEAST_US <= quota_us <= PERIOD_US:
        raise Unlimited(
            f"{share:.3f} of a core is {quota_us} us of each {PERIOD_US}: the kernel takes {LEAST_US} or more"
        )
    parent, limits = _controller(quota_us)
    group = parent / f"oc-bench-{os.getpid()}-{name}"
    try:
        group.mkdir()
    except OSError as err:
        raise Unlimited(f"cannot make {group}: {err.strerror}; it takes root") from err
    try:
        for name, text in limits.items():
            try:
                (group / name).write_text(text)
            except OSError as err:
                raise Unlimited(f"cannot write {group / name}: {err.strerror}") from err
        yield group / "cgroup.procs"
    finally:
        _remove(group)


def _controller(quota_us: int) -> tuple[Path, dict[str, str]]:
    """(where groups are made, what is written into one)."""
    with suppress(OSError):
        if "cpu" in (_ROOT / "cgroup.subtree_control").read_text().split():
            return _ROOT, {"cpu.max": f"{quota_us} {PERIOD_US}", "cpu.weight": "1000"}
    for name in ("cpu", "cpu,cpuacct"):
        if (_ROOT / name / "cpu.cfs_quota_us").exists():
            return _ROOT / name, {
                "cpu.cfs_period_us": str(PERIOD_US),
                "cpu.cfs_quota_us": str(quota_us),
                "cpu.shares": "10240",
            }
    raise Unlimited(f"no controller `cpu` in {_ROOT} that gives groups a quota")


def _remove(group: Path) -> None:
    """As soon as its last process is gone, which may be a moment after it was waited for."""
    deadline_s = time.monotonic() + _GONE_S
    while group.exists() and time.monotonic() < deadline_s:
        with suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.05)
