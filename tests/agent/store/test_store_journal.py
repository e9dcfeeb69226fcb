from pathlib import Path

import pytest

from agent.clock import ClockState
from agent.store.journal import Journal, is_ram_disk, last_number, old_segments
from agent.store.records import (
    OFFSET_BITS,
    Anchor,
    Record,
    RecordType,
    SealedHead,
    pack,
    pack_anchor,
    pack_batch,
    pack_ranges,
    pack_segment_head,
    parse,
    parse_anchor,
    parse_batch,
    parse_ranges,
)

HEAD = pack_segment_head("9f3c1a7be2d04455", "11111111-2222-3333-4444-555555555555")


def begun(folder: Path, number: int = 1) -> Journal:
    journal = Journal(folder, number)
    journal.write(RecordType.SEGMENT, 0, 5, HEAD)
    return journal


def test_a_torn_tail_is_cut_off_at_every_byte(tmp_path: Path) -> None:
    records = [pack(RecordType.SCAN, i, i, bytes([i]) * (i * 3)) for i in range(1, 5)]
    whole = b"".join(records)
    ends = [sum(map(len, records[: i + 1])) for i in range(4)]
    for length in range(len(whole) + 1):
        found = list(parse(whole[:length], 0))
        assert len(found) == sum(1 for end in ends if end <= length)
        assert all(record.body == bytes([i]) * (i * 3) for i, record in enumerate(found, 1))


def test_a_changed_byte_ends_the_reading_and_never_gives_another_record() -> None:
    records = [pack(RecordType.SCAN, i, i, bytes([65 + i]) * 7) for i in range(3)]
    whole = b"".join(records)
    for at in range(len(whole)):
        damaged = whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :]
        found = list(parse(damaged, 0))
        assert len(found) == at // len(records[0])
        assert [record.number for record in found] == list(range(len(found)))


def test_what_was_written_is_read_back_from_any_position(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    positions = []
    for i in range(300):
        positions.append(journal.write(RecordType.SCAN, 1, i, bytes([i % 251]) * 3_000))
        if i % 100 == 50:
            with journal.rotated():
                journal.write(RecordType.SEGMENT, 0, 0, HEAD)
    for start in (0, 1, 57, 151, 299):
        found = [record for record in journal.records(positions[start]) if record.type == RecordType.SCAN]
        assert [record.position for record in found] == positions[start:]
        assert all(record.body == bytes([record.mono_ns % 251]) * 3_000 for record in found)
    assert list(journal.records(journal.end)) == []
    journal.close(delete=True)
    assert list(tmp_path.iterdir()) == []


def test_a_record_larger_than_what_is_read_at_once_is_whole(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    journal.write(RecordType.SCAN, 1, 0, b"x" * 900_000)
    journal.write(RecordType.SCAN, 1, 0, b"y")
    assert [len(record.body) for record in journal.records(0)][1:] == [900_000, 1]
    journal.close(delete=True)


def test_old_segments_are_found_without_their_torn_tails(tmp_path: Path) -> None:
    journal = begun(tmp_path, 7)
    journal.write(RecordType.SCAN, 3, 9, b"abc")
    journal.close(delete=False)
    path = tmp_path / "00000007.seg"
    path.write_bytes(path.read_bytes() + pack(RecordType.SCAN, 1, 1, b"torn")[:-1])
    (tmp_path / "00000009.seg").write_bytes(b"not a segment at all")
    (tmp_path / "notes.txt").write_text("not ours")
    (segment,) = old_segments(tmp_path)
    assert segment.head.epoch == "9f3c1a7be2d04455"
    assert [record.body for record in segment.records[1:]] == [b"abc"]
    assert segment.end >> OFFSET_BITS == 7
    assert last_number(tmp_path) == 9


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    journal = begun(tmp_path)
    end, whole = journal.end, os.pwrite
    calls = 0

    def short(fd: int, data: bytes, offset: int) -> int:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise OSError(28, "No space left on device")
        return whole(fd, data[:5], offset)

    monkeypatch.setattr(os, "pwrite", short)
    with pytest.raises(OSError, match="No space"):
        journal.write(RecordType.SCAN, 1, 1, b"lost")
    monkeypatch.undo()
    assert journal.end == end
    journal.write(RecordType.SCAN, 1, 1, b"kept")
    journal.close(delete=False)
    assert [record.body for record in old_segments(tmp_path)[0].records[1:]] == [b"kept"]


def test_dropping_never_takes_the_segment_that_is_written(tmp_path: Path) -> None:
    journal = begun(tmp_path)
    for _ in range(3):
        with journal.rotated():
            journal.write(RecordType.SEGMENT, 0, 0, HEAD)
    journal.drop_before(3 << OFFSET_BITS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000003.seg", "00000004.seg"]
    journal.drop_before(1 << 62)
    assert [path.name for path in tmp_path.iterdir()] == ["00000004.seg"]
    journal.close(delete=True)


def test_bodies_come_back_as_they_were_packed() -> None:
    anchor = Anchor(77, 1_795_432_800_123, ClockState.HOLD)
    assert parse_anchor(Record(0, RecordType.ANCHOR, 0, 77, pack_anchor(anchor))) == anchor
    head = SealedHead(
        seq=9,
        kind="event",
        readings=4,
        sealed_ms=1,
        sealed_mono_ns=2,
        first_ms=-3,
        last_ms=4,
        oldest_mono_ns=5,
        cursor=6 << OFFSET_BITS,
    )
    record = Record(0, RecordType.BATCH, 4, 2, pack_batch(head, b"payload"))
    assert parse_batch(record) == (head, b"payload")
    assert parse_ranges(pack_ranges([(1, 2), (9, 9)])) == [(1, 2), (9, 9)]


def test_a_ram_disk_is_known_by_its_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 0:20 / / rw - ext4 /dev/root rw\n"
        "23 22 0:21 / /run rw,nosuid shared:5 - tmpfs tmpfs rw\n"
        "24 23 0:22 / /run/on\\040card rw - ext4 /dev/mmcblk0p2 rw\n"
    )
    assert is_ram_disk(Path("/run/oc-agent"), mounts)
    assert not is_ram_disk(Path("/run/on card/journal"), mounts)
    assert not is_ram_disk(Path("/runner"), mounts)
    assert is_ram_disk(Path("/dev/shm"))
