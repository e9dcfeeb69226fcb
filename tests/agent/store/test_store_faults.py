"""The card is full, gives I/O errors, is read-only for a while: no reading is lost or doubled, none is stopped."""

import errno
from collections.abc import Callable
from random import Random

import pytest
from card_lab import GRAIN_S, CardLab
from faulty_card import CHANGES, NEEDED, Faults, can_be_had

from agent.settings import OutboxSettings
from agent.store import Store, StoreError
from agent.store.disk import RESERVE_BYTES

pytestmark = pytest.mark.skipif(not can_be_had(), reason=NEEDED)

FAULTS: dict[str, Callable[[Faults], None]] = {
    "full": lambda faults: setattr(faults, "room_bytes", -RESERVE_BYTES),
    "nearly-full": lambda faults: setattr(faults, "room_bytes", 9_000 - RESERVE_BYTES),
    "eio-write": lambda faults: faults.fail(errno.EIO, "write"),
    "eio-sync": lambda faults: faults.fail(errno.EIO, "sync"),
    "eio-all": lambda faults: faults.fail(errno.EIO, "read", *CHANGES),
    "read-only": lambda faults: faults.fail(errno.EROFS, *CHANGES),
}
OPENING = FAULTS | {"eio-read": lambda faults: faults.fail(errno.EIO, "read")}
each_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())


async def read_and_deliver(lab: CardLab, store: Store, random: Random, steps: int) -> None:
    for _ in range(steps):
        accepted = store.account().accepted
        count = random.randint(1, 4)
        lab.read(store, count)
        assert store.account().accepted == accepted + count
        await lab.live(store, random.choice([GRAIN_S, 1.0]))
        assert store.account().balanced
        for batch in await lab.undelivered(store) if random.random() < 0.2 else ():
            if random.random() < 0.5:
                lab.deliver(store, batch)


async def check_all_there(lab: CardLab, store: Store) -> None:
    await lab.live(store, 5.0)
    assert await store.flush()
    world = lab.now()
    stored = await lab.stored(store)
    assert sorted([*stored, *world.arrived()]) == sorted(lab.read_at_ns)
    await lab.check_account(store)
    assert store.account().accepted == len(lab.read_at_ns)
    assert store.account().lost == {}


@each_fault
@pytest.mark.parametrize("seed", range(3))
async def test_a_card_that_fails_for_a_while_loses_nothing_doubles_nothing_and_stops_no_reading(
    card_lab: CardLab, fault: Callable[[Faults], None], seed: int
) -> None:
    lab, random = card_lab, Random(seed)
    lab.outbox = OutboxSettings(commit_interval_s=[3.0, 0.5, 0.0][seed], archive_interval_s=5.0)
    with lab.card() as card:
        async with lab.open() as store:
            for _ in range(3):
                await read_and_deliver(lab, store, random, 10)
                handed_on = len(lab.order)
                fault(card.faults)
                await read_and_deliver(lab, store, random, 20)
                assert store.commit_failures
                assert store.is_alive()
                if lab.outbox.commit_interval_s:
                    assert len(lab.order) - handed_on > 5, "what is read is handed on although the card fails"
                card.faults.heal()
            await check_all_there(lab, store)


async def test_readings_that_wait_unsealed_reach_the_card_soon_after_it_works_again(card_lab: CardLab) -> None:
    lab = card_lab
    lab.outbox = OutboxSettings(batch_interval_s=60)
    with lab.card() as card:
        async with lab.open() as store:
            numbers = lab.read(store, 3)
            await lab.live(store, 2.0)
            for kind in ("write", "sync"):
                card.faults.fail(errno.EIO, kind)
                await lab.live(store, 2.0)
                assert store.commit_failures
            card.faults.heal()
            await lab.live(store, 2.0)
            assert store.account().waiting == 3
            lab.cut(len(lab.log.operations), "none", 1)
    async with lab.open() as store:
        assert await lab.stored(store) == numbers


async def test_batches_that_did_not_get_onto_the_card_are_taken_back_and_sealed_again(card_lab: CardLab) -> None:
    lab = card_lab
    lab.outbox = OutboxSettings(commit_interval_s=0.0)
    with lab.card() as card:
        async with lab.open() as store:
            await lab.live(store, 1.0)
            card.faults.fail(errno.EIO, "write")
            high = store.high
            numbers = lab.read(store, 3)
            await lab.live(store, 3.0)
            assert store.commit_failures
            assert (store.high, store.account().waiting, lab.order) == (high, 3, [])
            card.faults.heal()
            await lab.live(store, 3.0)
            assert await lab.stored(store) == numbers
            assert lab.order == [high + 1]
            await lab.check_account(store)


@each_fault
async def test_a_process_that_is_killed_while_the_card_fails_loses_nothing(
    card_lab: CardLab, fault: Callable[[Faults], None]
) -> None:
    lab, random = card_lab, Random(1)
    for _ in range(3):
        with lab.card() as card:
            async with lab.open() as store:
                await read_and_deliver(lab, store, random, 10)
                fault(card.faults)
                await read_and_deliver(lab, store, random, 10)
                lab.world = lab.now()
                lab.kill()
    async with lab.open() as store:
        await check_all_there(lab, store)


@pytest.mark.parametrize("killed", [False, True])
@pytest.mark.parametrize("fault", ["full", "nearly-full", "eio-write"])
async def test_a_card_that_can_be_read_and_not_written_stops_no_start_and_no_reading(
    card_lab: CardLab, fault: str, *, killed: bool
) -> None:
    lab, random = card_lab, Random(1)
    with lab.card() as card:
        async with lab.open() as store:
            await read_and_deliver(lab, store, random, 10)
            lab.world = lab.now()
            if killed:
                lab.kill()
    with lab.card() as card:
        for _ in range(3):
            FAULTS[fault](card.faults)
            async with lab.open() as store:
                lab.read(store, 3)
                await lab.live(store, 3.0)
                assert store.commit_failures
                assert store.account().balanced
                card.faults.heal()
                await lab.live(store, 3.0)
        async with lab.open() as store:
            await check_all_there(lab, store)


async def test_on_a_read_only_card_the_lock_file_that_is_there_is_held(card_lab: CardLab) -> None:
    lab = card_lab
    with lab.card() as card:
        async with lab.open() as store:
            lab.read(store, 3)
            await lab.live(store, 3.0)
        card.faults.fail(errno.EROFS, "open")
        card.faults.only = "outbox.lock"
        async with lab.open() as store:
            lab.read(store, 3)
            with pytest.raises(StoreError, match="another oc-agent uses"):
                async with lab.open():
                    pass
        card.faults.heal()
        async with lab.open() as store:
            await check_all_there(lab, store)


@pytest.mark.parametrize("fault", ["eio-sync", "eio-read", "eio-all", "read-only"])
async def test_a_store_that_cannot_be_opened_says_so_and_is_undamaged(card_lab: CardLab, fault: str) -> None:
    lab, random = card_lab, Random(1)
    with lab.card() as card:
        async with lab.open() as store:
            await read_and_deliver(lab, store, random, 10)
        for _ in range(3):
            OPENING[fault](card.faults)
            with pytest.raises(StoreError, match=r"outbox\.db"):
                async with lab.open():
                    pass
            card.faults.heal()
        assert not list(lab.data.glob("*.corrupt-*"))
        async with lab.open() as store:
            await check_all_there(lab, store)


async def test_on_a_card_that_others_have_filled_the_reserve_is_enough_for_a_start_and_for_commits(
    card_lab: CardLab,
) -> None:
    lab, random = card_lab, Random(1)
    with lab.card() as card:
        async with lab.open() as store:
            await read_and_deliver(lab, store, random, 10)
        card.faults.room_bytes = 0
        async with lab.open() as store:
            await read_and_deliver(lab, store, random, 20)
            assert store.commit_failures == 0
            await check_all_there(lab, store)


@pytest.mark.parametrize("seconds", [0.5, 20.0])
async def test_while_the_card_cannot_be_read_what_is_read_now_flows_and_afterwards_everything_is_there(
    card_lab: CardLab, seconds: float
) -> None:
    lab, random = card_lab, Random(1)
    with lab.card() as card:
        async with lab.open() as store:
            await lab.fill(store, 100)
            await read_and_deliver(lab, store, random, 20)
            assert await store.flush()
        async with lab.open() as store:
            on_card = store.high
            card.faults.fail(errno.EIO, "read")
            lab.order.clear()
            for _ in range(round(seconds / 0.5)):
                assert await store.pending(0, 100, 100_000) == []
                lab.read(store, 2)
                await lab.live(store, 0.5)
            await lab.live(store, 1.0)
            assert lab.order
            assert min(lab.order) > on_card
            card.faults.heal()
            await lab.live(store, 5.0)
            await lab.salvaged(store)
            assert not await lab.events(store, "data.lost")
            assert sorted([*await lab.stored(store), *lab.now().arrived()]) == sorted(lab.read_at_ns)
