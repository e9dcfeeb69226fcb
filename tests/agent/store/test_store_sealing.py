import asyncio
import re
import time
import zlib
from random import Random
from typing import Any

import msgspec
import pytest
from an_envelope import ENVELOPE, MAX
from hypothesis import given
from hypothesis import strategies as st

from agent.model import Event, Scan
from agent.packing import LONG, SHORT, packed
from agent.settings import OutboxSettings
from agent.store.sealing import (
    MAX_SCANS,
    event_fragment,
    scan_fragments,
    seal_again,
    seal_scans,
    seal_single,
    stamped,
    ulid,
)
from drivers.api import Quality, Reading


def plain(payload: bytes) -> bytes:
    return zlib.decompress(payload) if payload[:1] == b"\x78" else payload


def fragments(scans: list[Scan], time_ms: int = 1_795_432_800_101) -> list[bytes]:
    return [stamped(fragment.body, time_ms) for scan in scans for fragment in scan_fragments(scan, MAX // 2)]


def noise(count: int, seed: int = 7) -> list[Scan]:
    random = Random(seed)
    return [Scan(f"d-{i}", 0, [Reading(f"p{k}", random.random(), 0) for k in range(20)]) for i in range(count)]


def test_a_batch_of_scans_is_the_contracts_json_field_by_field() -> None:
    scans = [
        Scan("aq-01", 0, [Reading("pm25", 35.2, 0), Reading("on", True, 0), Reading("text", "được", 0)]),
        Scan("wl-02", 0, [Reading("level", None, 0, Quality.NO_ANSWER), Reading("rain", 0, 0)]),
        Scan("aq-01", 0, [Reading("pm25", 12.0, 0, Quality.CALIBRATING, "01"), Reading("temp", -2.5, 0)]),
    ]
    taken, payload = seal_scans(ENVELOPE, fragments(scans), MAX)
    assert taken == 3
    expected = (
        '{"v":1,"gateway":"dng-hc-01","epoch":"9f3c1a7be2d04455","seq":482113,"sealed_ms":1795432800123,"low":482100,'
        '"config":"a1b2c3d4","clock":"sync","scans":['
        '{"device":"aq-01","time_ms":1795432800101,"values":{"pm25":35.2,"on":true,"text":"được"}},'
        '{"device":"aq-01","time_ms":1795432800101,"values":{"pm25":12.0,"temp":-2.5},"quality":{"pm25":"cal"},'
        '"status":{"pm25":"01"}},'
        '{"device":"wl-02","time_ms":1795432800101,"values":{"level":null,"rain":0},"quality":{"level":"com"}}]}'
    )
    assert plain(payload) == expected.encode()


def test_a_null_always_has_a_quality_and_a_number_is_always_json() -> None:
    readings = [Reading("a", float("nan"), 0), Reading("b", float("inf"), 0), Reading("c", None, 0)]
    readings.append(Reading("d", float("nan"), 0, Quality.OUT_OF_RANGE))
    (fragment,) = scan_fragments(Scan("x", 0, readings), MAX)
    scan = msgspec.json.decode(stamped(fragment.body, 1))
    assert scan["values"] == {"a": None, "b": None, "c": None, "d": None}
    assert scan["quality"] == {"a": "flt", "b": "flt", "c": "flt", "d": "rng"}


def test_a_text_is_at_most_1024_characters_and_one_that_was_cut_is_not_good() -> None:
    (fragment,) = scan_fragments(Scan("x", 0, [Reading("a", "ạ" * 3_000, 0)]), MAX)
    scan = msgspec.json.decode(stamped(fragment.body, 1))
    assert scan["values"] == {"a": "ạ" * 1_024}
    assert scan["quality"] == {"a": "unc"}


def test_small_payloads_stay_json_and_large_ones_are_zlib() -> None:
    _, small = seal_scans(ENVELOPE, fragments([Scan("aq-01", 0, [Reading("a", 1, 0)])]), MAX)
    _, large = seal_scans(ENVELOPE, fragments([Scan("aq-01", 0, [Reading("a", 1, 0)])] * 50), MAX)
    assert small[:1] == b"{"
    assert large[:1] == b"\x78"


def test_numbers_get_short_codes_in_a_long_batch_and_names_in_a_short_one() -> None:
    random = Random(7)
    for count in (1, 20):
        of = [
            Scan(f"d-{i}", 0, [Reading(f"r{k}", random.randrange(100, 10_000), 0) for k in range(100)])
            for i in range(count)
        ]
        _, payload = seal_scans(ENVELOPE, fragments(of), MAX, rows=True)
        assert len(payload) == min(len(packed(plain(payload), how)) for how in (SHORT, LONG))


def test_a_payload_is_never_above_the_limit_and_no_scan_is_left_out() -> None:
    rest = fragments(noise(400))
    sealed = []
    while rest:
        taken, payload = seal_scans(ENVELOPE, rest, MAX)
        assert len(payload) <= MAX
        assert len(plain(payload)) <= 1024 * 1024
        sealed += msgspec.json.decode(plain(payload))["scans"]
        rest = rest[taken:]
    assert [scan["device"] for scan in sealed] == [f"d-{i}" for i in range(400)]


def test_a_batch_holds_at_most_5000_scans() -> None:
    taken, payload = seal_scans(ENVELOPE, fragments([Scan("x", 0, [Reading("a", 1, 0)])]) * 6_000, MAX)
    assert taken == MAX_SCANS
    assert len(msgspec.json.decode(plain(payload))["scans"]) == MAX_SCANS


def test_a_scan_that_would_not_fit_alone_is_split_and_loses_no_reading() -> None:
    readings = [Reading(f"p{i}", "".join(Random(i).choices("abcdefgh", k=1_000)), 0) for i in range(125)]
    parts = scan_fragments(Scan("x", 0, readings), 30 * 1024)
    assert sum(part.readings for part in parts) == 125
    assert all(len(part.body) <= 31 * 1024 for part in parts)
    points = [p for part in parts for p in msgspec.json.decode(stamped(part.body, 5))["values"]]
    assert points == [f"p{i}" for i in range(125)]


def test_sealing_the_same_twice_gives_the_same_bytes() -> None:
    scans = fragments(noise(30))
    assert seal_scans(ENVELOPE, scans, MAX) == seal_scans(ENVELOPE, scans, MAX)


def test_an_event_is_the_contracts_json_with_an_id_of_its_own() -> None:
    message = {"vi": "Mất liên lạc", "en": "No reply"}
    event = Event(type="device.down", severity="major", mono_ns=0, message=message, device="wl-02")
    payload = seal_single(ENVELOPE, "event", event_fragment(event).body, 1_795_432_810_950, Random(3))
    content = msgspec.json.decode(plain(payload))["event"]
    assert re.fullmatch(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", content.pop("id"))
    assert list(content) == ["type", "severity", "time_ms", "device", "message"]
    assert content["time_ms"] == 1_795_432_810_950
    assert content["message"] == message


def test_a_loss_says_its_ranges_its_reason_and_how_long_it_held() -> None:
    event = Event(
        type="data.lost", severity="major", mono_ns=0, message={}, ranges=[(3, 9)], reason="unclean_stop", held_s=3.0
    )
    content = msgspec.json.decode(plain(seal_single(ENVELOPE, "event", event_fragment(event).body, 5, Random(3))))[
        "event"
    ]
    assert (content["ranges"], content["reason"], content["held_s"]) == ([[3, 9]], "unclean_stop", 3.0)
    assert "readings" not in content


def test_the_content_of_a_lost_epoch_goes_out_again_unchanged() -> None:
    _, payload = seal_scans(ENVELOPE, fragments(noise(30)), MAX)
    again = seal_again(ENVELOPE._replace(epoch="0" * 16, seq=1), payload)
    old, new = msgspec.json.decode(plain(payload)), msgspec.json.decode(plain(again))
    assert new["scans"] == old["scans"]
    assert (new["epoch"], new["seq"]) == ("0" * 16, 1)


def test_ulids_sort_by_time() -> None:
    assert ulid(0, Random(1)) < ulid(1, Random(1)) < ulid(1_795_432_810_950, Random(1))
    assert ulid(1_469_918_176_385, Random(1))[:10] == "01ARYZ6S41"  # the example of the specification


@given(
    st.dictionaries(st.text(min_size=1, max_size=8), st.one_of(st.integers(-(2**53), 2**53), st.booleans(), st.text()))
)
def test_what_was_read_is_what_is_sealed(values: dict[str, int | bool | str]) -> None:
    scan = Scan("cảm-biến", 0, [Reading(point, value, 0) for point, value in values.items()])
    found = [msgspec.json.decode(stamped(f.body, 12))["values"] for f in scan_fragments(scan, MAX)]
    assert {k: v for part in found for k, v in part.items()} == values


async def test_the_first_readings_after_a_start_do_not_wait_for_a_whole_batch(lab: Any) -> None:
    lab.first_batch_s = 0.1
    lab.outbox = OutboxSettings(batch_interval_s=60)
    for first in (1, 3):
        async with lab.open() as store:
            lab.read(store, 1)
            await lab.live(store, 0.1, step_s=0.05)
            assert store.high == first
            lab.read(store, 1)
            await lab.live(store, 59.0)
            assert store.high == first
            await lab.live(store, 2.0)
            assert store.high == first + 1


async def test_what_is_read_when_a_batch_is_nearly_due_goes_with_it(lab: Any) -> None:
    lab.outbox = OutboxSettings(batch_interval_s=1.0)
    async with lab.open() as store:
        running = asyncio.create_task(store.run())
        lab.read(store)
        for elapsed_s, sealed in ((0.95, 0), (0.035, 1)):
            await asyncio.sleep(0.01)
            lab.clock.advance(elapsed_s)
            lab.read(store)
            await asyncio.sleep(0.01)
            assert (store.high, store.account().waiting) == (sealed, 0 if sealed else 2)
        running.cancel()
        await asyncio.wait([running])


def much(lab: Any, store: Any) -> None:
    """More than goes into ten batches."""
    numbers = Random(7)
    for _ in range(4_000):
        now_ns = lab.clock.mono_ns()
        readings = [Reading(f"p{p}", numbers.randrange(1 << 30), now_ns) for p in range(40)]
        store.append(Scan("aq-01", now_ns, readings))


async def test_what_fits_into_a_batch_is_learnt_and_not_packed_twice(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.outbox = OutboxSettings(batch_interval_s=3_000)
    tried: list[int] = []

    def counted(json: bytes) -> bytes:
        tried.append(len(json))
        return packed(json)

    monkeypatch.setattr("agent.store.sealing.packed", counted)
    async with lab.open() as store:
        much(lab, store)
        await store.flush()
        assert store.high > 10
        assert len(tried) <= store.high + 3, "batches were packed, found too long, and packed again"


async def test_between_two_batches_polls_have_as_long_as_a_batch_took(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.outbox = OutboxSettings(batch_interval_s=3_000)
    turns = 0

    def slow(json: bytes) -> bytes:
        time.sleep(0.01)
        return packed(json)

    async def poll() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.001)
            turns += 1

    monkeypatch.setattr("agent.store.sealing.packed", slow)
    async with lab.open() as store:
        much(lab, store)
        polling = asyncio.create_task(poll())
        await store._sealer.seal(scans=True)
        polling.cancel()
        assert turns >= 3 * store.high > 30
