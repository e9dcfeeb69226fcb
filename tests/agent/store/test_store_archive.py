"""What was sealed can be read again, delivered or not, wherever it is."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest

FAR = 1 << 60


async def fill(lab: Any, store: Any, batches: int) -> None:
    for _ in range(batches):
        lab.read(store, 2)
        await lab.live(store, 1.25)


async def everything(store: Any, first: int = 1, last: int = FAR, portion: int = 3) -> list[Any]:
    found: list[Any] = []
    while batches := await store.sealed([(found[-1].seq + 1 if found else first, last)], portion, 20_000):
        found += batches
    return found


async def test_delivered_batches_are_found_in_the_journal_and_then_on_the_card(lab: Any) -> None:
    async with lab.open() as store:
        for seq in range(1, 11):
            await fill(lab, store, 1)
            store.mark_delivered([(seq, seq)])
        in_journal = await everything(store)
        assert lab.sql("SELECT count(*) FROM batch") == [(0,)], "nothing was committed yet"
        await lab.live(store, 61)
        assert lab.sql("SELECT count(*) FROM batch") == [(10,)]
        on_card = await everything(store)
        await fill(lab, store, 3)
        both = await everything(store)
    assert [batch.seq for batch in in_journal] == list(range(1, 11))
    assert [batch.payload for batch in on_card] == [batch.payload for batch in in_journal]
    assert [batch.seq for batch in both] == list(range(1, 14))
    for batch in both:
        lab.note(store, batch)


async def test_only_what_was_asked_for_comes_and_what_is_gone_is_passed_over(lab: Any) -> None:
    async with lab.open() as store:
        await fill(lab, store, 10)
        await store.flush()
        await store.forget([(4, 5)])
        found = await store.sealed([(2, 6), (9, 9), (50, 60)], 100, 1 << 20)
        assert [batch.seq for batch in found] == [2, 3, 6, 9]
        assert await store.sealed([(4, 5)], 100, 1 << 20) == []


async def test_a_window_of_time_names_every_batch_that_has_something_of_it(lab: Any) -> None:
    async with lab.open() as store:
        await fill(lab, store, 5)
        await store.flush()
        await fill(lab, store, 5)
        times = {
            batch.seq: [scan["time_ms"] for scan in lab.decoded(batch)["scans"]]
            for batch in await everything(store)
            if batch.kind == "data"
        }
        begin = min(min(ms) for ms in times.values())
        for from_ms, to_ms in [(begin, begin + 1), (begin + 2_000, begin + 7_000), (begin + 9_000, begin + 99_000)]:
            named = {seq for first, last in await store.window(from_ms, to_ms) for seq in range(first, last + 1)}
            meant = {seq for seq, ms in times.items() if any(from_ms <= one < to_ms for one in ms)}
            assert meant <= named
        late = await store.window(begin + 9_000, begin + 99_000)
        assert late[0][0] > 5, "what ended before is left out"
        assert await store.window(begin - 9_000_000, begin - 8_000_000) == []


async def test_a_damaged_batch_is_passed_over_and_never_sent_again(lab: Any, caplog: pytest.LogCaptureFixture) -> None:
    async with lab.open() as store:
        await fill(lab, store, 3)
        await store.flush()
        with closing(sqlite3.connect(lab.database)) as connection, connection:
            connection.execute("UPDATE batch SET payload = X'7B7D' WHERE seq = 2")
        assert [batch.seq for batch in await everything(store, portion=1)] == [1, 3]
    assert "cannot be sent again" in caplog.text


async def test_what_goes_onto_the_card_while_it_is_looked_for_is_found(lab: Any, monkeypatch: Any) -> None:
    async with lab.open() as store:
        await fill(lab, store, 2)
        outbox = store._parts.outbox
        read = outbox.read
        flushed: list[bool] = []

        async def slow(*arguments: Any) -> Any:
            found = await read(*arguments)
            if not flushed:
                assert lab.sql("SELECT count(*) FROM batch") == [(0,)]
                flushed.append(await store.flush())
            return found

        monkeypatch.setattr(outbox, "read", slow)
        assert [batch.seq for batch in await everything(store)] == [1, 2]
        assert flushed == [True]


async def test_a_card_that_cannot_be_read_now_is_no_empty_archive(lab: Any, monkeypatch: Any) -> None:
    async with lab.open() as store:
        await fill(lab, store, 2)
        await store.flush()

        async def fails(*_: Any) -> Any:
            raise sqlite3.OperationalError("disk I/O error")

        monkeypatch.setattr(store._parts.outbox, "read", fails)
        monkeypatch.setattr(store._parts.outbox, "window", fails)
        assert await store.sealed([(1, 2)], 10, 1 << 20) is None
        assert await store.window(0, FAR) is None
