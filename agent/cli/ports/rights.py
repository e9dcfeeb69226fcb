"""May this user open a port, and what is to be done where not."""

import grp
import os
import pwd
import stat
from pathlib import Path

import msgspec

from agent.cli.messages import tr


class Owned(msgspec.Struct, frozen=True, kw_only=True):
    """Whose a device file is: its mode, its group, and whether `user` is in that, though maybe not in this login."""

    mode: int
    group: str
    user: str
    member: bool


def may_open(device: str) -> bool:
    """Both to read and to write; nothing is opened."""
    return os.access(device, os.R_OK | os.W_OK)


def owned(device: str) -> Owned:
    """Whose the device file is, seen by the user of this process; raises `OSError`."""
    found = Path(device).stat()
    user = _user()
    return Owned(mode=found.st_mode, group=_group(found.st_gid), user=user, member=_is_member(user, found.st_gid))


def is_root() -> bool:
    return os.geteuid() == 0


def advice(file: Owned) -> str:
    """What gives `file.user` the right to a port."""
    if not (file.mode & stat.S_IRGRP and file.mode & stat.S_IWGRP) or file.group == "root":
        return tr("only root may: use sudo, and look at the udev rules")
    if file.member:
        return tr("you are in the group {group} already: log out and in again", group=file.group)
    return tr("run: sudo usermod -aG {group} {user}; then log out and in again", group=file.group, user=file.user)


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _is_member(user: str, gid: int) -> bool:
    try:
        return gid in os.getgrouplist(user, pwd.getpwnam(user).pw_gid)
    except KeyError:
        return False
