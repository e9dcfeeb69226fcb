"""The folder of pictures: what stands where, and how it gets there without ever standing there half.

    <gateway>/<device>/<time>-<id>.jpg    a picture; beside it .json: what is known of it, until when it is kept
    _incomplete/<gateway>/<id>/<part>     a part that waits for the others; beside it about.json

Every file is written under another name, synced and renamed; files are 0600 and folders 0700. No gateway can be
called `_incomplete`. A cut at any moment leaves what `open` mends: a picture without its .json never comes to be.
Names are safe because `messages` lets no others through. Knows no rules: those are in `pictures`.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from simulators.ioc.messages import DEVICE, ULID, Snapshot

_INCOMPLETE, _ABOUT = "_incomplete", "about.json"
_GATEWAY, _DEVICE, _ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}"), re.compile(DEVICE), re.compile(ULID)
_PART = re.compile(r"[1-9][0-9]{0,3}")
_HALF = re.compile(rf"\.(about\.json|{_PART.pattern}|\d{{8}}T\d{{9}}Z-{ULID}\.\w+)\.tmp")
_ENDINGS = {"image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/tiff": "tiff", "image/bmp": "bmp"}
_1970 = datetime(1970, 1, 1, tzinfo=UTC)


class About(msgspec.Struct, frozen=True):
    """What is known of a picture; without a `snapshot` some parts came first. `sizes` are those of its parts."""

    received_ms: int
    expires_ms: int
    snapshot: Snapshot | None = None
    sizes: tuple[int, ...] = ()


class Kept(msgspec.Struct, frozen=True):
    """A complete picture."""

    path: Path
    expires_ms: int


class PictureFiles:
    """One folder. Every method raises `OSError` where the disk does. Used from one thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []

    def open(self) -> None:
        """Make the folder, and remove what a cut left half written."""
        _make(self.folder / _INCOMPLETE)
        for folder in (*self._folders(self.folder / _INCOMPLETE, _ID), *self._folders(self.folder, _DEVICE)):
            for file in folder.iterdir():
                if _HALF.fullmatch(file.name):
                    file.unlink()

    def waiting(self) -> Iterator[tuple[str, str, About, dict[int, int]]]:
        """(gateway, id, what is known, the size of each part) of all that is incomplete, the oldest first."""
        found = []
        for folder in self._folders(self.folder / _INCOMPLETE, _ID):
            about = self._read(folder / _ABOUT) if (folder / _ABOUT).exists() else None
            if about is None:
                _remove(folder)
                continue
            parts = {int(f.name): f.stat().st_size for f in folder.iterdir() if _PART.fullmatch(f.name)}
            found.append((folder.parent.name, folder.name, about, parts))
        yield from sorted(found, key=lambda one: one[2].received_ms)

    def kept(self) -> Iterator[tuple[str, str, Kept]]:
        """(gateway, id, where) of all that is complete; what is not understood is named in `problems`."""
        for folder in self._folders(self.folder, _DEVICE):
            files = sorted(file for file in folder.iterdir() if file.is_file())
            described = {file.stem for file in files if file.suffix == ".json"}
            for file in files:
                if file.suffix == ".json":
                    yield from self._described(folder.parent.name, file)
                elif file.stem not in described:
                    self.problems.append(f"{file}: nothing says how long it may be kept; delete it by hand")

    def put_about(self, gateway: str, picture: str, about: About) -> None:
        _write(self._waiting(gateway, picture) / _ABOUT, msgspec.json.encode(about))

    def put_part(self, gateway: str, picture: str, part: int, data: bytes) -> None:
        _write(self._waiting(gateway, picture) / str(part), data)

    def part(self, gateway: str, picture: str, part: int) -> bytes:
        return (self._waiting(gateway, picture) / str(part)).read_bytes()

    def drop_parts(self, gateway: str, picture: str) -> None:
        """Delete the parts, and keep what is known of the picture."""
        folder = self._waiting(gateway, picture)
        for file in folder.iterdir():
            if file.name != _ABOUT:
                file.unlink()
        _sync_folder(folder)

    def drop(self, gateway: str, picture: str) -> None:
        """Delete everything of a picture that is incomplete."""
        _remove(self._waiting(gateway, picture))

    def keep(self, gateway: str, snapshot: Snapshot, about: About, data: bytes) -> Kept:
        """Write a picture, after what says how long it may be kept."""
        path = self._path(gateway, snapshot)
        _write(path.with_suffix(".json"), msgspec.json.encode(about))
        _write(path, data)
        return Kept(path, about.expires_ms)

    def about(self, kept: Kept) -> About | None:
        """What is known of a complete picture."""
        return self._read(kept.path.with_suffix(".json"))

    def delete(self, kept: Kept) -> None:
        """Delete a picture, then what is known of it."""
        kept.path.unlink(missing_ok=True)
        _sync_folder(kept.path.parent)
        kept.path.with_suffix(".json").unlink(missing_ok=True)

    def _described(self, gateway: str, file: Path) -> Iterator[tuple[str, str, Kept]]:
        about = self._read(file)
        if about is None:
            return
        if about.snapshot is None or self._path(gateway, about.snapshot).with_suffix(".json") != file:
            self.problems.append(f"{file} is about another picture")
        elif not self._path(gateway, about.snapshot).exists():
            file.unlink()
        else:
            yield gateway, about.snapshot.id, Kept(self._path(gateway, about.snapshot), about.expires_ms)

    def _read(self, file: Path) -> About | None:
        try:
            return msgspec.json.decode(file.read_bytes(), type=About)
        except msgspec.DecodeError as err:
            self.problems.append(f"{file} cannot be read: {err}; delete it and its picture by hand")
            return None

    def _folders(self, top: Path, name: "re.Pattern[str]") -> Iterator[Path]:
        """The folders of `name` in those of the gateways."""
        for gateway in sorted(top.iterdir()):
            if _GATEWAY.fullmatch(gateway.name) and gateway.is_dir():
                yield from sorted(f for f in gateway.iterdir() if name.fullmatch(f.name) and f.is_dir())

    def _waiting(self, gateway: str, picture: str) -> Path:
        return self.folder / _INCOMPLETE / gateway / picture

    def _path(self, gateway: str, snapshot: Snapshot) -> Path:
        taken = _1970 + timedelta(milliseconds=snapshot.time_ms)
        time = f"{taken:%Y%m%dT%H%M%S}{taken.microsecond // 1_000:03}Z"
        ending = _ENDINGS.get(snapshot.mime, "img")
        return self.folder / gateway / snapshot.device / f"{time}-{snapshot.id}.{ending}"


def _make(folder: Path) -> None:
    """Make a folder and those above it, so that they outlast a power cut."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(mode=0o700)
        _sync_folder(folder.parent)


def _write(file: Path, data: bytes) -> None:
    _make(file.parent)
    half = file.with_name(f".{file.name}.tmp")
    try:
        with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        half.replace(file)
    except OSError:
        with suppress(OSError):
            half.unlink()
        raise
    _sync_folder(file.parent)


def _remove(folder: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
