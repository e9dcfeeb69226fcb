"""Attempts to write the outbox file: each to its end, again where room can be made, and what follows a failure.

A failure is told once an episode and tried again later; a damaged file asks for a new one. Whoever called takes back
what did not get onto the card.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from agent.clock import NS_PER_S
from agent.store.damage.renewal import renew, swap
from agent.store.outbox import OutboxRow
from agent.store.parts import Parts
from agent.store.retention import Retention
from agent.store.sqlite_errors import is_damaged, is_full
from agent.store.timetable import Timetable
from agent.supervise import Episode

log = logging.getLogger(__name__)

Work = Callable[[], Coroutine[Any, Any, None]]


class Attempts:
    """One at a time: the caller holds the lock of the one writer."""

    def __init__(self, parts: Parts, timetable: Timetable, retention: Retention) -> None:
        self.on_full: Callable[[], None] = lambda: None
        self._parts = parts
        self._timetable = timetable
        self._retention = retention
        self._episode = Episode("outbox", parts.clock)
        self._busy_since_ns: int | None = None

    @property
    def failures(self) -> int:
        """How many have failed since the start."""
        return self._episode.count

    def busy_s(self) -> float:
        """For how long the attempt has lasted that is under way."""
        since_ns = self._busy_since_ns
        return 0.0 if since_ns is None else (self._parts.clock.mono_ns() - since_ns) / NS_PER_S

    async def guarded(self, work: Work) -> bool:
        """Do `work` to its end even when cancelled; False where SQLite or the disk refused."""
        self._busy_since_ns = self._parts.clock.mono_ns()
        try:
            if self._parts.outbox.closed:
                self._parts.outbox = await swap(self._parts.outbox, self._parts.config.outbox.max_bytes)
            await self.attempted(work)
        except (sqlite3.Error, OSError) as err:
            self._refused(err)
            return False
        finally:
            self._busy_since_ns = None
        self._episode.recovered()
        self._timetable.works()
        return True

    async def attempted(self, work: Work) -> None:
        """Do `work`, again where room could be made for it; raises `sqlite3.Error` or OSError."""
        while True:
            try:
                return await _to_the_end(work())
            except (sqlite3.Error, OSError) as err:
                if not is_full(err) or not await self._made_room():
                    raise

    async def renewed(self, batches: Sequence[OutboxRow] = ()) -> bool:
        """Set the file aside and go on with a new one that has `batches`; False where the disk refused."""
        try:
            await _to_the_end(renew(self._parts, batches))
        except (sqlite3.Error, OSError) as err:
            self.put_off(f"it is damaged, and a new one cannot be made: {err}")
            return False
        self._timetable.works()
        return True

    def put_off(self, why: object) -> None:
        """It failed, and is tried again as soon as that makes sense."""
        self._episode.failed(f"{self._parts.outbox.path}: {why}")
        self._timetable.failed()

    def _refused(self, err: sqlite3.Error | OSError) -> None:
        damaged = is_damaged(err)
        self.put_off(f"{err}{' (the file is damaged)' if damaged else ''}")
        if is_full(err):
            self.on_full()
        if damaged:  # whoever called takes back first what is not on the card
            self._parts.damage_seen = True
            self._timetable.works()
            self._parts.commit_wake.set()

    async def _made_room(self) -> bool:
        return await self._retention.refused() or await asyncio.to_thread(self._parts.disk.give_up_reserve)


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await `work`; a cancellation waits until it is done, so that a commit is known to be made or not."""
    task = asyncio.create_task(work, name="outbox-commit")
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled() and task.exception() is not None:
            log.warning("outbox: the last commit failed: %s", task.exception())
        raise
