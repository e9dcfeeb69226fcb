"""A batch over the limit cannot exist: whatever was read, and however small the limit becomes while it waits."""

import string
from random import Random
from typing import Any

import pytest
from contract_check import decoded, validator
from hypothesis import given, settings
from hypothesis import strategies as st
from store_lab import Lab

from agent.clock import ClockState
from agent.model import Event, Result, Scan
from agent.store.parts import MIN_PAYLOAD_BYTES, PACKET_ROOM_BYTES, StoreConfig
from agent.store.sealing import (
    FRAGMENT_BYTES,
    MAX_RANGES,
    MAX_SCANS,
    Envelope,
    event_fragment,
    in_parts,
    result_fragment,
    scan_fragments,
    seal_scans,
    seal_single,
    stamped,
)
from agent.uplink.formats.ocg1.topics import Topics
from agent.uplink.mqtt.wire import Wire
from drivers.api import Quality, Reading

MOST = 2**53 - 1
GATEWAY = "g" * 63
LONGEST = Envelope(
    gateway=GATEWAY, epoch="f" * 16, config="f" * 8, seq=MOST, sealed_ms=MOST, low=MOST, clock=ClockState.UNSYNC
)  # fmt: skip
CAP = 60 * 1024
LIMIT = CAP - PACKET_ROOM_BYTES


def packet_bytes(payload: bytes) -> int:
    """The whole packet, on the longest topic, with all properties that are ever sent."""
    topics = Topics(GATEWAY)
    wire = Wire("5", 10, topics.frequent)
    return max(
        wire.form(t, payload, 1, retain=False, expiry_s=604_800).bytes
        for t in (*topics.frequent, topics.up("snapshot"))
    )


def sealed(scans: list[Scan], limit: int) -> list[bytes]:
    """All batches of these scans."""
    rest = [stamped(f.body, MOST) for scan in scans for f in scan_fragments(scan)]
    batches = []
    while rest:
        taken, payload = seal_scans(LONGEST, rest, limit)
        batches.append(payload)
        rest = rest[taken:]
    return batches


NAMES = st.text(string.ascii_letters + string.digits + "_.-", min_size=1, max_size=64)
TEXTS = st.builds(
    lambda alphabet, length, seed: "".join(Random(seed).choices(alphabet, k=length)),
    st.sampled_from(["a", string.printable, "ạếộữ", "\x00\x01\x1f", "😀🚀"]), st.integers(0, 3_000), st.integers(0, 99),
)  # fmt: skip
VALUES = st.one_of(st.none(), st.booleans(), st.floats(), st.integers(-MOST, MOST), TEXTS)
READINGS = st.builds(
    lambda point, value, quality, status: Reading(point, value, 0, quality, status),
    NAMES, VALUES, st.sampled_from([None, *Quality]), st.one_of(st.none(), TEXTS),
)  # fmt: skip
SCANS = st.lists(
    st.builds(
        lambda d, r: Scan(d, 0, r), NAMES, st.lists(READINGS, min_size=1, max_size=30, unique_by=lambda r: r.point)
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(SCANS)
def test_no_packet_is_over_60_kib_whatever_was_read(scans: list[Scan]) -> None:
    batches = sealed(scans, LIMIT)
    assert all(packet_bytes(payload) <= CAP for payload in batches)
    found = [scan for payload in batches for scan in decoded(payload)["scans"]]
    wanted = sorted((scan.device, reading.point) for scan in scans for reading in scan.readings)
    assert sorted((scan["device"], point) for scan in found for point in scan["values"]) == wanted


def test_no_packet_is_over_60_kib_where_nothing_can_be_compressed() -> None:
    random = Random(5)
    noise = "".join(map(chr, range(0x4E00, 0x9F00)))
    scans = [Scan("d" * 64, 0, [Reading(f"p{i}", "".join(random.choices(noise, k=1_024)), 0)]) for i in range(300)]
    batches = sealed(scans, LIMIT)
    assert max(map(packet_bytes, batches)) <= CAP
    assert len(batches) > 5


@pytest.mark.parametrize("limit", [8 * 1024, 20 * 1024, LIMIT])
def test_a_scan_of_a_hundred_points_is_split_by_points_and_fits_any_usual_limit(limit: int) -> None:
    random = Random(6)
    text = string.ascii_letters + string.digits
    readings = [
        Reading(f"p{i}", "".join(random.choices(text, k=1_024)), 0, Quality.UNCERTAIN, "01") for i in range(100)
    ]
    batches = sealed([Scan("d", 0, readings)], limit)
    assert all(len(payload) <= limit for payload in batches)
    found = [(point, value) for b in batches for scan in decoded(b)["scans"] for point, value in scan["values"].items()]
    assert found == [(r.point, r.value) for r in readings]
    parts = [scan for b in batches for scan in decoded(b)["scans"]]
    assert {scan["time_ms"] for scan in parts} == {MOST}
    assert all(scan["quality"].keys() == scan["status"].keys() == scan["values"].keys() for scan in parts)


def test_a_usual_scan_is_one_part() -> None:
    readings = [Reading(f"voltage_l{i}", 230.15 + i, 0) for i in range(60)]
    (fragment,) = scan_fragments(Scan("meter-1", 0, readings))
    assert len(fragment.body) < FRAGMENT_BYTES


def test_a_batch_has_5000_scans_at_most() -> None:
    scans = [Scan("d", 0, [Reading("a", 1, 0)])] * (MAX_SCANS + 1)
    assert [len(decoded(payload)["scans"]) for payload in sealed(scans, LIMIT)] == [5_000, 1]


def test_a_status_without_end_is_cut_and_its_reading_is_not_good() -> None:
    (fragment,) = scan_fragments(Scan("d", 0, [Reading("a", 1, 0, None, "x" * 5_000)]))
    scan = decoded(stamped(fragment.body, 1))
    assert (scan["status"], scan["quality"]) == ({"a": "x" * 1_024}, {"a": "unc"})


def test_an_event_that_names_many_ranges_is_several_and_none_is_too_long() -> None:
    ranges = [(MOST - 2 * i - 1, MOST - 2 * i) for i in range(MAX_RANGES * 5 + 1)]
    event = Event(
        type="data.lost", severity="major", mono_ns=0, message={"en": "Data were lost"}, ranges=ranges,
        reason="unclean_stop", readings=7,
    )  # fmt: skip
    parts = in_parts(event)
    assert [r for part in parts for r in part.ranges] == ranges
    assert [part.readings for part in parts] == [7, None, None, None, None, None]
    for part in parts:
        payload = seal_single(LONGEST._replace(gateway="g1"), "event", event_fragment(part).body, 1, Random(1))
        assert len(payload) <= 20 * 1024
        validator("event").validate(decoded(payload))
    assert in_parts(Event(type="device.up", severity="info", mono_ns=0, message={})) == [
        Event(type="device.up", severity="info", mono_ns=0, message={}, ranges=[])
    ]


def test_the_longest_result_fits() -> None:
    ranges = [(MOST - 2 * i - 1, MOST - 2 * i) for i in range(500)]
    result = Result(id="i" * 64, mono_ns=0, ok=False, error="e" * 100_000, ranges=ranges, missing=ranges)
    payload = seal_single(LONGEST, "result", result_fragment(result).body, 1, Random(1))
    assert packet_bytes(payload) <= CAP


async def test_what_is_sealed_after_the_limit_was_told_is_below_it(lab: Lab) -> None:
    lab.max_payload_bytes = LIMIT
    async with lab.open() as store:
        for limit in (None, 4_000, 1, 1_000_000):
            store.limit_payload(limit)
            most = {None: LIMIT, 4_000: 4_000, 1: MIN_PAYLOAD_BYTES, 1_000_000: LIMIT}[limit]
            assert store._parts.max_payload_bytes == most
            before = store.high
            _read_much(lab, store)
            await lab.live(store, 2)
            sizes = [len(lab.sent[store.epoch, seq]) for seq in range(before + 1, store.high + 1)]
            assert max(sizes) <= most
            assert len(sizes) > 1 or most == LIMIT


async def test_what_waited_before_the_limit_was_told_is_below_it_too(lab: Lab) -> None:
    async with lab.open() as store:
        _read_much(lab, store)
        store.limit_payload(6_000)
        await lab.live(store, 2)
        sizes = [len(payload) for payload in lab.sent.values()]
        assert max(sizes) <= 6_000
        assert sum(sizes) > 15_000


async def test_the_id_of_an_event_is_a_ulid_and_the_same_in_every_resend_and_after_kill_9_and_a_power_cut(
    lab: Lab,
) -> None:
    async with lab.open() as store:
        lab.event(store)
        await lab.live(store, 10)
        (first,) = [decoded(batch.payload)["event"] for batch in await lab.undelivered(store)]
        validator("event").validate(decoded(lab.sent[store.epoch, 1]))
        lab.kill()
    async with lab.open() as store:
        (killed,) = [decoded(batch.payload)["event"] for batch in await lab.undelivered(store)]
        await lab.live(store, 10)
        lab.cut_power()
    async with lab.open() as store:
        again = [decoded(batch.payload) for batch in await lab.undelivered(store)]
    (cut,) = [message["event"] for message in again if message["event"]["type"] == "device.down"]
    assert first["id"] == killed["id"] == cut["id"]
    assert first == killed == cut


def _read_much(lab: Lab, store: Any) -> None:
    """A scan of 40 KiB that does not compress well."""
    random = Random(9)
    hexes = [f"{random.getrandbits(800):0200x}" for _ in range(200)]
    store.append(Scan("aq-01", lab.clock.mono_ns(), [Reading(f"p{i}", text, 0) for i, text in enumerate(hexes)]))


def test_the_limit_leaves_room_for_the_packet_around_the_payload() -> None:
    assert StoreConfig.__struct_defaults__[-1] == LIMIT
    assert packet_bytes(b"x" * LIMIT) <= CAP
