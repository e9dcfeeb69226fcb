"""A card that gives back other bytes than were written: seen, never sent, salvaged, declared."""

import sqlite3
from contextlib import closing
from typing import Any


async def test_a_batch_whose_bytes_changed_on_the_card_is_never_sent_and_is_declared(lab: Any) -> None:
    async with lab.open() as store:
        for _ in range(3):
            lab.read(store, 2)
            await lab.live(store, 1.5)
        await store.flush()
        (payload,) = lab.sql("SELECT payload FROM batch WHERE seq = 2")[0]
        changed = payload[:-9] + bytes([payload[-9] ^ 1]) + payload[-8:]
        with closing(sqlite3.connect(lab.database)) as connection, connection:
            connection.execute("UPDATE batch SET payload = ? WHERE seq = 2", (changed,))
        assert [batch.seq for batch in await lab.undelivered(store)] == [1, 3]
        await lab.live(store, 2.0)
        (lost,) = await lab.events(store, "data.lost")
        assert (lost["reason"], lost["ranges"]) == ("damaged", [[2, 2]])
        assert store.account().lost == {"damaged": 2}
        await lab.check_account(store)
