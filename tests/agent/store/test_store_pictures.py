"""The shelf of pictures: what it promises about room, time and power cuts."""

import hashlib
import json
import stat
import zlib
from pathlib import Path
from random import Random
from typing import Any

import pytest
from contract_check import validator
from fake_clock import FakeClock
from picture_samples import PRIVACY, taken

from agent.clock import ClockState
from agent.model import Result, Snapshot
from agent.store.pictures import PART_BYTES, PictureShelf, ShelfFull, parts_of

DAY_S = 86_400


def decode(payload: bytes, pairs: Any = None) -> Any:
    plain = zlib.decompress(payload) if payload[:1] == b"\x78" else payload
    return json.loads(plain, object_pairs_hook=pairs)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def shelf(tmp_path: Path, clock: FakeClock) -> PictureShelf:
    return opened(tmp_path, clock)


def opened(folder: Path, clock: FakeClock, max_bytes: int = 10_000) -> PictureShelf:
    shelf = PictureShelf(folder / "pictures", max_bytes, clock, Random(1))
    shelf.open()
    return shelf


def put(shelf: PictureShelf, data: bytes = b"picture") -> str:
    snapshot, path = shelf.keep("cam-01", taken(data), PRIVACY, "schedule")
    shelf.announced(path)
    return snapshot.id


def ids(shelf: PictureShelf) -> list[str]:
    return [kept.id for kept in shelf.waiting()]


def test_a_picture_that_is_kept_survives_and_is_for_its_owner_only(
    shelf: PictureShelf, tmp_path: Path, clock: FakeClock
) -> None:
    one = put(shelf, b"first")
    clock.advance(1)
    two = put(shelf, b"second")
    again = opened(tmp_path, clock)
    assert ids(again) == [one, two]
    assert [kept.path.read_bytes() for kept in again.waiting()] == [b"first", b"second"]
    assert {stat.S_IMODE(kept.path.stat().st_mode) for kept in again.waiting()} == {0o600}
    assert stat.S_IMODE((tmp_path / "pictures" / "waiting").stat().st_mode) == 0o700


def test_what_is_known_of_a_picture_fits_its_bytes(shelf: PictureShelf) -> None:
    data = bytes(PART_BYTES + 1)
    big = PictureShelf(shelf._folder, 1_000_000, shelf._clock, Random(2))
    snapshot, _ = big.keep("cam-01", taken(data), PRIVACY, "command c-1")
    assert (snapshot.bytes, snapshot.parts, snapshot.why) == (len(data), 2, "command c-1")
    assert snapshot.sha256 == hashlib.sha256(data).hexdigest()
    assert [parts_of(n) for n in (1, PART_BYTES, PART_BYTES + 1)] == [1, 1, 2]


def test_one_that_was_never_announced_is_deleted_at_the_next_start_and_declared(
    shelf: PictureShelf, tmp_path: Path, clock: FakeClock
) -> None:
    shelf.keep("cam-01", taken(b"x"), PRIVACY, "schedule")
    (tmp_path / "pictures" / "taken" / "half.part").write_bytes(b"torn")
    again = opened(tmp_path, clock)
    assert again.bytes() == 0
    assert list((tmp_path / "pictures" / "taken").iterdir()) == []
    assert [event.reason for event in again.losses()] == ["picture_interrupted"]
    assert again.losses() == []


def test_those_that_were_sent_go_first_when_room_is_needed(shelf: PictureShelf, clock: FakeClock) -> None:
    old = put(shelf, bytes(4_000))
    clock.advance(1)
    shelf.sent(shelf.waiting()[0])
    second = put(shelf, bytes(4_000))
    clock.advance(1)
    third = put(shelf, bytes(4_000))
    assert ids(shelf) == [second, third]
    assert shelf.bytes() == 8_000
    assert shelf.losses() == []
    assert old not in ids(shelf)


def test_pictures_never_take_more_than_their_limit_and_one_that_goes_unsent_is_declared(
    shelf: PictureShelf, clock: FakeClock
) -> None:
    for _ in range(12):
        put(shelf, bytes(3_000))
        clock.advance(1)
        assert shelf.bytes() <= 10_000
    assert [event.reason for event in shelf.losses()] == ["picture_room"] * 9
    with pytest.raises(ShelfFull, match="picture_max_bytes"):
        put(shelf, bytes(10_001))
    assert len(ids(shelf)) == 3, "one that can never fit pushes nothing out"


def test_after_keep_days_a_picture_is_really_deleted_sent_or_not(
    shelf: PictureShelf, tmp_path: Path, clock: FakeClock
) -> None:
    put(shelf)
    shelf.sent(shelf.waiting()[0])
    put(shelf)
    clock.advance(PRIVACY.keep_days * DAY_S - 60)
    shelf.sweep()
    assert shelf.bytes() == 14
    clock.advance(120)
    shelf.sweep()
    assert shelf.bytes() == 0
    assert [path for path in (tmp_path / "pictures").rglob("*") if path.is_file()] == []
    assert [event.reason for event in shelf.losses()] == ["picture_expired"]


def test_a_clock_that_was_wrong_deletes_nothing_too_early_and_keeps_nothing_for_ever(
    tmp_path: Path, clock: FakeClock
) -> None:
    clock.wall_at_zero_ms, clock.clock_state = 0, ClockState.UNSYNC
    shelf = opened(tmp_path, clock)
    kept = put(shelf)
    clock.advance(100 * DAY_S)
    shelf.sweep()
    assert ids(shelf) == [kept], "what the clock says while it is not set counts for nothing"
    clock.wall_at_zero_ms, clock.clock_state = 1_795_432_000_000, ClockState.SYNC
    shelf.sweep()
    assert ids(shelf) == [kept], "a picture of 1970 is one of a clock that was wrong"
    clock.advance((PRIVACY.keep_days + 1) * DAY_S)
    shelf.sweep()
    assert ids(shelf) == []


async def test_a_snapshot_and_a_result_are_sealed_as_the_contract_says_and_survive_kill_9(lab: Any) -> None:
    async with lab.open() as store:
        mono_ns = lab.clock.mono_ns()
        known = Snapshot(
            id="01JDCQ7Z4K8M2N3P4Q5R6S7T9W", device="cam-01", mono_ns=mono_ns, mime="image/jpeg", width=640, height=480,
            bytes=7, sha256="0" * 64, parts=1, why="schedule", privacy=PRIVACY,
        )  # fmt: skip
        assert store.append_snapshot(known)
        store.append_result(Result(id="c-1", mono_ns=mono_ns, ok=False, error="no camera"))
        lab.kill()
    async with lab.open() as store:
        await lab.live(store, 1)
        batches = await lab.undelivered(store)
        found = {batch.kind: decode(batch.payload) for batch in batches}
        assert [str(decode(batch.payload, list)).count("('id',") for batch in batches] == [1, 1], "one id, its own"
        await lab.check_account(store)
    for kind in ("snapshot", "result"):
        validator(kind).validate(found[kind])
    assert found["snapshot"]["snapshot"]["privacy"] == {
        "class": "possible",
        "purpose": "flood-verification",
        "keep_days": 7,
    }
    assert found["result"]["result"]["error"] == "no camera"
