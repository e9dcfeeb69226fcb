"""A Debian of another architecture on this machine: its own files, qemu for its programs, our kernel and loopback.

Root only, and nothing of the machine changes: the kernel is told of qemu in user and mount namespaces of their own
(binfmt_misc(5), Linux 6.7 or newer), and what is written below the root file system goes when they end.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

QEMU = "/usr/bin/qemu-aarch64-static"
SUITE = "bookworm"
UIDS = "0 0 65536\n"
APART = ("unshare", "--user", "--mount", "sh", "-c", 'echo apart; read -r go; exec sh -euc "$@"', "sh")
BINFMT = rf"""
mount --make-rprivate /
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
printf '%s' ':aarch64:M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\
\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:{QEMU}:F' \
  >/proc/sys/fs/binfmt_misc/register
""".replace("\\\n", "", 1)
MAKE = 'exec mmdebstrap --quiet --variant=apt --mode=root --architectures=arm64 --skip=check/qemu,output/dev "$@"'
MOUNT = """
files=$1 work=$2 shared=$3
mount -t tmpfs -o mode=755 tmpfs "$work"
cd "$work"
mkdir up tmp root
mount -t overlay overlay -o "lowerdir=$files,upperdir=up,workdir=tmp" root
mount --rbind /proc root/proc
mount --rbind /dev root/dev
mount -t tmpfs -o mode=755 tmpfs root/run
mkdir -p "root/$shared"
mount --bind "$shared" "root/$shared"
echo ready
exec cat
"""


def lacking() -> str:
    """What is missing here; empty where all is there."""
    if missing := [name for name in (QEMU, "mmdebstrap", "unshare", "nsenter") if not shutil.which(name)]:
        return f"missing: {', '.join(missing)}"
    if os.geteuid():
        return "only root may do it"
    if subprocess.run(["unshare", "--user", "--mount", "true"], check=False, stderr=subprocess.DEVNULL).returncode:
        return "user namespaces are not allowed here"
    with _apart(BINFMT) as process:
        _, err = process.communicate()
    return "" if process.returncode == 0 else f"the kernel cannot be told of qemu: {err.strip()}"


def debian(folder: Path, *packages: str) -> Path:
    """The files of a Debian with these packages, fetched where they are not in `folder` yet: minutes."""
    files = folder / f"{SUITE}-arm64"
    if not files.exists():
        folder.mkdir(parents=True, exist_ok=True)
        half = files.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        with _apart(BINFMT + MAKE, f"--include={','.join(packages)}", SUITE, str(half)) as process:
            _, err = process.communicate()
        assert process.returncode == 0, err
        half.rename(files)
    return files


@dataclass(frozen=True)
class Emulated:
    """A Debian that is up: `shared` is the same folder inside and outside."""

    pid: int
    root: Path
    shared: Path

    def command(self, *argv: str) -> list[str]:
        """`argv` inside, as a command line for outside; the process that it starts is the one inside."""
        return ["nsenter", f"--target={self.pid}", "--user", "--mount", "chroot", str(self.root), *argv]

    def run(self, *argv: str) -> str:
        """What `argv` says; fails where it does."""
        done = subprocess.run(self.command(*argv), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done.stdout


@contextmanager
def emulated(files: Path, work: Path, shared: Path) -> Iterator[Emulated]:
    """`files` as a root file system that forgets what is written to it."""
    work.mkdir()
    with _apart(BINFMT + MOUNT, str(files), str(work), str(shared)) as process:
        assert process.stdout
        assert process.stdin
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
        yield Emulated(process.pid, work / "root", shared)
        process.stdin.close()
        process.wait(10)


@contextmanager
def _apart(script: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A shell script as root of namespaces in which all users are those of outside."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        (*APART, script, "sh", *arguments), stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as process:
        try:
            assert process.stdin
            assert process.stdout
            assert process.stdout.readline() == "apart\n"
            for which in ("uid_map", "gid_map"):
                Path(f"/proc/{process.pid}/{which}").write_text(UIDS, encoding="ascii")
            process.stdin.write("go\n")
            process.stdin.flush()
            yield process
        finally:
            process.kill()
