"""The archive: each part is scrubbed into a temporary file, then packed; what fails is told in it, the others go on.

Only its owner may read it. It has its name when it is whole; before that it is gone with whoever makes it.
"""

import hashlib
import io
import os
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import msgspec

from agent.cli.support.commands import PartFailed
from agent.cli.support.parts import Part
from agent.cli.support.scrubbing import Scrubber
from agent.durable import sync_folder

_SPOOLED_BYTES = 256 * 1024
"""So much of a part is held in memory; what is more lies in a temporary file."""


class Packed(msgspec.Struct, frozen=True, kw_only=True):
    """One part as it is in the archive. `error` is "" where all went well; `cut`: there was more than its limit."""

    name: str
    bytes: int
    sha256: str
    seconds: float
    error: str = ""
    cut: bool = False


@contextmanager
def new_archive(path: Path, folder_name: str) -> Iterator["Archive"]:
    """An archive at `path`, whose files stand in the folder `folder_name`; raises OSError, also where it is there."""
    partial = path.with_name(path.name + ".partial")
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as out:
            _give_to_caller(fd)
            with tarfile.open(fileobj=out, mode="w:gz") as tar:
                yield Archive(tar, folder_name)
            out.flush()
            os.fsync(fd)
        os.link(partial, path)  # not a rename: it never replaces what is there
        sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


class Archive:
    """What is packed so far."""

    def __init__(self, tar: tarfile.TarFile, folder_name: str) -> None:
        self._tar = tar
        self._folder_name = folder_name
        self.packed: list[Packed] = []

    def add(self, part: Part, scrubber: Scrubber) -> Packed:
        """Make one part and pack what came of it."""
        began_s = time.monotonic()
        with tempfile.SpooledTemporaryFile(max_size=_SPOOLED_BYTES) as file:
            error = ""
            cut = False
            try:
                cut = _write(file, part.lines(), scrubber, part.max_bytes)
            except PartFailed as err:
                error = scrubber.text(str(err))
            size = file.tell()
            digest = self._pack(part.name, file, size) if size or not error else ""
        if error:
            data = (error + "\n").encode()
            self._pack(f"{part.name}.error.txt", io.BytesIO(data), len(data))
        packed = Packed(
            name=part.name,
            bytes=size,
            sha256=digest,
            seconds=round(time.monotonic() - began_s, 1),
            error=error,
            cut=cut,
        )
        self.packed.append(packed)
        return packed

    def add_manifest(self, manifest: dict[str, object]) -> None:
        """Say what is in it, as its last file."""
        data = msgspec.json.format(msgspec.json.encode(manifest | {"parts": self.packed}), indent=2) + b"\n"
        self._pack("manifest.json", io.BytesIO(data), len(data))

    def _pack(self, name: str, file: IO[bytes], size: int) -> str:
        """Returns the SHA-256 of what was packed."""
        file.seek(0)
        digest = hashlib.sha256()
        while block := file.read(_SPOOLED_BYTES):
            digest.update(block)
        file.seek(0)
        info = tarfile.TarInfo(f"{self._folder_name}/{name}")
        info.size, info.mode, info.mtime = size, 0o600, int(time.time())
        self._tar.addfile(info, file)
        return digest.hexdigest()


def _write(file: IO[bytes], lines: Iterable[str], scrubber: Scrubber, max_bytes: int) -> bool:
    """Write scrubbed lines; True where there were more than `max_bytes`."""
    for line in lines:
        data = scrubber.text(line).encode("utf-8", "replace")
        if file.tell() + len(data) > max_bytes:
            file.write(data[: max_bytes - file.tell()])
            return True
        file.write(data)
    return False


def _give_to_caller(fd: int) -> None:
    """Whoever called sudo gets the file, so that it can be sent."""
    with suppress(KeyError, ValueError, PermissionError):
        os.fchown(fd, int(os.environ["SUDO_UID"]), int(os.environ["SUDO_GID"]))
