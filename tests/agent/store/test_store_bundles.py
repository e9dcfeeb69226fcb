"""Delivered batches are kept together in bundles, and come out of them with the bytes that they had."""

import lzma
import sqlite3
import zlib
from contextlib import closing
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outbox_damage import fill

from agent.packing import LONG, SHORT, Packing, packed, plain
from agent.settings import OutboxSettings
from agent.store.bundle import MAX_TEXT_BYTES, NotABundle, bundles_of, members_of, payload_in
from agent.store.checks import row_check
from agent.store.damage.damaged_file import read_chunk
from agent.store.records import SealedHead

FAR = 1 << 60


def head(seq: int, readings: int = 1) -> SealedHead:
    return SealedHead(
        seq=seq,
        kind="data",
        readings=readings,
        sealed_ms=1000 * seq,
        sealed_mono_ns=0,
        first_ms=seq,
        last_ms=seq,
        oldest_mono_ns=0,
        cursor=0,
    )


def row(one: SealedHead) -> tuple[Any, ...]:
    return one.seq, one.kind, one.sealed_ms, one.first_ms, one.last_ms, one.readings, b""


def text(seq: int, count: int = 100) -> bytes:
    return b'{"v":1,"seq":%d,"values":{%s}}' % (seq, b",".join(b'"r%03d":%d' % (i, i * seq) for i in range(count)))


async def delivered(lab: Any, store: Any, batches: int) -> None:
    """So many batches that have arrived, and are in the archive."""
    first = store.high + 1
    for seq in range(first, first + batches):
        lab.read(store, 60)
        await lab.live(store, 1.25)
        store.mark_delivered([(seq, seq)])
    await lab.live(store, 61.0)


async def everything(store: Any) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while batches := await store.sealed([(max(found, default=0) + 1, FAR)], 7, 1 << 20):
        found |= {batch.seq: batch.payload for batch in batches}
    return found


@given(st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=2_000)), min_size=2, max_size=20))
def test_each_payload_comes_out_with_the_bytes_it_had(batches: list[tuple[bool, bytes]]) -> None:
    payloads = [packed(b"{" + data) if pack else b"{" + data for pack, data in batches]
    rows = [(head(seq), payload) for seq, payload in enumerate(payloads, 1)]
    found = {}
    for bundle in bundles_of(rows):
        members = members_of(bundle.body)
        found |= {one.seq: payload_in(members, row(one), check) for one, check in bundle.rows}
    assert found == dict(enumerate(payloads, 1))


def test_what_would_come_out_with_other_bytes_is_not_put_in() -> None:
    rows = [(head(seq), packed(text(seq))) for seq in range(1, 7)]
    rows[2] = (head(3), zlib.compress(text(3), 9))
    rows[3] = (head(4), b"\x78 is no stream")
    (first, second) = bundles_of(rows)
    assert (first.first, first.last, second.first, second.last) == (1, 2, 5, 6)


def test_bundles_never_overlap_and_are_not_too_long() -> None:
    rows = [(head(seq), packed(text(seq, 4_000))) for seq in range(1, 41) if seq not in {7, 20}]
    bundles = bundles_of(reversed(rows))
    assert all(one.last < other.first for one, other in pairwise(bundles))
    assert all(len(bundle.rows) == bundle.last - bundle.first + 1 > 1 for bundle in bundles)
    sizes = [sum(len(member.text) for member in members_of(bundle.body).values()) for bundle in bundles]
    assert len(sizes) > 3
    assert max(sizes) <= MAX_TEXT_BYTES


@given(st.data())
def test_a_changed_byte_never_gives_another_payload(data: st.DataObject) -> None:
    payloads = {seq: packed(text(seq)) for seq in range(1, 5)}
    (bundle,) = bundles_of([(head(seq), payload) for seq, payload in payloads.items()])
    body = bytearray(bundle.body)
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= data.draw(st.integers(1, 255))
    if data.draw(st.booleans()):
        del body[at:]
    try:
        members = members_of(bytes(body))
    except NotABundle:
        members = {}
    for one, check in bundle.rows:
        assert payload_in(members, row(one), check) in {None, payloads[one.seq]}


def test_a_batch_of_another_place_is_not_taken_for_it() -> None:
    (bundle,) = bundles_of([(head(seq), packed(text(seq))) for seq in range(1, 4)])
    members = members_of(bundle.body)
    (one, check), (other, _) = bundle.rows[:2]
    assert payload_in(members, row(one), check)
    assert payload_in({one.seq: members[other.seq]}, row(one), check) is None
    assert payload_in(members, row(head(1, readings=2)), check) is None
    assert payload_in(members, row(one), None) is None


async def test_delivered_batches_are_bundled_and_undelivered_ones_are_not(lab: Any) -> None:
    async with lab.open() as store:
        await delivered(lab, store, 8)
        await fill(lab, store, 3)
        assert lab.sql("SELECT seq FROM batch WHERE length(payload) = 0") == [(seq,) for seq in range(1, 9)]
        assert lab.sql("SELECT first, last FROM bundle") == [(1, 8)]
        before = await everything(store)
        lab.kill()
    async with lab.open() as store:
        assert await everything(store) == before
        assert before == {seq: payload for (_, seq), payload in lab.sent.items() if seq <= 11}
        await lab.check_account(store)


async def test_a_bundle_takes_less_than_half_of_the_room(lab: Any) -> None:
    async with lab.open() as store:
        await delivered(lab, store, 40)
        alone = sum(map(len, (await everything(store)).values()))
        ((together,),) = lab.sql("SELECT total(length(body)) FROM bundle")
        assert together < alone / 2
        half = await store._parts.outbox.oldest([(1, 40)], round(together / 2))
        assert len(half) <= 21, "each of them counts with its share of the bundle"


async def test_what_is_forgotten_leaves_the_bundle_too_and_the_rest_stays(lab: Any) -> None:
    async with lab.open() as store:
        await delivered(lab, store, 8)
        before = await everything(store)
        await store.forget([(3, 4)])
        assert await everything(store) == {seq: payload for seq, payload in before.items() if seq not in {3, 4}}
        assert lab.sql("SELECT count(*) FROM bundle") == [(0,)]
        assert lab.sql("SELECT count(*) FROM batch WHERE length(payload) > 0") == [(6,)]
    chunk = read_chunk(lab.database, (1, 8), 100, 1 << 20)
    assert ([saved.seq for saved in chunk.rows], chunk.damaged) == ([1, 2, 5, 6, 7, 8], [])


async def test_a_bundle_goes_when_all_of_its_batches_have_gone_and_the_file_keeps_its_limit(lab: Any) -> None:
    lab.outbox = OutboxSettings(max_bytes=400_000, archive_interval_s=5.0)
    async with lab.open() as store:
        lowest = 0
        for _ in range(120):
            for _ in range(4):
                lab.read(store, 250)
                await lab.live(store, 1.25)
                store.mark_delivered([(1, store.high)])
            lowest = max([lowest, *(low or 0 for (low,) in lab.sql("SELECT min(seq) FROM batch"))])
        await lab.live(store, 6.0)
        assert lowest > 1, "the file was never full, and this test says nothing"
        assert lab.database.stat().st_size < 1.05 * lab.outbox.max_bytes
        hollow = "SELECT count(*) FROM bundle WHERE last < (SELECT min(seq) FROM batch)"
        assert lab.sql(hollow) == [(0,)]
        ((most,),) = lab.sql("SELECT max(last - first) FROM bundle")
        assert lab.sql("SELECT count(*) FROM batch")[0][0] > 3 * most, "not more went than had to"
        assert len(await everything(store)) == lab.sql("SELECT count(*) FROM batch")[0][0] + len(store._ledger.fresh)
        await lab.check_account(store)


async def test_a_damaged_bundle_costs_its_batches_and_no_other(lab: Any) -> None:
    async with lab.open() as store:
        await delivered(lab, store, 6)
        await delivered(lab, store, 6)
        before = await everything(store)
        await store.flush()
    with closing(sqlite3.connect(lab.database)) as connection, connection:
        assert connection.execute("SELECT count(*) FROM bundle").fetchall() == [(2,)]
        connection.execute("UPDATE bundle SET body = substr(body, 1, 60) || X'00' || substr(body, 62) WHERE first = 1")
    chunk = read_chunk(lab.database, (1, 12), 100, 1 << 20)
    assert (chunk.damaged, [saved.seq for saved in chunk.rows]) == ([*range(1, 7)], [*range(7, 13)])
    async with lab.open() as store:
        assert await everything(store) == {seq: payload for seq, payload in before.items() if seq > 6}
        await store.forget([(2, 3), (8, 8)])
        assert sorted(await everything(store)) == [7, 9, 10, 11, 12]


async def test_a_batch_that_another_zlib_would_pack_otherwise_is_still_sound(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with lab.open() as store:
        await delivered(lab, store, 6)
        before = await everything(store)
        monkeypatch.setattr("agent.store.bundle.packed", lambda text, _: packed(text, Packing(9, 0)))
        after = await everything(store)
    assert list(after) == list(before)
    assert after != before
    assert [plain(payload) for payload in after.values()] == [plain(payload) for payload in before.values()]


def test_a_batch_comes_out_with_its_bytes_however_it_was_packed() -> None:
    payloads = {seq: packed(text(seq), SHORT if seq % 2 else LONG) for seq in range(1, 5)}
    payloads |= {5: text(5, 1), 6: packed(text(6, 1_000)), 7: packed(text(7))}
    assert len({packed(text(1), how) for how in (SHORT, LONG)}) == 2, "it shows in the bytes"
    (bundle,) = bundles_of([(head(seq), payload) for seq, payload in payloads.items()])
    assert {seq: member.payload for seq, member in members_of(bundle.body).items()} == payloads


def test_a_way_of_packing_that_is_not_known_is_not_guessed() -> None:
    (bundle,) = bundles_of([(head(seq), packed(text(seq))) for seq in (1, 2)])
    data = bytearray(lzma.decompress(bundle.body))
    data[4 + 12] = 3
    with pytest.raises(NotABundle, match="way 3"):
        members_of(lzma.compress(bytes(data)))


def test_a_check_over_the_text_is_not_one_over_how_it_was_packed() -> None:
    (bundle,) = bundles_of([(head(seq), packed(text(seq))) for seq in (1, 2)])
    one, check = bundle.rows[0]
    assert check == row_check(*(*row(one)[:-1], text(1))) != row_check(*(*row(one)[:-1], packed(text(1))))
