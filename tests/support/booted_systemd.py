"""A real systemd as process 1 of namespaces of its own: this machine's files under a layer in memory, nothing of it kept.

Root only. Controllers are those of this machine, below a group that is removed at the end; no network but loopback.
A `Disk` keeps what one machine has written for the next one: a reboot.
"""

import itertools
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from processes import wait_until

import agent

SYSTEMD = Path("/lib/systemd/systemd")
CGROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("memory", "devices", "pids", "systemd", "unified")
PYTHON = "/opt/oc-python"
_NUMBERS = itertools.count(1)
"""Of the machines of this process: several may be up at once."""
CODE = "/opt/oc-agent/code:/opt/oc-agent/site"

BOOT = r"""
set -eu
work=$1 systemd=$2 target=$3
shift 3
mount --make-rprivate /
mountpoint -q "$work" || mount -t tmpfs -o mode=755 tmpfs "$work"
cd "$work"
mkdir -p up/etc work root
echo 0123456789abcdef0123456789abcdef > up/etc/machine-id
mount -t overlay overlay -o lowerdir=/,upperdir=up,workdir=work root
cd root
while [ $# != 0 ]; do
  mkdir -p "./$2"
  mount --bind "$1" "./$2"
  mount -o remount,bind,ro "./$2"
  shift 2
done
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mount -t cgroup2 cgroup2 sys/fs/cgroup
else
  mount -t tmpfs tmpfs sys/fs/cgroup
  for name in memory devices pids systemd unified; do mkdir sys/fs/cgroup/$name; done
  for name in memory devices pids; do mount -t cgroup -o $name cgroup sys/fs/cgroup/$name; done
  mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
  mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
fi
mount -t tmpfs -o mode=755 tmpfs dev
node() { mknod dev/$1 c $3 $4; chmod $2 dev/$1; }
node null 666 1 3; node zero 666 1 5; node full 666 1 7; node random 666 1 8; node urandom 666 1 9; node tty 666 5 0
node ttyS1 660 4 65; chgrp dialout dev/ttyS1
node forbidden 666 10 200
mkdir dev/shm dev/pts
mount -t tmpfs tmpfs dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
hostname oc-test
ip link set lo up || true
mkdir -p old
pivot_root . old
cd /
umount -l /old
mount --make-rshared /  # as on a machine; credentials reach a service that way
exec env -i container=oc-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  "$systemd" --unit="$target" --log-target=journal --show-status=no
"""
"""Arguments: a folder, systemd, what to start, and pairs: what is mounted where, to read only."""


def lacking() -> str:
    """Why no systemd can be booted here; empty where one can."""
    if os.geteuid() != 0:
        return "only root can boot a systemd"
    if missing := [name for name in ("unshare", "nsenter", "ip", "pivot_root") if not shutil.which(name)]:
        return f"missing: {', '.join(missing)}"
    if not SYSTEMD.exists():
        return "missing: systemd"
    if not all(os.access(group, os.W_OK) for group in _parents()):
        return "control groups are read only here"
    probe = "mount -t tmpfs t /mnt && cd /mnt && mkdir u w r && mount -t overlay o -o lowerdir=/,upperdir=u,workdir=w r"
    done = subprocess.run(["unshare", "-m", "-p", "-C", "--fork", "sh", "-c", probe], capture_output=True, check=False)
    return "" if done.returncode == 0 else "mounts, or namespaces, are not allowed here"


def _parents() -> list[Path]:
    """The groups in which those of a machine are made."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [CGROUPS / name for name in CONTROLLERS]


def checkout() -> dict[Path, str]:
    """What is mounted for the service, which may not see /root and /home: Python and the code under test."""
    code, site = Path(agent.__file__).parent.parent, Path(sysconfig.get_path("purelib"))
    return {Path(sys.base_prefix): PYTHON, code: "/opt/oc-agent/code", site: "/opt/oc-agent/site"}


class Disk:
    """What machines write on `folder`, in memory, and kept from one to the next; gone after `close`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        mount = 'mount -t tmpfs -o mode=755 tmpfs "$1" && echo mounted && exec sleep infinity'
        holder = ["unshare", "-m", "--propagation", "private", "sh", "-c", mount, "disk", str(folder)]
        self._holder = subprocess.Popen(holder, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert self._holder.stdout
        assert self._holder.stdout.readline() == b"mounted\n"
        self.entered = ["nsenter", "-t", str(self._holder.pid), "-m", "--"]

    def close(self) -> None:
        """Give it up."""
        self._holder.kill()
        self._holder.communicate()


class Machine:
    """A booted machine; `close` ends everything in it, as a power cut does.

    `mounted`: what of this computer it sees where, beside its files; default: Python and the code under test.
    """

    def __init__(
        self,
        folder: Path,
        disk: Disk | None = None,
        mounted: dict[Path, str] | None = None,
        target: str = "basic.target",
    ) -> None:
        number = next(_NUMBERS)
        self._groups = [parent / f"oc-boot-{os.getpid()}-{number}" for parent in _parents()]
        for group in self._groups:
            group.mkdir()
        join = "".join(f"echo $$ > {group}/cgroup.procs; " for group in self._groups)
        boot = [
            *(disk.entered if disk else []),
            "unshare",
            "-m",
            "-p",
            "-C",
            "-u",
            "-i",
            "-n",
            "--fork",
            "--kill-child",
            "bash",
            "-c",
            BOOT,
            "boot",
        ]
        pairs = (checkout() if mounted is None else mounted).items()
        what = [str(folder), str(SYSTEMD), target, *(word for source, place in pairs for word in (str(source), place))]
        self._log = (folder.parent / "boot.log").open("w+", encoding="utf-8")
        self._unshare = subprocess.Popen(
            ["bash", "-c", f'set -e; {join} exec "$@"', "join", *boot, *what],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        try:
            self.init = int(wait_until(self._child, 10, "the namespaces are made"))
            wait_until(self._is_up, 60, "systemd has started")
        except AssertionError:
            self._log.seek(0)
            told = self._log.read()
            self.close()
            raise AssertionError(f"no systemd: {told}") from None

    def _child(self) -> str:
        assert self._unshare.poll() is None
        task = f"/proc/{self._unshare.pid}/task/{self._unshare.pid}/children"
        return Path(task).read_text(encoding="ascii").strip()

    def _is_up(self) -> bool:
        return self.run("systemctl", "is-active", "basic.target", check=False).strip() == "active"

    @property
    def entered(self) -> list[str]:
        """The words before a command that is to be run in the machine."""
        return ["nsenter", "-t", str(self.init), "-a", "--wd=/", "--"]

    def done(self, *command: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """`command`, run in the machine."""
        line = [*self.entered, *command]
        return subprocess.run(line, input=stdin, capture_output=True, text=True, timeout=60, check=False)

    def run(self, *command: str, check: bool = True, stdin: str = "") -> str:
        """What `command` prints in the machine."""
        done = self.done(*command, stdin=stdin)
        if check and done.returncode:
            raise AssertionError(f"{command}: {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def write(self, path: str, text: str, mode: str = "644", owner: str = "root:root") -> None:
        """A file in the machine."""
        self.run("sh", "-c", f"mkdir -p $(dirname {path}) && cat > {path}", stdin=text)
        self.run("chown", owner, path)
        self.run("chmod", mode, path)

    def shows(self, unit: str, what: str) -> str:
        """One property of a unit."""
        return self.run("systemctl", "show", "--value", "--property", what, unit).strip()

    def close(self) -> None:
        """End it: with process 1 of a PID namespace everything in it ends."""
        self._unshare.kill()
        self._unshare.wait(10)
        self._log.close()
        for group in self._groups:
            end = time.monotonic() + 10
            while group.exists() and time.monotonic() < end:
                _remove(group)


def _remove(group: Path) -> None:
    for folder, _, _ in os.walk(group, topdown=False):
        try:
            Path(folder).rmdir()
        except OSError:  # its last process is just ending
            time.sleep(0.05)
