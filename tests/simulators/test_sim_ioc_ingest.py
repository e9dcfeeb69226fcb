"""The IOC stores what is sound, counts what is not, and never takes one gateway's word for another's."""

import json
import sqlite3
import zlib
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulators.ioc.db import Database
from simulators.ioc.ingest import SWEEP_EVERY_S, Ingest
from simulators.ioc.messages import (
    MAX_JSON_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_PART_BYTES,
    MAX_PARTS,
    MAX_PICTURE_BYTES,
    Malformed,
    plain,
)
from simulators.ioc.picture_files import PictureFiles
from simulators.ioc.pictures import DAY_MS, Pictures
from simulators.ioc.report import as_text, report
from simulators.ioc.rules import GAP_AGE_S
from simulators.latencies import Latencies

EPOCH = "9f3c1a7be2d04455"


def sealed(seq: int, low: int = 1, *, gateway: str = "gw-1", epoch: str = EPOCH, **more: Any) -> dict[str, Any]:
    """A message as the contract shows it."""
    scans = [{"device": "aq-01", "time_ms": seq * 1_000, "values": {"pm25": 35.2, "ok": True, "text": "é"}}]
    head = {"v": 1, "gateway": gateway, "epoch": epoch, "seq": seq, "sealed_ms": seq * 1_000 + 5, "low": min(low, seq)}
    return {**head, "config": "a1b2c3d4", "clock": "sync", "scans": scans} | more


PICTURE = b"the bytes of a picture"
ID = "01JDCQ7Z4K8M2N3P4Q5R6S7T9W"


def snapshot(seq: int, *, privacy: Any = None, **more: Any) -> dict[str, Any]:
    """The snapshot of `PICTURE`, in two parts."""
    body = {"id": ID, "device": "cam-01", "time_ms": 9_000, "mime": "image/jpeg", "width": 640, "height": 480}
    body |= {"bytes": len(PICTURE), "sha256": sha256(PICTURE).hexdigest(), "parts": 2, "why": "schedule"}
    body["privacy"] = privacy or {"class": "possible", "purpose": "flood-verification", "keep_days": 7}
    return sealed(seq, scans=None, snapshot=body | more)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "ioc.db")
    database.open()
    yield database
    database.close()


class Time:
    mono_s = 0.0
    wall_ms = 10_000


@pytest.fixture
def ingest(db: Database) -> Ingest:
    return Ingest(db, lambda: Time.wall_ms, lambda: Time.mono_s)


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    one = Pictures(PictureFiles(tmp_path / "pictures"), lambda: Time.wall_ms)
    one.open()
    return one


@pytest.fixture
def with_pictures(db: Database, pictures: Pictures) -> Ingest:
    return Ingest(db, lambda: Time.wall_ms, lambda: Time.mono_s, pictures)


def _send(ingest: Ingest, *messages: dict[str, Any], lane: str = "data") -> None:
    for message in messages:
        ingest.take(f"ocg/v1/{message['gateway']}/up/{lane}", json.dumps(message).encode())


def _rows(tmp_path: Path, sql: str) -> list[tuple[Any, ...]]:
    db = sqlite3.connect(tmp_path / "ioc.db")
    rows = db.execute(sql).fetchall()
    db.close()
    return rows


def test_readings_are_stored_with_value_quality_and_time(ingest: Ingest, tmp_path: Path) -> None:
    scan = {"device": "wl-02", "time_ms": 7, "values": {"level": None, "rain": 0.2}, "quality": {"level": "com"}}
    _send(ingest, sealed(1, scans=[scan]))
    rows = _rows(tmp_path, "SELECT device, point, time_ms, value, quality FROM reading ORDER BY point")
    assert rows == [("wl-02", "level", 7, "null", "com"), ("wl-02", "rain", 7, "0.2", "")]


def test_a_duplicate_is_counted_and_does_nothing(ingest: Ingest, tmp_path: Path) -> None:
    _send(ingest, sealed(1), sealed(1, scans=[{"device": "x", "time_ms": 1, "values": {"y": 1}}]))
    (gateway,) = report(ingest).gateways
    assert (gateway.readings, gateway.duplicates) == (3, 1)
    assert _rows(tmp_path, "SELECT COUNT(*) FROM reading WHERE device = 'x'") == [(0,)]


def test_an_unpacked_and_a_packed_message_are_the_same(ingest: Ingest) -> None:
    ingest.take("ocg/v1/gw-1/up/backfill", zlib.compress(json.dumps(sealed(1)).encode()))
    assert report(ingest).readings == 3


def test_a_reading_that_comes_again_with_another_value_is_counted_as_changed(ingest: Ingest, tmp_path: Path) -> None:
    one, same, other = ({"device": "d", "time_ms": 1, "values": {"p": v, "q": 1}} for v in (1, 1, 2))
    _send(ingest, sealed(1, scans=[one]), sealed(2, scans=[same]))
    assert report(ingest).gateways[0].changed == 0
    _send(ingest, sealed(3, scans=[other]))
    gateway = report(ingest).gateways[0]
    assert (gateway.changed, gateway.readings) == (1, 2)
    assert _rows(tmp_path, "SELECT value, changed FROM reading WHERE point = 'p'") == [("2", 1)]


def test_the_order_of_arrival_is_kept_for_each_lane(ingest: Ingest, tmp_path: Path) -> None:
    _send(ingest, sealed(3), sealed(5))
    _send(ingest, sealed(1), sealed(2), lane="backfill")
    _send(ingest, sealed(6))
    rows = _rows(tmp_path, "SELECT lane, seq FROM message ORDER BY id")
    assert rows == [("data", 3), ("data", 5), ("backfill", 1), ("backfill", 2), ("data", 6)]


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        ("ocg/v1/gw-1/up/data", json.dumps(sealed(1, gateway="gw-2")).encode(), "gateway"),
        ("ocg/v1/ioc/up/data", json.dumps(sealed(1, gateway="ioc")).encode(), "topic"),
        ("ocg/v1/GW/up/data", b"{}", "topic"),
        ("ocg/v1/gw-1/up/nonsense", b"{}", "topic"),
        ("ocg/v1/gw-1/up/data", b"", "encoding"),
        ("ocg/v1/gw-1/up/data", b"hello", "encoding"),
        ("ocg/v1/gw-1/up/data", b"{", "json"),
        ("ocg/v1/gw-1/up/data", b'{"v":1,"gateway":"\xff"}', "json"),
        ("ocg/v1/gw-1/up/data", b'{"x":' + b"[" * 100_000, "json"),
        ("ocg/v1/gw-1/up/health", b'{"v":1,"gateway":"gw-1","later":"\xff"}', "json"),
        ("ocg/v1/gw-1/up/data", b"{}", "schema"),
        ("ocg/v1/gw-1/up/data", json.dumps(sealed(1, sealed_ms=2**70)).encode(), "schema"),
        (
            "ocg/v1/gw-1/up/data",
            json.dumps(sealed(1, scans=[{"device": "d", "time_ms": 1, "values": {"p": 2**64}}])).encode(),
            "schema",
        ),
        ("ocg/v1/gw-1/up/data", json.dumps(sealed(1, scans=[{"device": "\ud800", "time_ms": 1}])).encode(), "json"),
        ("ocg/v1/gw-1/up/data", b"\x78\x9cnot zlib", "zlib"),
        ("ocg/v1/gw-1/up/data", zlib.compress(b"{}")[:-1], "zlib"),
        ("ocg/v1/gw-1/up/data", zlib.compress(b" " * (MAX_JSON_BYTES + 1)), "too_big"),
        ("ocg/v1/gw-1/up/data", b"{" + bytes(MAX_MESSAGE_BYTES), "too_big"),
        ("ocg/v1/gw-1/up/data", json.dumps(sealed(2) | {"low": 3}).encode(), "low"),
        ("ocg/v1/gw-1/up/data", json.dumps(sealed(0)).encode(), "schema"),
        ("ocg/v1/gw-1/up/data", json.dumps(sealed(2**53)).encode(), "schema"),
        ("ocg/v1/gw-1/up/data", json.dumps(sealed(1, epoch="XYZ")).encode(), "schema"),
        ("ocg/v1/gw-1/up/data", json.dumps(sealed(1, v=2)).encode(), "schema"),
        ("ocg/v1/gw-1/up/data", json.dumps(sealed(1, scans=[])).encode(), "schema"),
        ("ocg/v1/gw-1/up/data", json.dumps({k: v for k, v in sealed(1).items() if k != "scans"}).encode(), "empty"),
        (
            "ocg/v1/gw-1/up/data",
            json.dumps(sealed(1, scans=[{"device": "d", "time_ms": 1, "values": {"p": None}}])).encode(),
            "quality",
        ),
        (
            "ocg/v1/gw-1/up/data",
            json.dumps(sealed(1, scans=[{"device": "d", "time_ms": 1, "values": {"p": "x" * 1_025}}])).encode(),
            "schema",
        ),
        ("ocg/v1/gw-1/up/status", b'{"v":1,"gateway":"gw-2","online":true}', "gateway"),
        ("ocg/v1/gw-1/up/data", json.dumps(sealed(1, epoch=EPOCH + "\n")).encode(), "schema"),
        ("ocg/v1/gw-1/up/blob/../../x/1", b"x", "topic"),
        (f"ocg/v1/gw-1/up/blob/{ID}", b"x", "topic"),
        (f"ocg/v1/gw-1/up/blob/{ID}/0", b"x", "topic"),
        (f"ocg/v1/gw-1/up/blob/{ID}/01", b"x", "topic"),
        (f"ocg/v1/gw-1/up/blob/{ID}/{MAX_PARTS + 1}", b"x", "topic"),
        (f"ocg/v1/gw-1/up/blob/{ID}/1\n", b"x", "topic"),
        (f"ocg/v1/gw-1/up/blob/{ID.lower()}/1", b"x", "topic"),
        ("ocg/v1/gw-1/up/snapshot", json.dumps(snapshot(1, id="../../etc/passwd")).encode(), "schema"),
        ("ocg/v1/gw-1/up/snapshot", json.dumps(snapshot(1, id=ID + "\n")).encode(), "schema"),
        ("ocg/v1/gw-1/up/snapshot", json.dumps(snapshot(1, id="8" + ID[1:])).encode(), "schema"),
        ("ocg/v1/gw-1/up/snapshot", json.dumps(snapshot(1, device="../x")).encode(), "schema"),
        ("ocg/v1/gw-1/up/snapshot", json.dumps(snapshot(1, device="..")).encode(), "schema"),
        ("ocg/v1/gw-1/up/snapshot", json.dumps(snapshot(1, device="cam\n")).encode(), "schema"),
        ("ocg/v1/gw-1/up/snapshot", json.dumps(snapshot(1, sha256="0" * 63)).encode(), "schema"),
        ("ocg/v1/gw-1/up/snapshot", json.dumps(snapshot(1, time_ms=2**52)).encode(), "schema"),
        ("ocg/v1/gw-1/up/snapshot", json.dumps(snapshot(1, parts=0)).encode(), "schema"),
        ("ocg/v1/gw-1/up/snapshot", json.dumps(snapshot(1, parts=len(PICTURE) + 1)).encode(), "parts"),
        ("ocg/v1/gw-1/up/snapshot", json.dumps(snapshot(1, bytes=2 * MAX_PART_BYTES + 1)).encode(), "parts"),
        ("ocg/v1/gw-1/up/snapshot", json.dumps(snapshot(1, bytes=MAX_PICTURE_BYTES + 1)).encode(), "too_big"),
        ("ocg/v1/gw-1/up/snapshot", json.dumps(snapshot(1, parts=MAX_PARTS + 1)).encode(), "too_big"),
    ],
)
def test_a_malformed_message_is_counted_by_reason_and_changes_nothing(
    ingest: Ingest, topic: str, payload: bytes, reason: str
) -> None:
    ingest.take(topic, payload)
    assert ingest.malformed == {reason: 1}
    assert ingest.gateways == {}
    assert list(ingest.acks()) == []
    assert "malformed" in as_text(report(ingest))


def rowed(seq: int = 1, **first: Any) -> dict[str, Any]:
    """A message in rows, beside one scan with names; `first` are other fields of the first scan."""
    scans = [
        {"device": "aq-01", "time_ms": 1_000, "shape": 1, "row": [35.2, True, "é"]} | first,
        {"device": "aq-02", "time_ms": 1_001, "shape": 1, "row": [None, False, "e"], "quality": {"pm25": "com"}},
        {"device": "wl-02", "time_ms": 1_002, "values": {"level": 2.5}},
    ]
    return sealed(seq, shapes=[["a"], ["pm25", "ok", "text"]], scans=scans)


def test_rows_are_stored_as_their_names_say(ingest: Ingest, tmp_path: Path) -> None:
    ingest.take("ocg/v1/gw-1/up/data", json.dumps(rowed()).encode())
    assert ingest.malformed == {}
    found = _rows(tmp_path, "SELECT device, point, time_ms, value, quality FROM reading ORDER BY device, point")
    assert found == [
        ("aq-01", "ok", 1_000, "true", ""),
        ("aq-01", "pm25", 1_000, "35.2", ""),
        ("aq-01", "text", 1_000, '"é"', ""),
        ("aq-02", "ok", 1_001, "false", ""),
        ("aq-02", "pm25", 1_001, "null", "com"),
        ("aq-02", "text", 1_001, '"e"', ""),
        ("wl-02", "level", 1_002, "2.5", ""),
    ]
    assert ingest.gateways["gw-1"].newest["aq-01"] == {"pm25": 35.2, "ok": True, "text": "é"}


@pytest.mark.parametrize(
    ("message", "reason", "words"),
    [
        (rowed(shape=2), "rows", "a scan of aq-01 has shape 2, and there are 2 shapes"),
        (rowed(shape=-1), "rows", "a scan of aq-01 has shape -1, and there are 2 shapes"),
        (rowed() | {"shapes": []}, "rows", "a scan of aq-01 has shape 1, and there are 0 shapes"),
        (rowed(row=[35.2, True]), "rows", "a row of aq-01 has 2 values for 3 names"),
        (rowed(row=[35.2, True, "é", 1]), "rows", "a row of aq-01 has 4 values for 3 names"),
        (rowed(shape=None), "rows", "a scan of aq-01 has to have values, or a shape and a row"),
        (rowed(row=None), "rows", "a scan of aq-01 has to have values, or a shape and a row"),
        (rowed(values={"pm25": 1}), "rows", "a scan of aq-01 has to have values, or a shape and a row"),
        (rowed() | {"shapes": [["a"], ["a", "b", "a"]]}, "rows", "shape 1 has a name twice"),
        (rowed() | {"shapes": [[], []]}, "rows", "a row of aq-01 has 3 values for 0 names"),
        (rowed(shape=0, row=[[1]]), "schema", ""),
        (rowed(row=[None, True, "é"]), "quality", "aq-01.pm25 is null without a quality"),
        (rowed(row=[2**64, True, "é"]), "schema", ""),
        (rowed(shape=None, row=None), "empty", "a scan of aq-01"),
    ],
)
def test_a_bad_row_is_refused_by_name_and_changes_nothing(
    ingest: Ingest, message: dict[str, Any], reason: str, words: str
) -> None:
    ingest.take("ocg/v1/gw-1/up/data", json.dumps(message).encode())
    assert ingest.malformed == {reason: 1}
    assert words in ingest.last_malformed
    assert ingest.gateways == {}
    assert list(ingest.acks()) == []


LANES = ["data", "event", "status", "birth/x", "health", "blob/1/2", f"blob/{ID}/1"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=300), st.sampled_from(LANES))
def test_no_message_makes_the_ioc_fail(with_pictures: Ingest, payload: bytes, lane: str) -> None:
    with_pictures.take(f"ocg/v1/gw-1/up/{lane}", payload)


def test_fields_that_the_ioc_does_not_know_are_ignored(ingest: Ingest) -> None:
    _send(ingest, sealed(1, later="more"))
    assert report(ingest).readings == 3


def test_an_ack_is_given_once_for_what_is_new_and_again_for_a_duplicate(ingest: Ingest) -> None:
    _send(ingest, sealed(1), sealed(3))
    ((topic, payload),) = ingest.acks()
    ack = json.loads(payload)
    assert topic == "ocg/v1/gw-1/down/ack"
    assert (ack["v"], ack["epoch"], ack["cumulative"], ack["selective"]) == (1, EPOCH, 1, [[3, 3]])
    assert list(ingest.acks()) == []
    _send(ingest, sealed(3))
    assert len(list(ingest.acks())) == 1


def test_an_old_gap_asks_for_replay(ingest: Ingest) -> None:
    Time.mono_s = 0.0
    _send(ingest, sealed(1), sealed(4))
    assert list(ingest.replays()) == []
    Time.mono_s = GAP_AGE_S
    ((topic, payload),) = ingest.replays()
    assert topic == "ocg/v1/gw-1/down/replay"
    assert json.loads(payload)["ranges"] == [[2, 3]]
    assert list(ingest.replays()) == []


def test_what_became_of_a_replay_is_stored(ingest: Ingest, tmp_path: Path) -> None:
    result = {"id": "r-1", "time_ms": 5, "ok": True, "readings": 24, "ranges": [[2, 3]], "missing": [[1, 1]]}
    _send(ingest, *[sealed(1, scans=None, result=result)] * 2, lane="result")
    rows = _rows(tmp_path, "SELECT gateway, request, ok, body FROM result")
    assert [(*row[:3], json.loads(row[3])) for row in rows] == [("gw-1", "r-1", 1, result)]


def test_a_new_epoch_of_a_known_gateway_is_a_notice_to_the_operator(ingest: Ingest) -> None:
    _send(ingest, sealed(5), sealed(1, epoch="0" * 16))
    (notice,) = report(ingest).notices
    assert "gw-1: new epoch 0000000000000000" in notice
    assert [e.received for e in report(ingest).gateways[0].epochs] == [1, 1]


def test_losses_that_the_gateway_declared_are_told_from_those_it_did_not(ingest: Ingest) -> None:
    event = {"id": "1", "type": "data.lost", "severity": "major", "time_ms": 1, "message": {}, "ranges": [[2, 4]]}
    _send(ingest, sealed(1), sealed(9, 8))
    _send(ingest, sealed(10, 8, scans=None, event=event | {"readings": 30}), lane="event")
    (gateway,) = report(ingest).gateways
    assert (gateway.lost, gateway.epochs[0].declared, gateway.declared_lost_readings) == (6, 3, 30)


def test_a_restarted_ioc_goes_on_where_its_database_ends(ingest: Ingest, db: Database) -> None:
    _send(ingest, sealed(1), sealed(2), sealed(2), sealed(5, 4), sealed(7, 4))
    before = report(ingest)
    again = Ingest(db)
    after = report(again)
    assert (after.readings, after.duplicates, after.lost) == (before.readings, before.duplicates, before.lost)
    assert after.gateways[0].epochs == before.gateways[0].epochs
    _send(again, sealed(7, 4))
    assert report(again).duplicates == before.duplicates + 1


def test_status_says_whether_a_gateway_is_online_and_an_empty_birth_takes_a_device_back(
    ingest: Ingest, tmp_path: Path
) -> None:
    ingest.take("ocg/v1/gw-1/up/status", b'{"v":1,"gateway":"gw-1","online":true}')
    assert report(ingest).gateways[0].online is True
    ingest.take("ocg/v1/gw-1/up/birth/a", b'{"v":1,"gateway":"gw-1","device":"a"}')
    ingest.take("ocg/v1/gw-1/up/birth/a", b"")
    ingest.take("ocg/v1/gw-1/up/status", b'{"v":1,"gateway":"gw-1","online":false}')
    assert report(ingest).gateways[0].online is False
    assert [topic for (topic,) in _rows(tmp_path, "SELECT topic FROM retained")] == ["ocg/v1/gw-1/up/status"]


def test_latency_is_of_live_data_only(ingest: Ingest) -> None:
    _send(ingest, sealed(1), lane="backfill")
    assert report(ingest).latency_p50_ms is None
    Time.wall_ms = 2_040
    _send(ingest, sealed(2))
    Time.wall_ms = 10_000
    assert (report(ingest).latency_p50_ms, report(ingest).latency_p99_ms) == (40, 40)


def test_percentiles_are_the_smallest_latency_that_so_many_do_not_exceed() -> None:
    latencies = Latencies()
    for latency_ms in range(1, 101):
        latencies.add(latency_ms, 1)
    latencies.add(10**9, 1)
    assert (latencies.percentile(50), latencies.percentile(99), latencies.percentile(100)) == (51, 100, 60_000)


def test_bytes_that_begin_like_neither_json_nor_zlib_are_refused() -> None:
    with pytest.raises(Malformed, match="encoding"):
        plain(b"\x00")


def _step(seq: int, offset_ms: int, *ranges: list[int]) -> dict[str, Any]:
    body = {"id": ID, "type": "clock.step", "severity": "minor", "time_ms": 99, "message": {}, "offset_ms": offset_ms}
    return sealed(seq, scans=None, event=body | {"ranges": list(ranges)}, clock="sync")


@pytest.mark.parametrize("order", [(1, 2, 5, 9), (9, 1, 2, 5), (1, 9, 5, 2)])
def test_times_of_a_clock_that_was_set_late_are_made_right_in_whatever_order_messages_come(
    ingest: Ingest, db: Database, order: tuple[int, ...]
) -> None:
    messages = {seq: sealed(seq, clock="unsync") for seq in (1, 2)} | {5: sealed(5), 9: _step(9, 1_000, [1, 8])}
    for seq in order:
        for _ in range(2):  # a duplicate changes nothing
            ingest.take(f"ocg/v1/gw-1/up/{'event' if seq == 9 else 'data'}", json.dumps(messages[seq]).encode())
    rows = db._connection.execute("SELECT time_ms FROM reading WHERE point = 'pm25' ORDER BY time_ms").fetchall()
    assert rows == [(2_000,), (3_000,), (5_000,)]  # the first moved to where the second still was


def _send_parts(ingest: Ingest, *numbers: int) -> None:
    for number in numbers:
        data = PICTURE[:10] if number == 1 else PICTURE[10:]
        ingest.take(f"ocg/v1/gw-1/up/blob/{ID}/{number}", data)


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.jpg"))


def test_a_picture_counts_by_its_snapshot_and_its_parts_do_not(with_pictures: Ingest, tmp_path: Path) -> None:
    _send(with_pictures, sealed(1))
    _send(with_pictures, snapshot(2), lane="snapshot")
    ((_, ack),) = with_pictures.acks()
    assert json.loads(ack)["cumulative"] == 2
    _send_parts(with_pictures, 1, 2)
    assert list(with_pictures.acks()) == []
    (file,) = _pictures_in(tmp_path)
    assert file.read_bytes() == PICTURE
    assert (report(with_pictures).pictures.complete, with_pictures.malformed) == (1, {})


def test_the_report_lists_what_is_missing(with_pictures: Ingest) -> None:
    assert "pictures" not in as_text(report(with_pictures))
    _send(with_pictures, snapshot(1), snapshot(2, id=ID[:-1] + "0"), lane="snapshot")
    _send_parts(with_pictures, 1)
    with_pictures.take(f"ocg/v1/gw-1/up/blob/{ID[:-1]}1/7", b"x")
    seen = json.loads(msgspec.json.encode(report(with_pictures)))["pictures"]
    assert (seen["complete"], seen["incomplete"], seen["unannounced"], seen["bad"], seen["expired"]) == (0, 2, 1, 0, 0)
    assert seen["missing"][0] == {"gateway": "gw-1", "id": ID, "device": "cam-01", "parts": 2, "missing": [[2, 2]]}
    text = as_text(report(with_pictures))
    assert "pictures: 2 incomplete, 1 unannounced" in text
    assert f"picture {ID} of cam-01: parts 2 of 2 missing" in text
    assert f"picture {ID[:-1]}1: its snapshot has not come" in text
    with_pictures.take(f"ocg/v1/gw-1/up/blob/{ID}/2", b"x" * (len(PICTURE) - 10))
    text = as_text(report(with_pictures))
    assert "1 bad" in text
    assert f"notice: gw-1: picture {ID}: its bytes are not those of its sha256" in text


PRIVACY = {"class": "possible", "purpose": "flood-verification", "keep_days": 7}


@pytest.mark.parametrize("lack", ["privacy", "class", "purpose", "keep_days", "blank purpose"])
def test_a_picture_that_does_not_say_why_and_for_how_long_is_refused(
    with_pictures: Ingest, tmp_path: Path, lack: str
) -> None:
    message = snapshot(1, privacy={key: value for key, value in PRIVACY.items() if key != lack})
    if lack == "privacy":
        del message["snapshot"]["privacy"]
    elif lack == "blank purpose":
        message["snapshot"]["privacy"]["purpose"] = " "
    _send_parts(with_pictures, 1)
    _send(with_pictures, message, message, lane="snapshot")
    _send_parts(with_pictures, 2)
    assert with_pictures.malformed == {"privacy": 2}
    (notice,) = report(with_pictures).notices
    assert f"picture {ID} of cam-01 is refused: no {lack.split()[-1]}" in notice
    assert list(with_pictures.acks()) == []
    assert [file for file in (tmp_path / "pictures").rglob("*") if file.is_file()] == []
    _send(with_pictures, snapshot(1), lane="snapshot")
    _send_parts(with_pictures, 1, 2)
    assert report(with_pictures).pictures.complete == 1


def test_a_snapshot_is_on_the_disk_before_it_is_acknowledged(
    with_pictures: Ingest, pictures: Pictures, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_args: Any, **_more: Any) -> None:
        raise OSError("full")

    with monkeypatch.context() as patch:
        patch.setattr(pictures, "expect", full)
        with pytest.raises(OSError, match="full"):
            _send(with_pictures, snapshot(1), lane="snapshot")
    assert list(with_pictures.acks()) == []
    assert _rows(tmp_path, "SELECT COUNT(*) FROM message") == [(0,)]


def test_a_snapshot_that_is_a_duplicate_still_mends_a_folder_that_was_lost(
    db: Database, ingest: Ingest, with_pictures: Ingest, tmp_path: Path
) -> None:
    _send(ingest, snapshot(1), lane="snapshot")
    _send(with_pictures, snapshot(1), lane="snapshot")
    _send_parts(with_pictures, 1, 2)
    assert len(_pictures_in(tmp_path)) == 1


def test_without_a_folder_pictures_are_counted_and_not_kept(ingest: Ingest) -> None:
    _send(ingest, snapshot(1), snapshot(1), snapshot(2, id=ID[:-1] + "0"), lane="snapshot")
    _send_parts(ingest, 1, 2)
    assert report(ingest).gateways[0].messages == {"snapshot": 2}
    assert "pictures: 2 not kept" in as_text(report(ingest))
    assert ingest.malformed == {}


def test_the_folder_is_swept_each_hour(with_pictures: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Time, "mono_s", with_pictures._swept_s)
    _send(with_pictures, snapshot(1), lane="snapshot")
    _send_parts(with_pictures, 1, 2)
    monkeypatch.setattr(Time, "wall_ms", 9_000 + 7 * DAY_MS)
    Time.mono_s += SWEEP_EVERY_S - 1
    with_pictures.tidy()
    assert len(_pictures_in(tmp_path)) == 1
    Time.mono_s += 1
    with_pictures.tidy()
    assert [file for file in (tmp_path / "pictures").rglob("*") if file.is_file()] == []
    assert report(with_pictures).pictures.expired == 1


def test_a_clock_that_was_never_set_does_not_let_a_picture_expire_at_once(
    with_pictures: Ingest, tmp_path: Path
) -> None:
    Time.wall_ms, before_ms = 100 * DAY_MS, Time.wall_ms
    _send(with_pictures, snapshot(1) | {"clock": "unsync"}, lane="snapshot")
    _send_parts(with_pictures, 1, 2)
    Time.wall_ms = before_ms
    assert len(_pictures_in(tmp_path)) == 1
