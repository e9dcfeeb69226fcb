"""The rules of pictures, one test for each sentence at the top of `simulators.ioc.pictures`, over real files."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from simulators.ioc.messages import MAX_PART_BYTES, Malformed, Privacy, Snapshot
from simulators.ioc.picture_files import PictureFiles
from simulators.ioc.pictures import DAY_MS, Pictures

GATEWAY = "dng-hc-01"
ID = "01JDCQ7Z4K8M2N3P4Q5R6S7T9W"
TAKEN_MS = 1_795_432_811_900
DATA = bytes(range(250)) * 4
PARTS = [DATA[:400], DATA[400:800], DATA[800:]]


def snapshot(parts: list[bytes] = PARTS, **more: Any) -> Snapshot:
    data = b"".join(parts)
    head = {"id": ID, "device": "cam-01", "time_ms": TAKEN_MS, "mime": "image/jpeg", "width": 640, "height": 480}
    body = head | {"bytes": len(data), "sha256": sha256(data).hexdigest(), "parts": len(parts), "why": "schedule"}
    return Snapshot(**{**body, "privacy": Privacy("possible", "flood-verification", 7), **more})


class Bench:
    """An IOC's pictures, which may be restarted."""

    def __init__(self, folder: Path, **limits: int) -> None:
        self.folder = folder
        self.now_ms = TAKEN_MS + 1_000
        self._limits = limits
        self.restart()

    def restart(self) -> None:
        self.pictures = Pictures(PictureFiles(self.folder), lambda: self.now_ms, **self._limits)
        self.pictures.open()

    def expect(self, one: Snapshot | None = None, keep_days: int = 7, *, sure: bool = True) -> None:
        self.pictures.expect(GATEWAY, one or snapshot(), keep_days, sure_of_time=sure)

    def send(self, *numbers: int, picture: str = ID, parts: list[bytes] = PARTS) -> None:
        for number in numbers:
            self.pictures.part(GATEWAY, picture, number, parts[number - 1])

    @property
    def files(self) -> list[str]:
        return sorted(str(f.relative_to(self.folder)) for f in self.folder.rglob("*") if f.is_file())

    @property
    def waiting(self) -> dict[str, list[tuple[int, int]]]:
        return {key[1]: one.missing() for key, one in self.pictures.waiting()}


PICTURE = f"{GATEWAY}/cam-01/20261123T112011900Z-{ID}.jpg"
WHOLE = [PICTURE, PICTURE.replace(".jpg", ".json")]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "pictures")


def test_a_picture_is_written_when_all_its_parts_are_there(bench: Bench) -> None:
    bench.expect()
    bench.send(1, 3)
    assert bench.waiting == {ID: [(2, 2)]}
    assert not any(name.endswith(".jpg") for name in bench.files)
    bench.send(2)
    assert bench.files == sorted(WHOLE)
    assert (bench.folder / PICTURE).read_bytes() == DATA
    assert (bench.pictures.complete, bench.waiting, list(bench.pictures.notices)) == (1, {}, [])
    about = json.loads((bench.folder / WHOLE[1]).read_bytes())
    assert about["snapshot"]["privacy"] == {"class": "possible", "purpose": "flood-verification", "keep_days": 7}


def test_nobody_else_can_read_what_is_complete_or_not(bench: Bench) -> None:
    old = os.umask(0)
    try:
        bench.restart()
        bench.expect()
        bench.send(1, 2, 3)
        bench.expect(snapshot(id=ID[:-1] + "0"))
        bench.send(1, picture=ID[:-1] + "0")
    finally:
        os.umask(old)
    modes = {(f.is_dir(), f.stat().st_mode & 0o777) for f in bench.folder.rglob("*")}
    assert modes == {(True, 0o700), (False, 0o600)}


@pytest.mark.parametrize("broken", ["bytes", "length"])
def test_a_picture_whose_bytes_do_not_agree_is_never_written_and_a_resend_mends_it(bench: Bench, broken: str) -> None:
    bench.expect()
    wrong = [*PARTS[:2], PARTS[2][:-1] + (b"x" if broken == "bytes" else b"")]
    bench.send(1, 2, 3, parts=wrong)
    assert bench.files == [f"_incomplete/{GATEWAY}/{ID}/about.json"]
    assert bench.pictures.counts["bad"] == 1
    assert "dropped" in bench.pictures.notices[0]
    bench.restart()
    assert bench.waiting == {ID: [(1, 3)]}
    bench.send(1, 2, 3)
    assert bench.files == sorted(WHOLE)


def test_a_picture_whose_sha256_is_right_and_whose_length_is_not_is_bad(bench: Bench) -> None:
    bench.expect(snapshot(bytes=len(DATA) + 1))
    bench.send(1, 2, 3)
    assert (bench.pictures.counts["bad"], bench.waiting) == (1, {ID: [(1, 3)]})


def test_more_bytes_than_the_snapshot_says_are_bad_before_the_last_part(bench: Bench) -> None:
    bench.expect()
    bench.send(1, 2, parts=[bytes(900), bytes(900)])
    assert (bench.pictures.counts["bad"], bench.waiting) == (1, {ID: [(1, 3)]})


def test_parts_that_came_before_a_snapshot_that_has_fewer_are_bad(bench: Bench) -> None:
    bench.send(1, 3)
    bench.expect(snapshot(PARTS[:2]))
    assert (bench.pictures.counts["bad"], bench.waiting) == (1, {ID: [(1, 2)]})


def test_repeated_parts_are_counted_and_other_bytes_are_a_notice(bench: Bench) -> None:
    bench.expect()
    bench.send(1, 1)
    assert (bench.pictures.counts["duplicate_parts"], list(bench.pictures.notices)) == (1, [])
    bench.send(1, parts=[b"other"])
    assert "other bytes" in bench.pictures.notices[0]
    bench.send(2, 3)
    assert (bench.folder / PICTURE).read_bytes() == DATA
    bench.pictures.notices.clear()
    bench.send(1, 2, 3)
    assert (bench.pictures.counts["duplicate_parts"], list(bench.pictures.notices)) == (5, [])
    bench.send(2, parts=[b"", PARTS[0]])
    assert "other bytes" in bench.pictures.notices[0]
    assert bench.pictures.counts["conflicting_parts"] == 2
    assert bench.files == sorted(WHOLE)


def test_a_snapshot_that_comes_again_changes_nothing_and_another_under_its_id_is_a_notice(bench: Bench) -> None:
    bench.expect()
    bench.send(1)
    bench.expect()
    assert (bench.waiting, list(bench.pictures.notices)) == ({ID: [(2, 3)]}, [])
    bench.expect(snapshot(device="cam-02"))
    assert "another snapshot" in bench.pictures.notices[0]
    bench.send(2, 3)
    bench.pictures.notices.clear()
    bench.expect()
    assert (bench.files, bench.waiting, list(bench.pictures.notices)) == (sorted(WHOLE), {}, [])
    bench.expect(snapshot(device="cam-02"))
    assert "another snapshot" in bench.pictures.notices[0]


@pytest.mark.parametrize(
    ("part", "data"), [(1, b""), (1, bytes(MAX_PART_BYTES + 1)), (4, b"x")], ids=["empty", "too long", "too many"]
)
def test_what_cannot_be_a_part_is_malformed(bench: Bench, part: int, data: bytes) -> None:
    bench.expect()
    with pytest.raises(Malformed, match="part"):
        bench.pictures.part(GATEWAY, ID, part, data)
    assert bench.waiting == {ID: [(1, 3)]}
    bench.send(1, 2, 3)
    with pytest.raises(Malformed, match="part"):
        bench.pictures.part(GATEWAY, ID, part, data)


def test_one_gateway_cannot_touch_the_pictures_of_another(bench: Bench) -> None:
    bench.expect()
    bench.send(1, 2)
    bench.pictures.part("other", ID, 3, b"evil")
    assert bench.waiting[ID] == []  # what `other` sent is its own, and unannounced
    bench.send(3)
    assert (bench.folder / PICTURE).read_bytes() == DATA


def test_a_picture_is_deleted_when_its_days_are_over_also_after_a_restart(bench: Bench) -> None:
    bench.expect(keep_days=2)
    bench.send(1, 2, 3)
    bench.now_ms = TAKEN_MS + 2 * DAY_MS - 1
    bench.restart()
    bench.pictures.sweep()
    assert bench.files == sorted(WHOLE)
    bench.now_ms += 1
    bench.pictures.sweep()
    assert (bench.files, bench.pictures.complete, bench.pictures.counts["expired"]) == ([], 0, 1)
    bench.restart()
    assert bench.files == []


def test_the_start_sweeps(bench: Bench) -> None:
    bench.expect()
    bench.send(1, 2, 3)
    bench.now_ms += 8 * DAY_MS
    bench.restart()
    assert (bench.files, bench.pictures.counts["expired"]) == ([], 1)


def test_an_incomplete_picture_expires_too_and_its_parts_are_not_taken_any_more(bench: Bench) -> None:
    bench.expect()
    bench.send(1, 2)
    bench.now_ms = TAKEN_MS + 7 * DAY_MS
    bench.pictures.sweep()
    assert (bench.files, bench.waiting, bench.pictures.counts["expired"]) == ([], {}, 1)
    assert "before all its parts" in bench.pictures.notices[0]
    bench.send(3)
    assert (bench.files, bench.pictures.counts["dropped_parts"]) == ([], 1)


def test_a_picture_that_has_expired_on_arrival_is_never_stored(bench: Bench) -> None:
    bench.now_ms = TAKEN_MS + 7 * DAY_MS
    bench.send(1)
    bench.expect()
    bench.expect()
    bench.send(2, 3)
    assert (bench.files, bench.pictures.counts["expired"], bench.waiting) == ([], 1, {})


def test_days_count_from_the_arrival_where_the_clock_of_the_gateway_cannot_be_believed(bench: Bench) -> None:
    bench.expect(snapshot(time_ms=3_000), sure=False)
    bench.expect(snapshot(id=ID[:-1] + "0", time_ms=TAKEN_MS + 400 * DAY_MS))
    assert len(bench.waiting) == 2
    bench.now_ms += 7 * DAY_MS - 1
    bench.pictures.sweep()
    assert len(bench.waiting) == 2
    bench.now_ms += 1
    bench.pictures.sweep()
    assert bench.files == []


def test_parts_without_a_snapshot_are_kept_for_a_day(bench: Bench) -> None:
    bench.send(1)
    bench.now_ms += DAY_MS - 1
    bench.restart()
    assert bench.waiting == {ID: []}
    bench.now_ms += 1
    bench.pictures.sweep()
    assert (bench.files, bench.pictures.counts["given_up"]) == ([], 1)
    bench.send(1)
    bench.expect()
    assert bench.waiting == {ID: [(2, 3)]}


def test_nothing_is_kept_of_a_picture_that_was_refused(bench: Bench) -> None:
    bench.send(1)
    bench.pictures.refuse(GATEWAY, ID)
    bench.send(2)
    assert (bench.files, bench.waiting, bench.pictures.counts["dropped_parts"]) == ([], {}, 1)


def test_what_is_remembered_of_closed_pictures_is_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.ioc.pictures.MAX_CLOSED", 2)
    for number in range(9):
        bench.pictures.refuse(GATEWAY, _id(number))
    assert list(bench.pictures._closed) == [(GATEWAY, _id(7)), (GATEWAY, _id(8))]


def _id(number: int) -> str:
    return f"{ID[:-2]}{number:02}"


def test_the_number_of_incomplete_pictures_is_bounded(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_waiting=3)
    bench.expect(snapshot(id=_id(1)))
    bench.send(1, picture=_id(2))
    for number in (3, 4, 5):
        bench.expect(snapshot(id=_id(number)))
    assert list(bench.waiting) == [_id(3), _id(4), _id(5)]
    assert bench.pictures.counts["given_up"] == 2
    assert "too many" in bench.pictures.notices[0]
    assert _id(2) in bench.pictures.notices[0]
    bench.expect(snapshot(id=_id(1)))
    bench.send(1, 2, 3, picture=_id(1))
    assert bench.pictures.complete == 1


def test_the_bytes_of_incomplete_pictures_are_bounded(tmp_path: Path) -> None:
    bench = Bench(tmp_path, max_waiting_bytes=1_000)
    bench.expect()
    bench.send(1, 2)
    bench.send(1, picture=_id(1))
    assert (list(bench.waiting), bench.pictures.counts["given_up"]) == ([_id(1)], 1)


def test_parts_of_no_snapshot_may_not_be_more_than_a_picture(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.ioc.pictures.MAX_PICTURE_BYTES", 500)
    bench.send(1, 2)
    assert bench.pictures.counts["bad"] == 1
    assert bench.files == [f"_incomplete/{GATEWAY}/{ID}/about.json"]


def test_a_gateway_may_be_called_incomplete(bench: Bench) -> None:
    bench.pictures.expect("incomplete", snapshot(), 7, sure_of_time=True)
    for number, data in enumerate(PARTS, 1):
        bench.pictures.part("incomplete", ID, number, data)
    bench.restart()
    assert bench.files == sorted(name.replace(GATEWAY, "incomplete") for name in WHOLE)


def test_what_is_not_understood_is_named_and_left_alone(bench: Bench) -> None:
    bench.expect()
    bench.send(1, 2, 3)
    (bench.folder / WHOLE[1]).write_text("not JSON")
    (bench.folder / GATEWAY / "cam-01" / "holiday.jpg").write_bytes(b"x")
    bench.restart()
    assert len(bench.files) == 3
    assert sorted("holiday" in notice for notice in bench.pictures.notices) == [False, True]


def test_a_file_that_cannot_be_deleted_is_said_and_tried_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.expect()
    bench.send(1, 2, 3)
    bench.now_ms += 8 * DAY_MS
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", _refuse)
        bench.pictures.sweep()
    assert (bench.pictures.complete, "could not be deleted" in bench.pictures.notices[0]) == (1, True)
    bench.pictures.sweep()
    assert (bench.pictures.complete, bench.files) == (0, [])


def _refuse(_path: Path, **_more: Any) -> None:
    raise PermissionError("no")


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name) / "pictures"


@st.composite
def _stories(draw: st.DrawFn) -> tuple[list[bytes], list[str | int]]:
    """A picture, and a course of events in which everything comes at least once."""
    parts = draw(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=6))
    needed: list[str | int] = ["snapshot", *range(1, len(parts) + 1)]
    more = draw(st.lists(st.sampled_from([*needed, "restart", "sweep"]), max_size=12))
    return parts, draw(st.permutations(needed + more))


@settings(deadline=None)
@given(_stories())
def test_any_order_with_duplicates_and_restarts_gives_exactly_the_picture(
    story: tuple[list[bytes], list[str | int]],
) -> None:
    parts, events = story
    with _folder() as folder:
        bench = Bench(folder)
        sent: set[str | int] = set()
        for event in events:
            if event == "snapshot":
                bench.expect(snapshot(parts))
            elif event == "restart":
                bench.restart()
            elif event == "sweep":
                bench.pictures.sweep()
            else:
                bench.send(int(event), parts=parts)
            sent.add(event)
            pictures = [name for name in bench.files if name.endswith(".jpg")]
            assert bool(pictures) == (sent >= {"snapshot", *range(1, len(parts) + 1)})
        assert bench.files == sorted(WHOLE)
        assert (folder / PICTURE).read_bytes() == b"".join(parts)
        assert not bench.pictures.notices


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from([PARTS, [b"x" * 400, b"y" * 400, b"z" * 200]]))))
def test_broken_parts_in_between_give_exactly_the_picture_or_nothing(
    sent: list[tuple[int, list[bytes]]],
) -> None:
    with _folder() as folder:
        bench = Bench(folder)
        bench.expect()
        for number, parts in sent:
            bench.send(number, parts=parts)
            assert all((folder / name).read_bytes() == DATA for name in bench.files if name.endswith(".jpg"))
        for _ in range(2):  # once to get rid of what is broken, once to mend it
            bench.send(1, 2, 3)
        assert bench.files == sorted(WHOLE)


MAX_OPERATIONS = 140
"""More than one picture needs from the first part to the last."""


class Killed(BaseException):
    """Nothing happens any more."""


@contextmanager
def _killed_after(operations: int) -> Iterator[None]:
    """The process ends after so many operations on files."""
    left = operations

    def counted(operation: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **more: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            return operation(*args, **more)

        return run

    with pytest.MonkeyPatch.context() as patch:
        for name in ("fsync", "replace", "unlink", "mkdir", "rmdir", "open"):
            patch.setattr(os, name, counted(getattr(os, name)))
        with suppress(Killed):
            yield


@settings(deadline=None)
@given(st.integers(0, MAX_OPERATIONS), st.integers(0, 40), st.integers(0, 2**32), st.booleans())
@example(200, 0, 0, True)
def test_a_kill_at_any_moment_loses_nothing_that_is_sent_again(first: int, then: int, seed: int, corrupt: bool) -> None:
    events: list[int] = [0, 1, 2, 3]
    Random(seed).shuffle(events)
    with _folder() as folder:
        folder.mkdir()
        for operations in (first, then):
            with _killed_after(operations):
                bench = Bench(folder)
                for event in events:
                    _act(bench, event, [*PARTS[:2], b"?" * 200] if corrupt and operations == first else PARTS)
        bench = Bench(folder)
        written = [name for name in bench.files if name.endswith(".jpg")]
        assert all((folder / name).read_bytes() == DATA for name in written)
        for event in events * 2:
            _act(bench, event, PARTS)
        assert bench.files == sorted(WHOLE)
        assert (folder / PICTURE).read_bytes() == DATA
        bench.now_ms += 8 * DAY_MS
        with _killed_after(then):
            bench.pictures.sweep()
        bench.restart()
        assert bench.files == []


def test_no_picture_ever_stands_there_without_what_says_how_long_it_may_be_kept() -> None:
    for operations in range(MAX_OPERATIONS):
        with _folder() as folder:
            folder.mkdir()
            with _killed_after(operations):
                bench = Bench(folder)
                for event in range(4):
                    _act(bench, event, PARTS)
            assert not _undescribed(folder), operations
            bench = Bench(folder)
            for event in range(4):
                _act(bench, event, PARTS)
            assert bench.files == sorted(WHOLE)
            bench.now_ms += 8 * DAY_MS
            with _killed_after(operations):
                bench.pictures.sweep()
            assert not _undescribed(folder), operations
            bench.restart()
            assert (bench.files, list(bench.pictures.notices)) == ([], [])


def _undescribed(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*.jpg") if not file.with_suffix(".json").exists()]


def _act(bench: Bench, event: int, parts: list[bytes]) -> None:
    if event:
        bench.send(event, parts=parts)
    else:
        bench.expect()


def test_a_full_disk_leaves_no_half_file(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.expect()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", _full)
        with pytest.raises(OSError, match="full"):
            bench.send(1)
    assert bench.files == [f"_incomplete/{GATEWAY}/{ID}/about.json"]
    bench.send(1, 2, 3)
    assert bench.files == sorted(WHOLE)


def _full(_number: int) -> None:
    raise OSError("full")


def test_what_is_known_is_written_as_the_contract_names_it() -> None:
    assert msgspec.to_builtins(snapshot())["privacy"]["class"] == "possible"
