"""A card of which everything can go wrong, under the real SQLite and real files, without root.

A `FaultyCard` stands between one folder and whatever this process does to the files in it: SQLite through a VFS of
its own (`sqlite_vfs.py`), the agent's own files through the functions of `os`. It keeps what would be on the disk
after a power cut (`card_model.py`), and it fails on demand: full, EIO, read-only, slow, or a sync that lies.

Not seen: `open()` and what else does not go through `os`, folders in the folder, shared memory (`-shm`), locks.
"""

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from card_model import Create, Delete, FailedSync, Operation, Rename, Sync, Truncate, Write
from sqlite_vfs import installed, library

from agent.store.numbers import file_identity

Kind = Literal["open", "create", "read", "write", "truncate", "sync", "rename", "delete"]
"""What can fail; `open` is opening for writing."""
CHANGES: Final = frozenset[Kind](("open", "create", "write", "truncate", "sync", "rename", "delete"))
NEEDED: Final = "the SQLite of this Python cannot be reached with ctypes"
"""Why a test that needs a card is skipped where there can be none."""


def can_be_had() -> bool:
    """Whether this Python's SQLite lets a card get in between."""
    return library() is not None


class Keeper(Protocol):
    """Where a card notes what was done on it; see `card_model`."""

    def find(self, operations: Sequence[Operation]) -> None:
        """What brings about a file that was on the disk before."""

    def note(self, operation: Operation) -> None: ...


@dataclass(slots=True)
class Faults:
    """What goes wrong now. `errors`: the errno of each kind of operation.

    `only`: errors come only from files whose names match this, `beyond`: in reading, only from this byte of a file on.
    `room_bytes`: so much can still be added; below 0 where others wait for the room that will be given back.
    """

    errors: dict[Kind, int] = field(default_factory=dict)
    only: str = "*"
    beyond: int = 0
    room_bytes: int | None = None
    sync_delay_s: float = 0.0
    lying: bool = False

    def fail(self, number: int, *kinds: Kind) -> None:
        """Operations of these kinds fail from now on."""
        self.errors.update(dict.fromkeys(kinds, number))

    def heal(self) -> None:
        """The card is good again; what a lying sync has not written is not on it for that."""
        self.errors.clear()
        self.only, self.beyond = "*", 0
        self.room_bytes, self.sync_delay_s, self.lying = None, 0.0, False


@dataclass(slots=True)
class CardFile:
    """A file of the card, whatever its `name` is now."""

    name: str
    number: int
    size: int


class FaultyCard:
    """The files directly in `folder`, within `with card.inserted():`. `before_each` is called at each operation.

    `syncs_journals`: whether SQLite keeps the names of its journals itself (not where it was built without DIRSYNC).
    """

    def __init__(
        self,
        folder: Path,
        keeper: Keeper,
        before_each: Callable[[], None] = lambda: None,
        *,
        syncs_journals: bool = True,
    ) -> None:
        self.faults = Faults()
        self.syncs_journals = syncs_journals
        self._folder = folder
        self._keeper = keeper
        self._before_each = before_each
        self._names: dict[str, CardFile] = {}
        self._lock = threading.RLock()
        self._created = 0

    @contextmanager
    def inserted(self) -> Iterator["FaultyCard"]:
        """Everything that this process does to the folder goes through the card."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(self._folder.iterdir()):
            if self.has(path) and path.is_file():
                data = path.read_bytes()
                file = self._add(path.name, len(data))
                self._keeper.find([self._creation(path, file), Write(file.number, 0, data), Sync(file.number)])
        with installed(self), _Os(self).patched():
            yield self

    def has(self, path: Path) -> bool:
        """Whether this path is on the card; shared memory never is."""
        return path.parent == self._folder and not path.name.endswith("-shm")

    def is_folder(self, path: Path) -> bool:
        return path == self._folder

    def open(self, path: Path, really: Callable[[], None], *, write: bool, create: bool, empty: bool) -> CardFile:
        """Open a file, `create` it where there is none, `empty` it where there is one."""
        with self._lock:
            if write:
                self._check("open", path.name)
            file = self._names.get(path.name)
            if file is None:
                if create:
                    self._check("create", path.name)
                really()
                file = self._add(path.name, 0)
                self._keeper.note(self._creation(path, file))
                return file
            really()
            if empty and file.size:
                self._note_size(file, 0)
            return file

    def read(self, file: CardFile, offset: int, size: int, really: Callable[[], None]) -> None:
        if offset + size > self.faults.beyond:
            self._check("read", file.name)
        really()

    def write(self, file: CardFile, offset: int, data: bytes, really: Callable[[bytes], None]) -> int:
        """Write what there is room for, at least one byte, and give how many those are."""
        with self._lock:
            self._check("write", file.name)
            fits = self._fitting(file, offset, len(data))
            if not fits:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            really(data[:fits])
            file.size = max(file.size, offset + fits)
            self._keeper.note(Write(file.number, offset, data[:fits]))
            return fits

    def truncate(self, file: CardFile, size: int, really: Callable[[], None]) -> None:
        with self._lock:
            self._check("truncate", file.name)
            really()
            self._note_size(file, size)

    def allocate(self, file: CardFile, size: int, really: Callable[[], None]) -> None:
        """Make a file that long, all of it or nothing."""
        with self._lock:
            self._check("write", file.name)
            if self.faults.room_bytes is not None and self.faults.room_bytes < size - file.size:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._fitting(file, 0, size)
            really()
            self._note_size(file, max(size, file.size))

    def sync(self, file: CardFile | None) -> None:
        """Make a file durable, and all names; None is the folder. The real disk is spared: the card stands for it."""
        number = None if file is None else file.number
        time.sleep(self.faults.sync_delay_s)
        with self._lock:
            try:
                self._check("sync", "" if file is None else file.name)
            except OSError:
                self._keeper.note(FailedSync(number))
                raise
            if not self.faults.lying:
                self._keeper.note(Sync(number))

    def rename(self, path: Path, new: Path, really: Callable[[], None]) -> None:
        with self._lock:
            self._check("rename", path.name)
            really()
            self._forget(new.name)
            self._names[new.name] = file = self._names.pop(path.name)
            file.name = new.name
            self._keeper.note(Rename(path.name, new.name))

    def delete(self, path: Path, really: Callable[[], None], *, sync_folder: bool = False) -> None:
        with self._lock:
            if path.name in self._names or self.faults.errors.get("delete") == errno.EROFS:
                self._check("delete", path.name)
            really()
            self._forget(path.name)
            self._keeper.note(Delete(path.name))
        if sync_folder:
            self.sync(None)

    def _check(self, kind: Kind, name: str) -> None:
        self._before_each()
        number = self.faults.errors.get(kind)
        if number is not None and fnmatchcase(name, self.faults.only):
            raise OSError(number, os.strerror(number))

    def _fitting(self, file: CardFile, offset: int, size: int) -> int:
        """How many bytes of a write there is room for; what lies within the file needs none."""
        grown, room = max(0, offset + size - file.size), self.faults.room_bytes
        if room is None or not grown:
            return size
        taken = max(0, min(grown, room))
        self.faults.room_bytes = room - taken
        return size - grown + taken

    def _note_size(self, file: CardFile, size: int) -> None:
        self._give_back(file.size - size)
        file.size = size
        self._keeper.note(Truncate(file.number, size))

    def _add(self, name: str, size: int) -> CardFile:
        self._created += 1
        self._names[name] = CardFile(name, self._created, size)
        return self._names[name]

    def _forget(self, name: str) -> None:
        file = self._names.pop(name, None)
        if file is not None:
            self._give_back(file.size)

    def _give_back(self, size: int) -> None:
        if self.faults.room_bytes is not None:
            self.faults.room_bytes += max(0, size)

    @staticmethod
    def _creation(path: Path, file: CardFile) -> Create:
        return Create(path.name, file.number, file_identity(path))


class _Os:
    """The functions of `os` that the agent uses for its own files, with the card in between."""

    def __init__(self, card: FaultyCard) -> None:
        self._card = card
        self._real: dict[str, Any] = {name: getattr(os, name) for name in _FUNCTIONS}
        self._files: dict[int, CardFile | None] = {}
        self._offsets: dict[int, int] = {}

    @contextmanager
    def patched(self) -> Iterator[None]:
        for name in _FUNCTIONS:
            setattr(os, name, getattr(self, f"_{name}"))
        try:
            yield
        finally:
            for name, function in self._real.items():
                setattr(os, name, function)

    def _open(self, path: Any, flags: int, *mode: int, **rest: Any) -> int:
        where = _path(path)
        fd = -1

        def really() -> None:
            nonlocal fd
            fd = self._real["open"](path, flags, *mode, **rest)

        if self._card.is_folder(where):
            really()
            self._files[fd] = None
        elif self._card.has(where):
            write, create, empty = (bool(flags & flag) for flag in (os.O_WRONLY | os.O_RDWR, os.O_CREAT, os.O_TRUNC))
            file = self._card.open(where, really, write=write, create=create, empty=empty)
            self._files[fd], self._offsets[fd] = file, 0
        else:
            really()
        return fd

    def _read(self, fd: int, size: int) -> bytes:
        data = b""

        def really() -> None:
            nonlocal data
            data = self._real["read"](fd, size)

        file = self._files.get(fd)
        if file is None:
            really()
        else:
            self._card.read(file, self._offsets[fd], size, really)
            self._offsets[fd] += len(data)
        return data

    def _write(self, fd: int, data: bytes) -> int:
        file = self._files.get(fd)
        if file is None:
            return int(self._real["write"](fd, data))
        written = self._card.write(file, self._offsets[fd], data, lambda fitting: self._real["write"](fd, fitting))
        self._offsets[fd] += written
        return written

    def _posix_fallocate(self, fd: int, offset: int, size: int) -> None:
        def really() -> None:
            self._real["posix_fallocate"](fd, offset, size)

        file = self._files.get(fd)
        if file is None:
            really()
        else:
            self._card.allocate(file, offset + size, really)

    def _statvfs(self, path: Any) -> os.statvfs_result:
        found: os.statvfs_result = self._real["statvfs"](path)
        room = self._card.faults.room_bytes
        if room is None or not self._card.is_folder(_path(path)):
            return found
        figures = list(found)
        figures[3] = figures[4] = max(0, room) // found.f_frsize  # f_bfree and f_bavail
        return os.statvfs_result(figures)

    def _fsync(self, fd: int) -> None:
        if fd in self._files:
            self._card.sync(self._files[fd])
        else:
            self._real["fsync"](fd)

    def _close(self, fd: int) -> None:
        self._files.pop(fd, None)
        self._real["close"](fd)

    def _rename(self, path: Any, new: Any, **rest: Any) -> None:
        self._named("rename", path, lambda where, really: self._card.rename(where, _path(new), really), new, **rest)

    def _unlink(self, path: Any, **rest: Any) -> None:
        self._named("unlink", path, self._card.delete, **rest)

    def _named(self, name: str, path: Any, on_card: Callable[..., None], *arguments: Any, **rest: Any) -> None:
        def really() -> None:
            self._real[name](path, *arguments, **rest)

        where = _path(path)
        if self._card.has(where):
            on_card(where, really)
        else:
            really()


_FUNCTIONS: Final = ("open", "read", "write", "posix_fallocate", "statvfs", "fsync", "close", "rename", "unlink")


def _path(path: Any) -> Path:
    return Path(os.fsdecode(path))
