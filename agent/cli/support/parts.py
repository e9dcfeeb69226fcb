"""What an archive for support has in it: files, the words of other verbs, and what the system says."""

import platform
import re
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import msgspec

import agent
from agent.cli.messages import tr
from agent.cli.support.commands import PartFailed, lines_of

MEGABYTE = 1_000_000
_VERB_S = 30.0
_SYSTEM_S = 15.0
_FILE_MAX_BYTES = MEGABYTE
_OF_INTEREST = re.compile(r"(?i)mmc|usb|tty|ext4|f2fs|voltage|throttl|oom|out of memory|i/o error|thermal")
_KERNEL_LINES = 400


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the archive: what it is in words, and how it is had, line by line."""

    name: str
    what: str
    lines: Callable[[], Iterator[str]]
    max_bytes: int = MEGABYTE


class Wishes(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be collected."""

    config: Path
    unit: str
    days: int
    journal_bytes: int
    readings: bool


def configuration_files(config: Path) -> list[Path]:
    """`agent.toml`, `conf.d/*.toml` and the profiles beside it."""
    folder = config.parent
    return [config, *sorted((folder / "conf.d").glob("*.toml")), *sorted((folder / "profiles").glob("*/*.toml"))[:100]]


def parts(wishes: Wishes) -> list[Part]:
    """In the order of the archive; what tells most comes first."""
    unit = wishes.unit
    config = [
        Part(name=f"config/{file.relative_to(wishes.config.parent)}", what=tr("configuration"), lines=_file(file))
        for file in configuration_files(wishes.config)
    ]
    status = _verb(wishes, "status", "--json")
    return [
        *config,
        Part(name="check.json", what=tr("what `check` says"), lines=_verb(wishes, "check", "--json")),
        Part(name="doctor.json", what=tr("what `doctor --no-login` says"),
             lines=_verb(wishes, "doctor", "--json", "--no-login", timeout_s=90.0)),
        Part(name="status.json", what=tr("state of the running agent, with values") if wishes.readings
             else tr("state of the running agent, without values"),
             lines=status if wishes.readings else lambda: without_values(status())),
        Part(name="outbox.json", what=tr("where readings are, in numbers"),
             lines=_verb(wishes, "outbox", "status", "--json", timeout_s=60.0)),
        Part(name="ports.json", what=tr("serial ports and who holds them"), lines=_verb(wishes, "ports", "--json")),
        Part(name="versions.txt", what=tr("versions of oc-agent, Python and packages"), lines=_versions),
        Part(name="os-release.txt", what=tr("the operating system"), lines=_file(Path("/etc/os-release"))),
        Part(name="kernel.txt", what=tr("the kernel"), lines=_system("uname", "-a")),
        Part(name="memory.txt", what=tr("memory"), lines=_file(Path("/proc/meminfo"))),
        Part(name="disks.txt", what=tr("room on the disks"), lines=_system("df", "-h", "-T")),
        Part(name="inodes.txt", what=tr("files on the disks"), lines=_system("df", "-i")),
        Part(name="clock.txt", what=tr("the clock"), lines=_system("timedatectl", "status")),
        Part(name="unit-status.txt", what=tr("state of the service"), lines=_system(
            "systemctl", "status", "--no-pager", "--full", "--lines=0", unit, good=(0, 3))),
        Part(name="unit.txt", what=tr("the unit with its drop-ins"),
             lines=_system("systemctl", "cat", "--no-pager", unit)),
        Part(name="kernel-log.txt", what=tr("lines of the kernel about card, USB, ports, power, memory"),
             lines=_kernel_log),
        Part(name="journal.txt", what=tr("journal of the service, {days} days, the newest first", days=wishes.days),
             lines=_system("journalctl", "--no-pager", "--reverse", "--output=short-iso-precise", f"--unit={unit}",
                           f"--since=-{wishes.days}d", timeout_s=60.0),
             max_bytes=wishes.journal_bytes),
    ]  # fmt: skip


def without_values(lines: Iterator[str]) -> Iterator[str]:
    """The answer of `status` without what was measured."""
    try:
        answer = msgspec.json.decode("".join(lines))
    except msgspec.DecodeError as err:
        raise PartFailed(tr("is no JSON, so values could not be taken out")) from err
    yield msgspec.json.format(msgspec.json.encode(_stripped(answer)), indent=2).decode() + "\n"


def _stripped(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _stripped(value) for key, value in data.items() if key not in ("value", "values")}
    return [_stripped(one) for one in data] if isinstance(data, list) else data


def _verb(wishes: Wishes, *argv: str, timeout_s: float = _VERB_S) -> Callable[[], Iterator[str]]:
    """A verb in a process of its own: what becomes of it is not our fate. 1 and 78 have a report all the same."""
    command = [sys.executable, "-P", "-m", "agent", "--lang", "en", "--config", str(wishes.config), *argv]
    environment = {"PYTHONPATH": str(Path(agent.__file__).resolve().parent.parent)}

    return lambda: lines_of(command, timeout_s, with_report=(1, 78), environment=environment)


def _system(*command: str, timeout_s: float = _SYSTEM_S, good: Sequence[int] = (0,)) -> Callable[[], Iterator[str]]:
    return lambda: lines_of(command, timeout_s, good=good)


def _file(path: Path) -> Callable[[], Iterator[str]]:
    """A small file as one text: a secret in it may have several lines."""

    def lines() -> Iterator[str]:
        try:
            with path.open("rb") as file:
                yield file.read(_FILE_MAX_BYTES).decode("utf-8", "replace")
        except OSError as err:
            raise PartFailed(f"{path}: {err.strerror}") from err

    return lines


def _kernel_log() -> Iterator[str]:
    """The last lines of the kernel that a gateway suffers from."""
    command = ("dmesg", "--time-format=iso")
    yield from deque((line for line in lines_of(command, _SYSTEM_S) if _OF_INTEREST.search(line)), _KERNEL_LINES)


def _versions() -> Iterator[str]:
    yield f"oc-agent {agent.__version__} at {Path(agent.__file__).parent}\n"
    yield f"Python {sys.version} at {sys.executable}\n{platform.platform()} {platform.machine()}\n"
    yield from sorted(f"{one.metadata['Name']} {one.version}\n" for one in distributions())
