"""Putting a new configuration in its place: checked first, whole or not at all, the old one kept.

The configuration is 0640 for the group `oc-agent`, a password 0600 for the user `oc-agent`, where there are such.
"""

import grp
import os
import pwd
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

import msgspec

from agent.cli.messages import tr
from agent.cli.output import Failed
from agent.configuration import ConfigError, load_configuration
from agent.durable import sync_folder
from drivers.tomlfile import Problem

SERVICE = "oc-agent"
PASSWORD_FILE = "mqtt.password"  # noqa: S105 # the name of a file


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """What was written: `backup` and `password_file` are "" where there is none."""

    file: str
    backup: str
    password_file: str
    warnings: tuple[Problem, ...]


def check_place(target: Path, *, force: bool) -> None:
    """Raise `Failed` where `target` could not be written, before anything is asked."""
    folder = target.parent
    if target.exists() and not force:
        raise Failed(tr("{file} is there already: --force replaces it, and keeps it as a copy", file=target))
    if not folder.is_dir():
        raise Failed(tr("there is no folder {folder}: make it, or write --config FILE before init", folder=folder))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Failed(tr("you may not write into {folder}: use sudo, or write --config FILE before init", folder=folder))


def problems_of(text: str, target: Path, *, but: Sequence[str] = ()) -> list[Problem]:
    """What `check` says of a configuration that would stand at `target`; not about the keys in `but`."""
    with _written(text, target) as file:
        return _checked(file, target, but)[0]


def place(text: str, target: Path, *, password: str, but: Sequence[str], force: bool) -> Placed:
    """Write the configuration, and the password beside it; raises `ConfigError` where `check` finds anything."""
    with _written(text, target) as file:
        problems, warnings = _checked(file, target, but)
        if problems:
            raise ConfigError(problems)
        check_place(target, force=force)
        secret = target.parent / PASSWORD_FILE
        if password:
            _place_password(password, secret)
        backup = _keep(target)
        file.rename(target)
        sync_folder(target.parent)
    return Placed(
        file=str(target),
        backup=str(backup or ""),
        password_file=str(secret) if password else "",
        warnings=tuple(warnings),
    )


@contextmanager
def _written(text: str, target: Path) -> Iterator[Path]:
    """The text in a file beside `target`: what it names is looked for there. It is gone afterwards, or renamed."""
    file = _new_file(text, target.parent, 0o640)
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)


def _checked(file: Path, target: Path, but: Sequence[str]) -> tuple[list[Problem], list[Problem]]:
    """Problems and warnings, told of `target`."""

    def told(found: Sequence[Problem]) -> list[Problem]:
        return [
            msgspec.structs.replace(one, file=str(target)) if one.file == str(file) else one
            for one in found
            if one.key not in but
        ]

    try:
        return [], told(load_configuration(file).warnings)
    except ConfigError as err:
        return told(err.problems), []


def _place_password(password: str, secret: Path) -> None:
    file = _new_file(password + "\n", secret.parent, 0o600)
    with suppress(KeyError, PermissionError):
        user = pwd.getpwnam(SERVICE)
        os.chown(file, user.pw_uid, -1)
    _keep(secret)
    file.rename(secret)


def _keep(file: Path) -> Path | None:
    """Give what is there a second name with the time in it, so that a rename over it loses nothing."""
    if not file.exists():
        return None
    stem = f"{file.name}.bak-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    for name in (stem, *(f"{stem}-{i}" for i in range(2, 100))):
        with suppress(FileExistsError):
            os.link(file, file.with_name(name))
            return file.with_name(name)
    raise FileExistsError(stem)


def _new_file(text: str, folder: Path, mode: int) -> Path:
    """A file of its own in `folder`, on the disk before it is used; readable by the group of the service at most."""
    fd, name = tempfile.mkstemp(prefix=".init-", suffix=".new", dir=folder)
    with os.fdopen(fd, "w", encoding="utf-8") as out:
        if mode & 0o040:
            with suppress(KeyError, PermissionError):
                os.fchown(fd, -1, grp.getgrnam(SERVICE).gr_gid)
        os.fchmod(fd, mode)
        out.write(text)
        out.flush()
        os.fsync(fd)
    return Path(name)
