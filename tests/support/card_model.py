"""What a disk still holds after the power went: a cache of what was not synced, and a folder that stands for the disk.

The model is that of ext4 with `data=ordered`. A write reaches the disk when its file is synced; a name (create,
rename, delete) when any file or the folder is, all names in their order; on a card that is `strict` about names, as
POSIX allows, only when the folder is. What was not synced may survive by chance: see `Survive`. A sync that fails loses the writes that it was for, and the next one does not bring them back.
Not modelled: a cut within one operation (`torn` at the next one covers it), folders within the folder, times, modes.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any, Literal, NamedTuple

from agent.store.numbers import Numbers, file_identity

Survive = Literal["none", "all", "prefix", "random", "torn"]
"""What of the unsynced is on the disk: nothing, everything, what came first, or each block or sector by chance."""
BLOCK_BYTES = 4_096
SECTOR_BYTES = 512


class Create(NamedTuple):
    """A new, empty file; `identity` is what the agent knows it by."""

    name: str
    file: int
    identity: str


class Write(NamedTuple):
    """Bytes at a place of a file."""

    file: int
    offset: int
    data: bytes


class Truncate(NamedTuple):
    """A file is so long from now on."""

    file: int
    size: int


class Rename(NamedTuple):
    """A file has another name; what had that name is gone."""

    name: str
    new: str


class Delete(NamedTuple):
    """A name is gone."""

    name: str


class Sync(NamedTuple):
    """What was written into a file is on the disk, and all names; None is the folder."""

    file: int | None


class FailedSync(NamedTuple):
    """The disk refused what was written into a file since it was last synced."""

    file: int | None


Operation = Create | Write | Truncate | Rename | Delete | Sync | FailedSync


class Cache:
    """What a power cut takes: the operations that are not on the disk yet, in their order."""

    def __init__(self, *, strict: bool = False) -> None:
        self.unsynced: list[Operation] = []
        self._strict = strict
        self._nameless: list[Operation] = []

    def note(self, operation: Operation) -> list[Operation]:
        """Take an operation; gives those that are on the disk because of it."""
        match operation:
            case Sync(file) if self._strict and file is not None:
                done = self._take(lambda op: _is_content(op) and op.file == file)
                if not any(isinstance(op, Create) and op.file == file for op in self.unsynced):
                    return done
                self._nameless += done
            case Sync(None) if self._strict:
                done = [*self._take(lambda op: not _is_content(op)), *self._nameless]
                self._nameless = []
                return done
            case Sync(file):
                return self._take(lambda op: not _is_content(op) or op.file == file)
            case FailedSync(file):
                self.unsynced = [op for op in self.unsynced if not (isinstance(op, Write) and op.file == file)]
            case _:
                self.unsynced.append(operation)
        return []

    def _take(self, chosen: Callable[[Any], bool]) -> list[Operation]:
        done = [op for op in self.unsynced if chosen(op)]
        self.unsynced = [op for op in self.unsynced if not chosen(op)]
        return done

    def survivors(self, survive: Survive, random: Random) -> Sequence[Operation]:
        """What of the unsynced is on the disk although the power went; what is written behind a name goes with it."""
        kept = self._kept(survive, random)
        names = [op for op in kept if not _is_content(op)]
        return [*names, *self._nameless, *(op for op in kept if _is_content(op))] if self._nameless else kept

    def _kept(self, survive: Survive, random: Random) -> Sequence[Operation]:
        match survive:
            case "none":
                return []
            case "all":
                return self.unsynced
            case "prefix":
                return self.unsynced[: random.randint(0, len(self.unsynced))]
            case "random":
                return list(self._by_chance(BLOCK_BYTES, random))
            case "torn":
                return list(self._by_chance(SECTOR_BYTES, random))

    def _by_chance(self, block_bytes: int, random: Random) -> Iterator[Operation]:
        """Names and lengths up to some moment, as a journal keeps them; of the rest each block or none of it."""
        names = [op for op in self.unsynced if not isinstance(op, Write)]
        kept_names, chance = random.randint(0, len(names)), random.random()
        for operation in self.unsynced:
            if isinstance(operation, Write):
                yield from (part for part in _blocks(operation, block_bytes) if random.random() < chance)
            elif kept_names:
                kept_names -= 1
                yield operation


class Platter:
    """A folder that is changed by what reaches the disk, and by nothing else."""

    def __init__(self, folder: Path) -> None:
        self.identities: dict[str, str] = {}
        self._folder = folder
        self._names: dict[str, int] = {}
        self._fds: dict[int, int] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def apply(self, operation: Operation) -> None:
        """Bring one operation onto the disk; what belongs to a file that is gone is passed over."""
        match operation:
            case Create(name, file, identity):
                self._forget(name)
                self._fds[file] = os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
                self._names[name], self.identities[name] = file, identity
            case Write(file, offset, data) if file in self._fds:
                os.pwrite(self._fds[file], data, offset)
            case Truncate(file, size) if file in self._fds:
                os.ftruncate(self._fds[file], size)
            case Rename(name, new) if name in self._names:
                self._forget(new)
                (self._folder / name).rename(self._folder / new)
                self._names[new], self.identities[new] = self._names.pop(name), self.identities.pop(name)
            case Delete(name) if name in self._names:
                self._forget(name)
                (self._folder / name).unlink()

    def close(self) -> None:
        """The folder stays."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()

    def _forget(self, name: str) -> None:
        if name in self._names:
            os.close(self._fds.pop(self._names.pop(name)))
            del self.identities[name]


class OperationLog:
    """Everything that was done on a card, so that the power can be cut at any operation afterwards."""

    def __init__(self, *, strict: bool = False) -> None:
        self._strict = strict
        self.operations: list[Operation] = []
        self._found: list[Operation] = []

    def find(self, operations: Sequence[Operation]) -> None:
        """What brings about a file that was on the disk before."""
        self._found += operations

    def note(self, operation: Operation) -> None:
        self.operations.append(operation)

    def state_after(self, count: int, survive: Survive, seed: int, folder: Path) -> None:
        """Make `folder` what the disk holds when the power goes after `count` operations."""
        cache, platter = Cache(strict=self._strict), Platter(folder)
        for operation in [*self._found, *self.operations[:count]]:
            for done in cache.note(operation):
                platter.apply(done)
        for operation in cache.survivors(survive, Random(seed)):
            platter.apply(operation)
        platter.close()
        name_again(folder, platter.identities)


class Mirror:
    """A folder that always holds what the disk would, nothing unsynced surviving; for a process that is killed.

    Beside it, in `….identities`, stands what the agent knows its files by. What one process has left unsynced when it
    is killed is taken for synced when the next one begins: the kernel outlives both.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cache = Cache()
        self._platter = Platter(folder)

    def find(self, operations: Sequence[Operation]) -> None:
        """What brings about a file that was on the disk before."""
        for operation in operations:
            self._platter.apply(operation)
        self._write_identities()

    def note(self, operation: Operation) -> None:
        done = self._cache.note(operation)
        for one in done:
            self._platter.apply(one)
        if any(isinstance(one, Create | Rename | Delete) for one in done):
            self._write_identities()

    def _write_identities(self) -> None:
        path = identities_path(self._folder)
        temporary = path.with_name(path.name + "-new")
        temporary.write_text(json.dumps(self._platter.identities), encoding="utf-8")
        temporary.replace(path)


def identities_path(mirror: Path) -> Path:
    """Where a mirror says what the agent knows its files by."""
    return mirror.with_name(mirror.name + ".identities")


def name_again(folder: Path, identities: dict[str, str]) -> None:
    """Files of `folder` stand for others, known as `identities`: let the numbers file name them instead.

    After a real power cut they are still the same files.
    """
    numbers = Numbers(folder)
    if numbers.known:
        there = {name: identity for name, identity in identities.items() if (folder / name).exists()}
        here = {identity: file_identity(folder / name) for name, identity in there.items()}
        files = [here.get(identity, identity) for identity in numbers._content.files]
        numbers.write(numbers.epoch, numbers.bound_of(numbers.epoch), files)


def _is_content(operation: Operation) -> bool:
    return isinstance(operation, Write | Truncate)


def _blocks(write: Write, block_bytes: int) -> Iterator[Write]:
    at, end = write.offset, write.offset + len(write.data)
    while at < end:
        until = min(end, (at // block_bytes + 1) * block_bytes)
        yield Write(write.file, at, write.data[at - write.offset : until - write.offset])
        at = until
