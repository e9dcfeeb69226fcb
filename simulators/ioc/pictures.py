"""Pictures from their parts: what each needs, what has come, until when it may be kept.

1. A picture is written when all its parts are there and length and SHA-256 agree; otherwise never.
2. Where they do not agree its parts are dropped: sent again they mend it.
3. Parts and snapshot may come in any order, any number of times, with restarts in between.
4. A picture is deleted when its `keep_days` are over, complete or not; one that is older on arrival is never stored.
5. Parts without a snapshot are kept for a day, those of a picture that was refused or has expired not at all.
6. What is incomplete is bounded for each gateway: the oldest is given up, parts without a snapshot first.

`keep_days` count from when the picture was taken. Where the gateway's clock cannot be believed, or is ahead, they
count from when its snapshot came. Everything but counts and notices is in the files, and outlasts a restart.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256

import msgspec

from simulators.ioc.messages import MAX_PART_BYTES, MAX_PICTURE_BYTES, Malformed, Snapshot
from simulators.ioc.picture_files import About, Kept, PictureFiles
from simulators.ioc.rules import SeqRange

DAY_MS = 86_400_000
MAX_WAITING = 1_000
MAX_WAITING_BYTES = 256 * 1024 * 1024
MAX_CLOSED = 10_000
MAX_NOTICES = 100
Key = tuple[str, str]
"""Gateway and id: no gateway can touch the pictures of another."""


@dataclass(slots=True)
class Waiting:
    """An incomplete picture, and the size of each part that is there."""

    about: About
    sizes: dict[int, int] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return sum(self.sizes.values())

    @property
    def complete(self) -> bool:
        return self.about.snapshot is not None and len(self.sizes) == self.about.snapshot.parts

    @property
    def too_much(self) -> bool:
        """Whether more is there than can belong to it."""
        snapshot = self.about.snapshot
        if snapshot is None:
            return self.bytes > MAX_PICTURE_BYTES
        return self.bytes > snapshot.bytes or max(self.sizes, default=0) > snapshot.parts

    def missing(self) -> list[SeqRange]:
        """Which parts have not come; nothing where that is not known."""
        ranges: list[SeqRange] = []
        for part in range(1, self.about.snapshot.parts + 1 if self.about.snapshot else 1):
            if part not in self.sizes:
                if ranges and ranges[-1][1] == part - 1:
                    ranges[-1] = (ranges[-1][0], part)
                else:
                    ranges.append((part, part))
        return ranges


class Pictures:
    """Every snapshot and every part passes here. Methods raise `OSError`; what they took is then not on the disk."""

    def __init__(
        self,
        files: PictureFiles,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        max_waiting: int = MAX_WAITING,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.notices: deque[str] = deque(maxlen=MAX_NOTICES)
        self._files = files
        self._wall_ms = wall_ms
        self._max_waiting = max_waiting
        self._max_waiting_bytes = max_waiting_bytes
        self._kept: dict[Key, Kept] = {}
        self._waiting: dict[str, dict[str, Waiting]] = {}
        self._closed: dict[Key, None] = {}

    def open(self) -> None:
        """Take up what is in the folder, finish what a cut interrupted, and sweep."""
        self._files.open()
        self._kept.update({(gateway, picture): kept for gateway, picture, kept in self._files.kept()})
        for gateway, picture, about, sizes in self._files.waiting():
            if (gateway, picture) in self._kept:
                self._files.drop(gateway, picture)
            else:
                waiting = self._waiting.setdefault(gateway, {})[picture] = Waiting(about, sizes)
                self._settle((gateway, picture), waiting)
        self.sweep()
        for problem in self._files.problems:
            self._notice(problem)

    def expect(self, gateway: str, snapshot: Snapshot, keep_days: int, *, sure_of_time: bool) -> None:
        """A snapshot came; its parts may be here already."""
        key = gateway, snapshot.id
        now_ms = self._wall_ms()
        known = self._known(key)
        if known is not None:
            if known != snapshot:
                self._notice(f"{_name(key)}: another snapshot came under its id; the first one counts")
            return
        taken_ms = min(snapshot.time_ms, now_ms) if sure_of_time else now_ms
        about = About(now_ms, taken_ms + keep_days * DAY_MS, snapshot)
        if about.expires_ms <= now_ms:
            self.counts["expired"] += key not in self._closed
            self.refuse(*key)
            return
        self._closed.pop(key, None)
        self._put(key, about)

    def part(self, gateway: str, picture: str, part: int, data: bytes) -> None:
        """A part came; raises `Malformed` where it cannot be one."""
        key = gateway, picture
        if not 1 <= len(data) <= MAX_PART_BYTES:
            raise Malformed("part", f"{_name(key)}: part {part} has {len(data)} bytes")
        if key in self._closed:
            self.counts["dropped_parts"] += 1
        elif key in self._kept:
            self._repeated(key, part, data, self._part_of_kept(self._kept[key], part))
        else:
            self._part_of_waiting(key, part, data)

    def refuse(self, gateway: str, picture: str) -> None:
        """Delete what has come of an incomplete picture, and take no more of it."""
        key = gateway, picture
        self._drop(key)
        self._close(key)

    def sweep(self) -> None:
        """Delete what may not be kept any longer."""
        now_ms = self._wall_ms()
        for key, kept in list(self._kept.items()):
            if kept.expires_ms <= now_ms and self._deleted(key, partial(self._files.delete, kept)):
                del self._kept[key]
                self._close(key)
                self.counts["expired"] += 1
        for key, waiting in list(self.waiting()):
            if waiting.about.expires_ms <= now_ms and self._deleted(key, partial(self._drop, key)):
                self._count_overdue(key, waiting)

    @property
    def complete(self) -> int:
        """How many pictures stand in the folder now."""
        return len(self._kept)

    def waiting(self) -> Iterator[tuple[Key, Waiting]]:
        """All that is incomplete, gateway by gateway, the oldest first."""
        for gateway, pictures in self._waiting.items():
            for picture, waiting in pictures.items():
                yield (gateway, picture), waiting

    def _part_of_waiting(self, key: Key, part: int, data: bytes) -> None:
        waiting = self._waiting.get(key[0], {}).get(key[1])
        if waiting is None:
            now_ms = self._wall_ms()
            waiting = self._put(key, About(now_ms, now_ms + DAY_MS))
        elif part in waiting.sizes:
            self._repeated(key, part, data, self._files.part(*key, part))
            return
        if waiting.about.snapshot is not None and part > waiting.about.snapshot.parts:
            raise Malformed("part", f"{_name(key)}: part {part} of {waiting.about.snapshot.parts}")
        self._files.put_part(*key, part, data)
        waiting.sizes[part] = len(data)
        self._settle(key, waiting)

    def _put(self, key: Key, about: About) -> Waiting:
        self._files.put_about(*key, about)
        waiting = self._waiting.setdefault(key[0], {}).setdefault(key[1], Waiting(about))
        waiting.about = about
        self._settle(key, waiting)
        return waiting

    def _settle(self, key: Key, waiting: Waiting) -> None:
        """Something came: finish the picture, drop its parts, or make room for the others."""
        if waiting.too_much:
            self._bad(key, waiting, f"{waiting.bytes} bytes in parts up to {max(waiting.sizes)} are more than it has")
        elif waiting.complete and waiting.about.snapshot is not None:
            self._finish(key, waiting, waiting.about.snapshot)
        else:
            self._make_room(key)

    def _finish(self, key: Key, waiting: Waiting, snapshot: Snapshot) -> None:
        parts = range(1, snapshot.parts + 1)
        data = b"".join(self._files.part(*key, part) for part in parts)
        if len(data) != snapshot.bytes:
            self._bad(key, waiting, f"{len(data)} bytes, not {snapshot.bytes}")
        elif sha256(data).hexdigest() != snapshot.sha256:
            self._bad(key, waiting, "its bytes are not those of its sha256")
        else:
            sizes = tuple(waiting.sizes[part] for part in parts)
            about = msgspec.structs.replace(waiting.about, sizes=sizes)
            self._kept[key] = self._files.keep(key[0], snapshot, about, data)
            self._drop(key)

    def _bad(self, key: Key, waiting: Waiting, why: str) -> None:
        self.counts["bad"] += 1
        self._notice(f"{_name(key)}: {why}; its parts are dropped and may be sent again")
        self._files.drop_parts(*key)
        waiting.sizes.clear()

    def _make_room(self, newest: Key) -> None:
        """Give up what is oldest at this gateway while it has too much."""
        pictures = self._waiting[newest[0]]
        while len(pictures) > self._max_waiting or sum(w.bytes for w in pictures.values()) > self._max_waiting_bytes:
            others = [picture for picture in pictures if picture != newest[1]]
            if not others:
                return
            unannounced = [picture for picture in others if pictures[picture].about.snapshot is None]
            victim = newest[0], (unannounced or others)[0]
            self.counts["given_up"] += 1
            self._notice(f"{_name(victim)}: given up: this gateway has too many incomplete pictures")
            self.refuse(*victim)

    def _repeated(self, key: Key, part: int, data: bytes, known: bytes) -> None:
        self.counts["duplicate_parts"] += 1
        if data != known:
            self.counts["conflicting_parts"] += 1
            self._notice(f"{_name(key)}: part {part} came again with other bytes; the first ones count")

    def _part_of_kept(self, kept: Kept, part: int) -> bytes:
        about = self._files.about(kept)
        if about is None or part > len(about.sizes):
            raise Malformed("part", f"{kept.path.name}: part {part}")
        start = sum(about.sizes[: part - 1])
        return kept.path.read_bytes()[start : start + about.sizes[part - 1]]

    def _known(self, key: Key) -> Snapshot | None:
        kept, waiting = self._kept.get(key), self._waiting.get(key[0], {}).get(key[1])
        about = self._files.about(kept) if kept else waiting.about if waiting else None
        return about.snapshot if about else None

    def _count_overdue(self, key: Key, waiting: Waiting) -> None:
        if waiting.about.snapshot is None:
            self.counts["given_up"] += 1
            self._notice(f"{_name(key)}: parts came and no snapshot within a day; deleted")
        else:
            self.counts["expired"] += 1
            self._notice(f"{_name(key)}: expired before all its parts had come; deleted")
            self._close(key)

    def _deleted(self, key: Key, delete: Callable[[], None]) -> bool:
        """Delete; False where that failed, which is said, and tried again at the next sweep."""
        try:
            delete()
        except OSError as err:
            self._notice(f"{_name(key)} should be gone and could not be deleted: {err}")
            return False
        return True

    def _drop(self, key: Key) -> None:
        if key[1] in self._waiting.get(key[0], {}):
            self._files.drop(*key)
            del self._waiting[key[0]][key[1]]

    def _close(self, key: Key) -> None:
        self._closed[key] = None
        if len(self._closed) > MAX_CLOSED:
            del self._closed[next(iter(self._closed))]

    def _notice(self, text: str) -> None:
        if text not in self.notices:
            self.notices.append(text)


def _name(key: Key) -> str:
    return f"{key[0]}: picture {key[1]}"
