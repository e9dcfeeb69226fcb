"""A VFS under the SQLite of this Python, reached with ctypes: what SQLite does to the files of a card goes through it.

It is the default unix VFS but for opening and deleting, and for reading, writing, cutting, syncing and closing files
of a card (sqlite.org/vfs.html). Shared memory and locks stay what they are. Where the library cannot be reached (it is
linked into the interpreter without its names), `library()` is None and tests that need it are skipped.
"""

import _sqlite3
import ctypes
import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any, Protocol

OK = 0
SQLITE_FULL = 13
CANTOPEN = 14
IOERR_READ, IOERR_WRITE, IOERR_FSYNC, IOERR_TRUNCATE, IOERR_DELETE = (10 | n << 8 for n in (1, 3, 4, 6, 10))
IOERR_CORRUPTFS = 10 | 33 << 8
"""What the unix VFS makes of EIO in reading; SQLite tells the application SQLITE_CORRUPT. Of others: `IOERR_READ`."""
OPEN_READONLY, OPEN_READWRITE, OPEN_CREATE = 1, 2, 4
OPEN_JOURNALS = 0x800 | 0x4000 | 0x80000
"""Main journal, super-journal, WAL: with the first sync of such a file the unix VFS syncs its folder too."""
DEFAULT = 1

XOpen = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))
XDelete = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int)
XClose = CFUNCTYPE(c_int, c_void_p)
XTransfer = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
XTruncate = CFUNCTYPE(c_int, c_void_p, c_int64)
XSync = CFUNCTYPE(c_int, c_void_p, c_int)


class _Vfs(Structure):
    _fields_ = [
        ("version", c_int), ("os_file_bytes", c_int), ("max_path", c_int), ("next", c_void_p), ("name", c_char_p),
        ("app_data", c_void_p), ("open", c_void_p), ("delete", c_void_p), ("rest", c_void_p * 14),
    ]  # fmt: skip


class _Methods(Structure):
    _fields_ = [
        ("version", c_int), ("close", c_void_p), ("read", c_void_p), ("write", c_void_p), ("truncate", c_void_p),
        ("sync", c_void_p), ("rest", c_void_p * 13),
    ]  # fmt: skip


class CardFiles(Protocol):
    """The card as SQLite's files see it. Each method may raise OSError; `really` does it to the real file."""

    syncs_journals: bool

    def has(self, path: Path) -> bool:
        """Whether this path is on the card."""

    def open(self, path: Path, really: Callable[[], None], *, write: bool, create: bool, empty: bool) -> Any:
        """Open a file, give what it is known by below."""

    def read(self, file: Any, offset: int, size: int, really: Callable[[], None]) -> None: ...

    def write(self, file: Any, offset: int, data: bytes, really: Callable[[bytes], None]) -> int: ...

    def truncate(self, file: Any, size: int, really: Callable[[], None]) -> None: ...

    def sync(self, file: Any) -> None: ...

    def delete(self, path: Path, really: Callable[[], None], *, sync_folder: bool) -> None: ...


class _Refused(OSError):
    """What the unix VFS itself has answered."""

    def __init__(self, code: int) -> None:
        super().__init__(errno.EIO, f"SQLite's code {code}")
        self.code = code


@cache
def library() -> ctypes.CDLL | None:
    """The SQLite that the module `sqlite3` of this Python uses, or None."""
    found = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
    if not hasattr(found, "sqlite3_vfs_find"):
        return None
    found.sqlite3_vfs_find.restype = POINTER(_Vfs)
    found.sqlite3_vfs_find.argtypes = (c_char_p,)
    found.sqlite3_vfs_register.argtypes = (POINTER(_Vfs), c_int)
    found.sqlite3_vfs_unregister.argtypes = (POINTER(_Vfs),)
    return found


@contextmanager
def installed(card: CardFiles) -> Iterator[None]:
    """Every connection that is opened within goes through the card where its file is on it. One card at a time."""
    shim, sqlite = _shim(), library()
    assert sqlite is not None
    shim.card = card
    sqlite.sqlite3_vfs_register(shim.vfs, DEFAULT)
    try:
        yield
    finally:
        sqlite.sqlite3_vfs_register(shim.unix, DEFAULT)
        sqlite.sqlite3_vfs_unregister(shim.vfs)
        shim.card = None


@cache
def _shim() -> "_Shim":
    return _Shim()


class _Shim:
    """The VFS and its tables of methods. Never freed: a connection may outlive the card."""

    def __init__(self) -> None:
        sqlite = library()
        assert sqlite is not None
        self.card: CardFiles | None = None
        self.unix = sqlite.sqlite3_vfs_find(None)
        self.vfs = _Vfs.from_buffer_copy(self.unix.contents)
        self.vfs.next, self.vfs.name = None, b"faulty-card"
        self._open, self._delete = XOpen(self.unix.contents.open), XDelete(self.unix.contents.delete)
        self._kept = (XOpen(self._x_open), XDelete(self._x_delete))
        self.vfs.open, self.vfs.delete = (_address(function) for function in self._kept)
        self._tables: dict[int, _Table] = {}
        self.files: dict[int, tuple[CardFiles, Any]] = {}
        self.new_names: set[int] = set()

    def _x_open(self, _vfs: int, name: int | None, file: int, flags: int, out_flags: Any) -> int:
        path, card = _path(name), self.card
        if card is None or path is None or not card.has(path):
            return self._open(_unix(self), name, file, flags, out_flags)

        try:
            try:
                known = self._opened(card, path, name, file, flags, out_flags)
            except OSError:
                if not flags & OPEN_READWRITE or not path.exists():
                    raise
                read_only = flags & ~(OPEN_READWRITE | OPEN_CREATE) | OPEN_READONLY  # as the unix VFS does
                known = self._opened(card, path, name, file, read_only, out_flags)
        except OSError:
            c_void_p.from_address(file).value = None  # nothing to be closed
            return CANTOPEN
        self.files[file] = (card, known)
        if flags & OPEN_CREATE and flags & OPEN_JOURNALS:
            self.new_names.add(file)
        methods = c_void_p.from_address(file)
        original = methods.value
        assert original is not None
        if original not in self._tables:
            self._tables[original] = _Table(self, original)
        methods.value = self._tables[original].address
        return OK

    def _opened(self, card: CardFiles, path: Path, name: int | None, file: int, flags: int, out_flags: Any) -> Any:
        def really() -> None:
            _check(self._open(_unix(self), name, file, flags, out_flags))

        write, create = (bool(flags & flag) for flag in (OPEN_READWRITE, OPEN_CREATE))
        return card.open(path, really, write=write, create=create, empty=False)

    def _x_delete(self, _vfs: int, name: int, sync_folder: int) -> int:
        path, card = _path(name), self.card
        if card is None or path is None or not card.has(path):
            return self._delete(_unix(self), name, sync_folder)

        def really() -> None:
            _check(self._delete(_unix(self), name, 0))

        return _code(lambda: card.delete(path, really, sync_folder=bool(sync_folder)), IOERR_DELETE)


class _Table:
    """The methods of files of one kind: those of the unix VFS, five of them with the card in between."""

    def __init__(self, shim: _Shim, original: int) -> None:
        self._files, self._new_names = shim.files, shim.new_names
        methods = _Methods.from_buffer_copy(_Methods.from_address(original))
        methods.version = min(methods.version, 2)  # no memory mapping: reads would pass by
        self._close, self._truncate = XClose(methods.close), XTruncate(methods.truncate)
        self._read, self._write = XTransfer(methods.read), XTransfer(methods.write)
        self._kept = {
            "close": XClose(self._x_close),
            "read": XTransfer(self._x_read),
            "write": XTransfer(self._x_write),
            "truncate": XTruncate(self._x_truncate),
            "sync": XSync(self._x_sync),
        }
        for name, function in self._kept.items():
            setattr(methods, name, _address(function))
        self._methods = methods
        self.address = ctypes.addressof(methods)

    def _x_close(self, file: int) -> int:
        self._files.pop(file, None)
        self._new_names.discard(file)
        return self._close(file)

    def _x_read(self, file: int, buffer: int, size: int, offset: int) -> int:
        card, known = self._files[file]
        try:
            card.read(known, offset, size, lambda: _check(self._read(file, buffer, size, offset)))
        except _Refused as err:
            return err.code
        except OSError as err:
            return IOERR_CORRUPTFS if err.errno == errno.EIO else IOERR_READ
        return OK

    def _x_write(self, file: int, buffer: int, size: int, offset: int) -> int:
        card, known = self._files[file]
        written = 0

        def really(data: bytes) -> None:
            _check(self._write(file, buffer + written, len(data), offset + written))

        def write() -> None:
            nonlocal written
            while written < size:
                data = ctypes.string_at(buffer + written, size - written)
                written += card.write(known, offset + written, data, really)

        return _code(write, IOERR_WRITE)

    def _x_truncate(self, file: int, size: int) -> int:
        card, known = self._files[file]
        return _code(lambda: card.truncate(known, size, lambda: _check(self._truncate(file, size))), IOERR_TRUNCATE)

    def _x_sync(self, file: int, _flags: int) -> int:
        card, known = self._files[file]
        code = _code(lambda: card.sync(known), IOERR_FSYNC)
        if code == OK and file in self._new_names and card.syncs_journals:
            self._new_names.discard(file)
            with suppress(OSError):  # as in os_unix.c
                card.sync(None)
        return code


def _code(work: Callable[[], None], failed: int) -> int:
    """Do it, and give SQLite's code for how that went."""
    try:
        work()
    except _Refused as err:
        return err.code
    except OSError as err:
        return SQLITE_FULL if err.errno == errno.ENOSPC else failed
    return OK


def _check(code: int) -> None:
    if code != OK:
        raise _Refused(code)


def _unix(shim: _Shim) -> int:
    return ctypes.addressof(shim.unix.contents)


def _address(function: Any) -> int | None:
    return ctypes.cast(function, c_void_p).value


def _path(name: int | None) -> Path | None:
    return Path(ctypes.string_at(name).decode()) if name else None
