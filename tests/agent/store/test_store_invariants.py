"""The invariants of `agent/store/store.py`, in its words. Kill -9 and power cuts at random: the two files beside."""

import asyncio
import os
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agent.clock import ClockState
from agent.model import Scan
from agent.settings import OutboxSettings
from agent.store import StoreError, open_store
from agent.store.numbers import Numbers
from agent.store.recovery import GAP_SPAN, LEAST_GAP
from drivers.api import Reading
from simulators.ioc.rules import Ledger


async def test_a_reading_survives_kill_9_from_the_moment_it_was_read(lab: Any) -> None:
    async with lab.open() as store:
        numbers = lab.read(store, 3)
        lab.kill()
    async with lab.open() as store:
        assert store.account().waiting == 3
        await store.flush()
        assert await lab.stored(store) == numbers
        await lab.check_account(store)


async def test_what_is_undelivered_commit_interval_after_it_was_read_survives_a_power_cut(lab: Any) -> None:
    async with lab.open() as store:
        numbers = lab.read(store, 3)
        await lab.live(store, 3.0)
        lab.cut_power()
    async with lab.open() as store:
        assert await lab.stored(store) == numbers
        await lab.check_account(store)


async def test_readings_that_wait_for_sealing_survive_a_power_cut_too(lab: Any) -> None:
    lab.outbox = OutboxSettings(batch_interval_s=60)
    read_ms = lab.clock.wall_ms()
    async with lab.open() as store:
        numbers = lab.read(store, 3)
        lab.event(store)
        await lab.live(store, 3.0)
        numbers += lab.read(store, 2)
        await lab.live(store, 3.0)
        assert store.account().waiting == 5
        lab.cut_power()
    lab.clock.wall_at_zero_ms += 86_400_000
    async with lab.open() as store:
        assert await lab.stored(store) == numbers
        batches = await lab.undelivered(store)
        scans = [scan for batch in batches for scan in decoded(batch).get("scans", ())]
        assert [scan["time_ms"] - read_ms for scan in scans] == [0, 0, 0, 3_000, 3_000]
        assert [batch.kind for batch in batches].count("event") == 1
        await lab.check_account(store)
        assert await store.flush()
        assert lab.sql("SELECT count(*) FROM unsealed") == [(0,)]


async def test_readings_on_the_card_unsealed_never_leave_under_two_numbers(lab: Any) -> None:
    lab.outbox = OutboxSettings(batch_interval_s=10)
    async with lab.open() as store:

        def sealed(batch: Any) -> None:
            lab.note(store, batch)
            lab.cut_power()

        store.on_sealed = sealed
        lab.read(store, 5)
        await lab.live(store, 9.0)
        assert lab.sql("SELECT count(*) > 0 FROM unsealed") == [(1,)]
        await lab.live(store, 1.0)
    async with lab.open() as store:
        await lab.undelivered(store)
        assert sorted(n for payload in lab.sent.values() for n in lab.values(payload)) == [1, 2, 3, 4, 5]


async def test_an_event_that_overtakes_readings_does_not_delay_their_commit(lab: Any) -> None:
    lab.outbox = OutboxSettings(batch_interval_s=2)
    async with lab.open() as store:
        numbers = lab.read(store, 2)
        await lab.live(store, 1.75)
        lab.event(store)
        await lab.live(store, 1.25)
        lab.cut_power()
    async with lab.open() as store:
        assert await lab.stored(store) == numbers


async def test_what_an_older_boot_left_does_not_delay_what_this_one_reads(lab: Any) -> None:
    lab.outbox = OutboxSettings(batch_interval_s=60)
    numbers = []
    for _ in range(3):
        async with lab.open() as store:
            numbers += lab.read(store, 2)
            await lab.live(store, 3.0)
            lab.cut_power()
    async with lab.open() as store:
        assert await lab.stored(store) == numbers


async def test_a_number_is_durable_as_reserved_before_it_is_used(lab: Any) -> None:
    async with lab.open() as store:
        highest = []
        store.on_sealed = lambda batch: highest.append(
            (batch.seq, reserved_in(lab.database), Numbers(lab.data).bound_of(store.epoch))
        )
        for _ in range(700):
            lab.event(store)
            await lab.live(store, 0.05, step_s=0.05)
        assert store.high == 700
        assert all(seq <= min(reserved, bound) for seq, reserved, bound in highest)


async def test_no_number_is_ever_used_twice_with_other_bytes(lab: Any) -> None:
    for end in (lab.kill, lab.cut_power, lambda: None) * 3:
        async with lab.open() as store:
            lab.read(store, 2)
            await lab.live(store, 1.5)
            lab.read(store, 1)
            await lab.undelivered(store)
            end()
    async with lab.open() as store:
        await store.flush()
        await lab.undelivered(store)


async def test_batches_are_handed_on_in_the_order_of_their_numbers(lab: Any) -> None:
    async with lab.open() as store:
        for _ in range(20):
            lab.read(store, 2)
            lab.event(store)
            await lab.live(store, 0.5)
        assert lab.order == list(range(1, len(lab.order) + 1))
        assert len(lab.order) > 25


async def test_a_batch_never_changes_a_resend_has_the_same_bytes(lab: Any) -> None:
    async with lab.open() as store:
        lab.read(store, 50)
        await lab.live(store, 1.0)
        (fresh,) = await store.pending(0, 10, 1_000_000)
        await lab.live(store, 5.0)
        (on_card,) = await store.pending(0, 10, 1_000_000)
    async with lab.open() as store:
        (reopened,) = await store.pending(0, 10, 1_000_000)
    assert fresh.payload == on_card.payload == reopened.payload == lab.sent[(store.epoch, 1)]


@pytest.mark.parametrize("on_card", [False, True])
async def test_marking_delivered_touches_what_was_named_and_nothing_else(lab: Any, *, on_card: bool) -> None:
    async with lab.open() as store:
        for _ in range(6):
            lab.read(store, 2)
            await lab.live(store, 0.25 if not on_card else 1.0)
            await store.flush() if on_card else await store._sealer.seal(scans=True)
        store.mark_delivered([(2, 3), (5, 5), (2, 2), (900, 1_000)])
        assert [batch.seq for batch in await lab.undelivered(store)] == [1, 4, 6]
        assert [store.is_undelivered(seq) for seq in range(8)] == [False, True, False, False, True, False, True, False]
        await lab.check_account(store)
        assert (store.account().delivered, store.account().stored) == (6, 6)
        lab.kill()
    async with lab.open() as store:
        assert [batch.seq for batch in await lab.undelivered(store)] == [1, 4, 6]
        await lab.check_account(store)


async def test_delivered_batches_cost_the_card_one_commit_an_archive_interval(lab: Any) -> None:
    async with lab.open() as store:
        store.on_sealed = lambda batch: store.mark_delivered([(batch.seq, batch.seq)])
        for _ in range(59):
            lab.read(store, 1)
            await lab.live(store, 1.0)
        assert lab.sql("SELECT count(*) FROM batch") == [(0,)]
        await lab.live(store, 2.0)
        assert lab.sql("SELECT count(*) FROM batch") == [(59,)]
        assert lab.sql("SELECT * FROM undelivered") == []
        assert len(list((lab.runtime / "journal").iterdir())) == 1
        await lab.check_account(store)


async def test_accepted_is_delivered_and_stored_and_lost_after_every_end_and_every_opening(lab: Any) -> None:
    ends = (lab.kill, lab.cut_power, lambda: None, lab.kill, lab.kill, lambda: None, lab.cut_power, lab.cut_power)
    for number, end in enumerate(ends):
        async with lab.open() as store:
            await lab.check_account(store)
            lab.read(store, 3 + number)
            await lab.live(store, number * 0.7)
            for seq in list(lab.order)[-3:-1]:
                store.mark_delivered([(seq, seq)])
            lab.read(store, 2)
            assert store.account().balanced
            end()
    async with lab.open() as store:
        await lab.check_account(store)


async def test_a_clean_stop_loses_and_declares_nothing_though_the_ram_disk_is_emptied(lab: Any) -> None:
    async with lab.open() as store:
        numbers = lab.read(store, 4)
    lab.cut_power()
    async with lab.open() as store:
        assert await lab.stored(store) == numbers
        await lab.live(store, 1.0)
        assert store.high == 1
        assert store.account().lost == {}
        lab.read(store)
        await lab.live(store, 1.0)
        assert store.high == 2


async def test_what_may_have_been_lost_is_declared_with_its_numbers_and_a_reason(lab: Any) -> None:
    async with lab.open() as store:
        lab.read(store, 1)
        await lab.live(store, 5.0)
        lab.read(store, 4)
        await lab.live(store, 1.0)
        sent = set(lab.order)
        lab.cut_power()
    async with lab.open() as store:
        await lab.live(store, 1.0)
        (lost,) = [decoded(batch) for batch in await lab.undelivered(store) if batch.kind == "event"]
        event = lost["event"]
        assert (event["type"], event["reason"], event["held_s"]) == ("data.lost", "unclean_stop", 3.0)
        ((first, last),) = event["ranges"]
        assert sent == {1, 2}
        assert first == 2
        assert lost["seq"] == last + 1
        await lab.check_account(store)
        lab.kill()
    async with lab.open() as store:
        await lab.live(store, 100.0)
        assert [batch.kind for batch in await lab.undelivered(store)].count("event") == 1


async def test_a_card_that_goes_back_to_the_same_state_twice_gives_no_number_twice(lab: Any) -> None:
    async with lab.open() as store:
        lab.read(store, 1)
        await lab.live(store, 5.0)
        lab.read(store, 1)
        await lab.live(store, 1.0)
        reserved = reserved_in(lab.database)
        lab.cut_power()
    lab.cut_power()
    firsts = []
    for generation in (1, 2):  # both begin with what the card held at the first cut
        lab.generation, lab.random = generation, Random(generation)
        async with lab.open() as store:
            await lab.live(store, 1.0)
            firsts.append(store.high)
            lab.read(store, 1)
            await lab.live(store, 5.0)
    assert all(reserved + LEAST_GAP <= first <= reserved + LEAST_GAP + GAP_SPAN for first in firsts)
    assert firsts[0] != firsts[1]


async def test_the_ioc_passes_over_the_numbers_that_an_unclean_stop_skips(lab: Any) -> None:
    ioc = Ledger()

    async def receive(store: Any) -> None:
        for batch in await lab.undelivered(store):
            ioc.receive(batch.seq, lab.decoded(batch)["low"], 0.0)
            store.mark_delivered([(batch.seq, batch.seq)])

    for _ in range(3):
        async with lab.open() as store:
            for _ in range(3):
                lab.read(store, 1)
                await lab.live(store, 4.0)
                await receive(store)
            lab.cut_power()
    async with lab.open() as store:
        lab.read(store, 1)
        await lab.live(store, 4.0)
        declared = await lab.events(store, "data.lost")
        assert [(event["held_s"], "readings" in event) for event in declared] == [(3.0, False)]
        assert len(declared[0]["ranges"]) == 1
        await receive(store)
        lab.read(store, 1)  # what was sealed before still names the lowest that was undelivered then
        await lab.live(store, 4.0)
        await receive(store)
        assert (ioc.cumulative, ioc.gaps(), ioc.to_ask(1_000.0)) == (store.high, [], [])
        assert store.low == store.high + 1


@pytest.mark.parametrize("outage", [True, False])
async def test_the_file_does_not_exceed_its_limit_and_what_goes_is_counted(lab: Any, *, outage: bool) -> None:
    lab.outbox = OutboxSettings(max_bytes=2_000_000, archive_interval_s=5.0)
    text = Counter[str]()
    told: list[str] = []
    async with lab.open() as store:
        if not outage:
            store.on_sealed = lambda batch: store.mark_delivered([(batch.seq, batch.seq)])
        for _ in range(30):
            for _ in range(4):
                noise = [Reading(f"p{k}", lab.random.random(), lab.clock.mono_ns()) for k in range(2_500)]
                store.append(Scan("d", lab.clock.mono_ns(), noise))
            await lab.live(store, 1.0, step_s=1.0)
            assert lab.database.stat().st_size <= 2_000_000 * 1.05
        await lab.check_account(store)
        lost = store.account().lost
        for batch in await lab.undelivered(store):
            if batch.kind == "event":
                event = decoded(batch)["event"]
                told.append(event["type"])
                text[event["reason"]] += event.get("readings", 0)
        assert lab.sql("SELECT count(*), min(seq) FROM batch")[0][1] > 1
    if outage:
        assert 0 < text["outbox_full"] <= lost["outbox_full"]
        assert told[:2] == ["disk.low", "data.lost"], "room that runs out is told before anything is lost"
        assert told.count("disk.low") == 1
    else:
        assert (lost, told) == ({}, [])


async def test_delivered_batches_go_before_undelivered_ones(lab: Any) -> None:
    lab.outbox = OutboxSettings(max_bytes=2_000_000, archive_interval_s=5.0)
    async with lab.open() as store:
        for second in range(20):
            for _ in range(4):
                noise = [Reading(f"p{k}", lab.random.random(), lab.clock.mono_ns()) for k in range(2_500)]
                store.append(Scan("d", lab.clock.mono_ns(), noise))
            await lab.live(store, 1.0, step_s=1.0)
            if second < 12:
                store.mark_delivered([(2, store.high)])
        assert store.account().lost == {}
        assert store.is_undelivered(1)
        assert (await store.pending(0, 1, 1))[0].seq == 1


async def test_with_stop_polling_nothing_undelivered_is_dropped_and_the_store_says_that_it_is_full(lab: Any) -> None:
    lab.outbox = OutboxSettings(max_bytes=2_000_000, when_full="stop_polling")
    async with lab.open() as store:
        for _ in range(60):
            if store.full:
                break
            for _ in range(4):
                noise = [Reading(f"p{k}", lab.random.random(), lab.clock.mono_ns()) for k in range(2_500)]
                store.append(Scan("d", lab.clock.mono_ns(), noise))
            await lab.live(store, 1.0, step_s=1.0)
        assert store.full
        assert store.account().lost == {}
        store.mark_delivered([(1, store.high)])
        lab.read(store)
        await lab.live(store, 70.0, step_s=1.0)
        assert not store.full


async def test_delivered_batches_are_kept_for_retention_days_and_no_longer(lab: Any) -> None:
    lab.outbox = OutboxSettings(retention_days=1.0)
    async with lab.open() as store:
        store.on_sealed = lambda batch: batch.seq == 2 or store.mark_delivered([(batch.seq, batch.seq)])
        for _ in range(4):
            lab.read(store)
            await lab.live(store, 70.0, step_s=1.0)
        lab.clock.advance(86_400 - 142)
        lab.read(store)
        await lab.live(store, 2.0, step_s=1.0)
        assert [seq for (seq,) in lab.sql("SELECT seq FROM batch ORDER BY seq")] == [2, 3, 4, 5]


async def test_a_failing_card_stops_no_reading_and_what_was_read_reaches_it_later(lab: Any) -> None:
    async with lab.open() as store:
        numbers = lab.read(store, 2)
        await lab.live(store, 4.0)
        other = sqlite3.connect(lab.database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await store._parts.outbox._writer.execute("PRAGMA busy_timeout = 1")
        for _ in range(20):
            numbers += lab.read(store, 2)
            await lab.live(store, 1.0)
        assert store.commit_failures > 3
        assert len(lab.order) == 21
        assert await lab.stored(store) == numbers
        assert lab.sql("SELECT count(*) FROM batch") == [(1,)]
        other.execute("ROLLBACK")
        other.close()
        await lab.live(store, 2.0)
        assert lab.sql("SELECT count(*) FROM batch")[0][0] >= 20
        lab.cut_power()
    async with lab.open() as store:
        assert set(numbers[:-2]) <= set(await lab.stored(store))
        await lab.check_account(store)


async def test_a_failing_card_holds_batches_back_where_they_must_be_on_it_first(lab: Any) -> None:
    lab.outbox = OutboxSettings(commit_interval_s=0)
    async with lab.open() as store:
        await store._parts.outbox._writer.execute("PRAGMA busy_timeout = 1")
        other = sqlite3.connect(lab.database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        numbers = lab.read(store, 2)
        lab.event(store)
        await lab.live(store, 5.0)
        assert (store.high, lab.order, store.account().waiting) == (0, [], 2)
        other.execute("ROLLBACK")
        other.close()
        await lab.live(store, 2.0)
        assert (store.high, lab.order, store.account().waiting) == (2, [1, 2], 0)
        assert await lab.stored(store) == numbers
        await lab.check_account(store)


async def test_a_corrupt_file_is_set_aside_and_the_agent_runs_on(lab: Any) -> None:
    async with lab.open() as store:
        numbers = lab.read(store, 2)
        await lab.live(store, 4.0)
        numbers += lab.read(store, 2)
        await lab.live(store, 1.0)
        lab.event(store)
        await store.step()
        numbers += lab.read(store, 2)
        store.mark_delivered([(1, 1)])
        old_epoch = store.epoch
        lab.kill()
    lab.database.write_bytes(b"rubbish" * 1_000)
    lab.database.with_name("outbox.db-wal").unlink(missing_ok=True)
    async with lab.open() as store:
        await lab.live(store, 1.0)
        assert store.epoch != old_epoch
        assert list(lab.data.glob("outbox.db.corrupt-*"))
        batches = await lab.undelivered(store)
        assert await lab.stored(store) == numbers[2:]
        events = [decoded(batch)["event"]["type"] for batch in batches if batch.kind == "event"]
        assert events == ["device.down", "data.lost", "store.corrupt", "store.corrupt"]
        await lab.check_account(store)


async def test_readings_of_an_unsynchronised_clock_wait_and_are_stamped_with_the_right_time(lab: Any) -> None:
    lab.clock.clock_state = ClockState.UNSYNC
    async with lab.open() as store:
        first_ns = lab.clock.mono_ns()
        lab.read(store, 1)
        lab.event(store)
        await lab.live(store, 600.0, step_s=5.0)
        lab.read(store, 1)
        await lab.live(store, 60.0, step_s=5.0)
        assert lab.order == []
        assert store.is_alive()
        lab.kill()
    async with lab.open() as store:
        await lab.live(store, 1.0)
        lab.clock.wall_at_zero_ms += 5_000_000
        lab.clock.clock_state = ClockState.SYNC
        await lab.live(store, 3.0)
        batches = [decoded(batch) for batch in await lab.undelivered(store)]
        scans = [scan for batch in batches for scan in batch.get("scans", ())]
        right_ms = lab.clock.wall_at_zero_ms + first_ns // 1_000_000
        assert [scan["time_ms"] for scan in scans] == [right_ms, right_ms + 600_000]
        steps = [batch["event"] for batch in batches if batch.get("event", {}).get("type") == "clock.step"]
        assert [step["offset_ms"] for step in steps] == [5_000_000]
        assert {batch["clock"] for batch in batches} == {"sync"}
        await lab.check_account(store)


async def test_without_synchronisation_readings_leave_after_the_hold_and_say_so(lab: Any) -> None:
    lab.clock.clock_state = ClockState.UNSYNC
    lab.hold_unsynced_s = 30.0
    async with lab.open() as store:
        lab.read(store, 1)
        await lab.live(store, 29.0)
        assert lab.order == []
        lab.kill()
    async with lab.open() as store:
        await lab.live(store, 2.0)
        lab.read(store, 1)
        await lab.live(store, 2.0)
        batches = await lab.undelivered(store)
        assert [decoded(batch)["clock"] for batch in batches] == ["unsync", "unsync"]


async def test_power_lost_before_the_clock_was_right_is_never_called_good_time(lab: Any) -> None:
    lab.clock.clock_state = ClockState.UNSYNC
    async with lab.open() as store:
        numbers = lab.read(store, 2)
        await lab.live(store, 10.0)
        lab.cut_power()
    lab.clock.clock_state = ClockState.SYNC
    async with lab.open() as store:
        assert await lab.stored(store) == numbers
        (batch,) = [b for b in await lab.undelivered(store) if b.kind == "data"]
        assert decoded(batch)["clock"] == "unsync"


async def test_a_step_of_the_clock_is_told_once(lab: Any) -> None:
    async with lab.open() as store:
        lab.read(store)
        await lab.live(store, 2.0)
        lab.clock.wall_at_zero_ms -= 7_200_000
        for _ in range(5):
            lab.read(store)
            await lab.live(store, 1.0)
        batches = [decoded(batch) for batch in await lab.undelivered(store)]
        steps = [batch["event"]["offset_ms"] for batch in batches if "event" in batch]
        assert steps == [-7_200_000]
        assert [batch["seq"] for batch in batches] == list(range(1, len(batches) + 1))


async def test_without_a_ram_disk_each_batch_is_on_the_card_before_it_is_handed_on(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.store.opening.is_ram_disk", lambda _: False)
    await _committed_first(lab)


async def test_with_commit_interval_0_each_batch_is_on_the_card_before_it_is_handed_on(lab: Any) -> None:
    lab.outbox = OutboxSettings(commit_interval_s=0)
    await _committed_first(lab)


async def _committed_first(lab: Any) -> None:
    seen = []
    async with lab.open() as store:
        store.on_sealed = lambda batch: seen.append(lab.sql("SELECT payload FROM batch WHERE seq = ?", batch.seq))
        for _ in range(3):
            lab.read(store, 2)
            lab.event(store)
            await lab.live(store, 1.0)
        payloads = [batch.payload for batch in await lab.undelivered(store)]
        assert seen == [[(payload,)] for payload in payloads]
        assert len(seen) == 6
        lab.cut_power(keep_runtime=True)
    async with lab.open() as store:
        assert len(await lab.stored(store)) == 6
        await lab.check_account(store)


async def test_what_an_older_boot_left_in_a_journal_on_the_card_is_used(
    lab: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.store.opening.is_ram_disk", lambda _: False)
    async with lab.open() as store:
        read_ms = lab.clock.wall_ms()
        lab.read(store, 3)
        lab.cut_power(keep_runtime=True)
    lab.clock.wall_at_zero_ms += 500_000
    async with lab.open() as store:
        batches = await lab.undelivered(store)
        assert await lab.stored(store) == [1, 2, 3]
        assert [scan["time_ms"] for b in batches for scan in decoded(b).get("scans", ())] == [read_ms] * 3
        await lab.check_account(store)


async def test_a_batch_that_the_broker_refuses_is_counted_and_not_sent_again(lab: Any) -> None:
    async with lab.open() as store:
        for _ in range(3):
            lab.read(store, 2)
            await lab.live(store, 1.0)
        store.mark_dead(2)
        assert [batch.seq for batch in await lab.undelivered(store)] == [1, 3]
        await lab.check_account(store)
        assert store.account().lost == {"rejected": 2}
        assert store.stats().dead == 1


async def test_a_full_ram_disk_is_counted_and_survived(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with lab.open() as store:
        numbers = lab.read(store, 2)
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", no_space)
            lab.read(store, 3)
            await lab.live(store, 5.0)
        numbers += lab.read(store, 2)
        await lab.live(store, 5.0)
        assert await lab.stored(store) == numbers
        assert store.account().lost == {"journal_full": 3}
        await lab.check_account(store)


async def test_an_event_is_sealed_at_once_and_leaves_the_readings_to_their_interval(lab: Any) -> None:
    lab.outbox = OutboxSettings(batch_interval_s=60)
    async with lab.open() as store:
        lab.read(store, 2)
        lab.event(store)
        await store.step()
        assert [batch.kind for batch in await store.pending(0, 9, 9_999)] == ["event"]
        assert store.account().waiting == 2


async def test_connections_of_one_boot_never_have_the_same_number(lab: Any) -> None:
    seen = []
    for end in (lab.kill, lambda: None, lab.kill):
        async with lab.open() as store:
            seen += [store.new_connection(), store.new_connection()]
            boot = store.boot
            end()
    assert seen == [1, 2, 3, 4, 5, 6]
    lab.cut_power()
    async with lab.open() as store:
        assert store.boot == boot + 1
        assert store.new_connection() == 1


async def test_pending_gives_at_least_one_batch_and_respects_what_is_asked_for(lab: Any) -> None:
    async with lab.open() as store:
        for _ in range(8):
            lab.read(store, 20)
            await lab.live(store, 1.0)
        assert [b.seq for b in await store.pending(0, 3, 1_000_000)] == [1, 2, 3]
        assert [b.seq for b in await store.pending(3, 3, 1)] == [4]
        assert [b.seq for b in await store.pending(7, 3, 1)] == [8]
        assert list(await store.pending(8, 3, 1_000_000)) == []


async def test_two_agents_never_share_a_folder(lab: Any) -> None:
    async with lab.open():
        with pytest.raises(StoreError, match="another oc-agent"):
            async with open_store(lab.config(), lab.clock):
                pass


async def test_a_file_of_a_newer_version_is_refused_by_name_and_left_alone(lab: Any) -> None:
    async with lab.open() as store:
        lab.read(store)
    with sqlite3.connect(lab.database) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="schema is 99"):
        async with lab.open():
            pass
    assert not list(lab.data.glob("*corrupt*"))


@pytest.mark.parametrize("end", ["kill", "cut_power"])
async def test_a_batch_leaves_again_only_where_the_end_came_before_the_mark_and_then_under_the_same_number(
    lab: Any, end: str
) -> None:
    lab.outbox = OutboxSettings(commit_interval_s=0)
    async with lab.open() as store:
        for _ in range(4):
            lab.read(store, 2)
            await lab.live(store, 1.0)
        first = {batch.seq: batch.payload for batch in await lab.undelivered(store)}
        store.mark_delivered([(1, 2)])
        await lab.live(store, 70.0, step_s=1.0)
        store.mark_delivered([(3, 3)])  # in the journal, and not on the card
        getattr(lab, end)()
    async with lab.open() as store:
        again = {batch.seq: batch.payload for batch in await lab.undelivered(store) if batch.kind == "data"}
        expected = {4} if end == "kill" else {3, 4}
        assert again == {seq: first[seq] for seq in expected}


async def test_an_older_file_is_brought_up_to_date_with_every_row(lab: Any) -> None:
    async with lab.open() as store:
        for _ in range(6):
            lab.read(store, 3)
            await lab.live(store, 1.5)
        store.mark_delivered([(1, 2)])
        epoch = store.epoch
    rows = lab.sql("SELECT seq, payload FROM batch ORDER BY seq")
    with closing(sqlite3.connect(lab.database)) as connection:
        connection.executescript(
            "DROP TABLE bundle; DROP INDEX batch_last_ms; ALTER TABLE batch DROP COLUMN crc; PRAGMA user_version = 1;"
            "DELETE FROM meta WHERE key IN ('check', 'salvages', 'unsynced');"
        )
    lab.data.joinpath("outbox.numbers").unlink()
    async with lab.open() as store:
        assert store.epoch == epoch
        assert lab.sql("SELECT seq, payload FROM batch ORDER BY seq") == rows
        assert sorted(await lab.stored(store)) == list(range(7, 19))
        assert (store.account().accepted, store.account().delivered) == (18, 6)
        await lab.live(store, 2.0)
        await lab.check_account(store)
    assert not list(lab.data.glob("*.corrupt-*"))


async def test_the_file_shrinks_again_when_what_filled_it_has_gone(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.store.retention.SHRINK_ABOVE_BYTES", 100_000)
    lab.outbox = OutboxSettings(retention_days=1.0, archive_interval_s=5.0)
    async with lab.open() as store:
        for _ in range(20):
            noise = [Reading(f"p{k}", lab.random.random(), lab.clock.mono_ns()) for k in range(5_000)]
            store.append(Scan("d", lab.clock.mono_ns(), noise))
            await lab.live(store, 1.0, step_s=1.0)
        await store.flush()
        full = lab.sql("PRAGMA page_count")[0][0]
        store.mark_delivered([(1, store.high)])
        lab.clock.advance(2 * 86_400)
        for _ in range(20):
            lab.read(store)
            await lab.live(store, 1.0, step_s=1.0)
        assert lab.sql("PRAGMA page_count")[0][0] < full / 2


async def test_run_seals_commits_and_stops_when_it_is_cancelled(tmp_path: Path, lab: Any) -> None:
    from agent.clock import SystemClock

    lab.clock, lab.hold_unsynced_s = SystemClock(), 0.0
    lab.outbox = OutboxSettings(batch_interval_s=0, commit_interval_s=0.05, archive_interval_s=0.2)
    async with lab.open() as store:
        task = asyncio.create_task(store.run())
        async with asyncio.timeout(10):
            lab.read(store, 5)
            while not lab.sent:
                await asyncio.sleep(0.001)
            while lab.sql("SELECT count(*) FROM batch") == [(0,)]:
                await asyncio.sleep(0.01)
            store.mark_delivered([(1, store.high)])
            while store.account().delivered < 5:
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
    async with lab.open() as store:
        assert store.account().delivered == 5


def decoded(batch: Any) -> dict[str, Any]:
    from zlib import decompress

    import msgspec

    plain = decompress(batch.payload) if batch.payload[:1] == b"\x78" else batch.payload
    found: dict[str, Any] = msgspec.json.decode(plain)
    return found


def no_space(*_: object) -> int:
    raise OSError(28, "No space left on device")


def reserved_in(database: Path) -> int:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return int(connection.execute("SELECT value FROM meta WHERE key = 'reserved'").fetchone()[0])
    finally:
        connection.close()


@pytest.mark.parametrize("cut", [False, True])
async def test_no_batch_spans_an_hour_however_long_readings_had_to_wait(lab: Any, *, cut: bool) -> None:
    lab.outbox = OutboxSettings(batch_interval_s=86_400)
    async with lab.open() as store:
        numbers = []
        for _ in range(20):
            numbers += lab.read(store, 1)
            await lab.live(store, 600.0, 300.0)
        if cut:
            lab.cut_power()
        else:
            await store.flush()
            spans = lab.sql("SELECT last_ms - first_ms FROM batch ORDER BY seq")
            assert await lab.stored(store) == numbers
    if cut:
        async with lab.open() as store:
            spans = lab.sql("SELECT last_ms - first_ms FROM batch WHERE kind = 'data' ORDER BY seq")
            assert await lab.stored(store) == numbers
    assert [span for (span,) in spans] == [3_000_000, 3_000_000, 3_000_000, 600_000]


async def test_after_a_kill_an_event_that_waits_does_not_bring_the_sealed_journal_onto_the_card_again(lab: Any) -> None:
    lab.outbox = OutboxSettings(batch_interval_s=0.25, commit_interval_s=60.0)
    async with lab.open() as store:
        for _ in range(5):
            lab.read(store, 200)
            await lab.live(store, 0.5)
        lab.kill()
    async with lab.open() as store:
        assert len(await lab.stored(store)) == 1_000
        lab.event(store)
        await store._committer.commit()
        ((size,),) = lab.sql("SELECT sum(length(records)) FROM unsealed")
        assert size < 2_000
        lab.kill()
    async with lab.open() as store:
        await store.flush()
        assert len(await lab.stored(store)) == 1_000
        assert len(await lab.events(store, "device.down")) == 1
        await lab.check_account(store)
