"""What an error of SQLite says: the file is broken, there is no room, somebody holds it, or nothing about it. Pure."""

import errno
import sqlite3
from typing import Final

_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_HELD: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_PASSING: Final = frozenset(
    {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_FULL, sqlite3.SQLITE_PERM}
)


def is_damaged(err: Exception) -> bool:
    """Whether SQLite says that the file itself is broken."""
    return getattr(err, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def is_full(err: Exception) -> bool:
    """Whether there was no room: on the card, or under the limit of the file."""
    no_room = getattr(err, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
    return no_room or (isinstance(err, OSError) and err.errno in (errno.ENOSPC, errno.EDQUOT))


def is_held(err: sqlite3.Error) -> bool:
    """Whether SQLite says that somebody else holds the file, and nothing about what is in it."""
    return getattr(err, "sqlite_errorcode", 0) & 0xFF in _HELD


def may_pass(err: sqlite3.Error) -> bool:
    """Whether SQLite could not look, and says nothing about what is in the file: a later look may find it."""
    return is_held(err) or getattr(err, "sqlite_errorcode", 0) & 0xFF in _PASSING


def out_of_order(seq: int) -> sqlite3.DatabaseError:
    """A batch that comes where another should: what SQLite would say if it looked."""
    return _corrupt(f"batch {seq} stands in the place of another")


def not_there(first: int, last: int) -> sqlite3.DatabaseError:
    """Batches that were committed are not in the file: a page that holds what it held before they were written."""
    return _corrupt(f"batches of {first} to {last} are not in the file any more")


def _corrupt(message: str) -> sqlite3.DatabaseError:
    err = sqlite3.DatabaseError(message)
    err.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return err
