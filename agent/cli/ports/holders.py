"""Which processes have a device file open, as `/proc` tells; without root only one's own processes can be seen."""

from collections.abc import Iterator
from pathlib import Path

import msgspec


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """A process that has a port open; `agent`: it is the running oc-agent."""

    pid: int
    command: str = ""
    agent: bool = False


class OpenFiles(msgspec.Struct, frozen=True, kw_only=True):
    """Who has what open. `all_seen`: no process was hidden from us."""

    holders: dict[str, list[Holder]]
    all_seen: bool


def open_devices(proc: Path = Path("/proc")) -> OpenFiles:
    """The processes by device file that they have open."""
    holders: dict[str, list[Holder]] = {}
    all_seen = True
    for folder in sorted((path for path in proc.iterdir() if path.name.isdigit()), key=lambda path: int(path.name)):
        try:
            files = set(_files(folder / "fd"))
        except PermissionError:
            all_seen = False
            continue
        except OSError:
            continue  # it has ended meanwhile
        for file in files:
            holders.setdefault(file, []).append(Holder(pid=int(folder.name), command=_command(folder)))
    return OpenFiles(holders=holders, all_seen=all_seen)


def _files(folder: Path) -> Iterator[str]:
    for fd in folder.iterdir():
        try:
            target = str(fd.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("/dev/") and _is_ours(fd, target):
            yield target


def _is_ours(fd: Path, target: str) -> bool:
    """Whether that name is the same device here: in a container each pseudo terminal has a name that we have too."""
    try:
        theirs, ours = fd.stat(), Path(target).stat()
    except OSError:
        return True
    same_system = theirs.st_dev == ours.st_dev or not target.startswith("/dev/pts/")
    return same_system and theirs.st_rdev == ours.st_rdev


def _command(folder: Path) -> str:
    try:
        text = (folder / "cmdline").read_bytes() or (folder / "comm").read_bytes()
    except OSError:
        return ""
    return text.replace(b"\0", b" ").decode(errors="replace").strip()
