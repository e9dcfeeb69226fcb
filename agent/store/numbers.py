"""The numbers file: up to which number this outbox may have used, kept beside the outbox and not in it.

A card that goes back to an earlier state, or an outbox that is restored from a backup, would bring numbers back that
were given away. So a number counts as reserved only when this file says so too; it is written anew and renamed, and
on the card before it is believed. It also names the outbox file it belongs to, so that a copy is known to be one.
What it cannot see: a whole card put back from an image, byte by byte.
"""

import ctypes
import os
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from agent.durable import write_durably

NUMBERS_NAME: Final = "outbox.numbers"
_AT_FDCWD = -100
_STATX_BTIME = 0x800
_STATX_BYTES = 256
_BTIME_AT = 80


class _Content(msgspec.Struct, kw_only=True, array_like=True):
    epoch: str
    bound: int
    files: list[str]
    check: int = 0

    def sum(self) -> int:
        """CRC-32 of the other fields."""
        return zlib.crc32(f"{self.epoch}|{self.bound}|{'|'.join(self.files)}".encode())


class Numbers:
    """What the numbers file says. `known`: whether there is one that can be read."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NUMBERS_NAME
        self._content = _Content(epoch="", bound=0, files=[])
        self.known = False
        try:
            content = msgspec.json.decode(self._path.read_bytes(), type=_Content)
        except (FileNotFoundError, msgspec.MsgspecError):
            return
        if content.check == content.sum():
            self._content, self.known = content, True

    @property
    def epoch(self) -> str:
        """Whose numbers these are."""
        return self._content.epoch

    def bound_of(self, epoch: str) -> int:
        """Numbers of `epoch` up to here may have been used, as far as this file knows."""
        return self._content.bound if epoch == self._content.epoch else 0

    def is_of(self, epoch: str, file: str) -> bool:
        """Whether the outbox file that is known as `file` is the one that the numbers of `epoch` were given out for."""
        return epoch == self._content.epoch and file in self._content.files

    def write(self, epoch: str, bound: int, files: Iterable[str]) -> None:
        """Make these durable; raises OSError and leaves what was. Blocks for as long as the card takes."""
        content = _Content(epoch=epoch, bound=bound, files=list(files))
        content.check = content.sum()
        write_durably(self._path, msgspec.json.encode(content) + b"\n")
        self._content, self.known = content, True


def file_identity(path: Path) -> str:
    """What tells a file from every copy of it: its inode and when that was made (statx(2)); raises OSError."""
    buffer = (ctypes.c_uint8 * _STATX_BYTES)()
    inode = path.stat().st_ino
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "statx") or libc.statx(_AT_FDCWD, os.fsencode(path), 0, _STATX_BTIME, buffer):
        return str(inode)
    found = bytes(buffer)
    mask = int.from_bytes(found[:4], sys.byteorder)
    born = found[_BTIME_AT : _BTIME_AT + 12] if mask & _STATX_BTIME else b""
    return f"{inode}-{born.hex()}" if born else str(inode)
