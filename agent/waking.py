"""Waiting for a time that others may shorten.

As `asyncio.timeout` around `Event.wait`, but that ends each wait by cancelling the task and catching that again: an
agent waits more often than it does anything else.
"""

import asyncio


class Alarm:
    """One task sleeps until something is due: `set` wakes it now, `by` makes it sleep no longer than so.

    Naming a time wakes nobody before it: where that comes to nothing, a timer was moved and no task ran.
    """

    def __init__(self) -> None:
        self._rung = self._late = False
        self._sleeper: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self) -> None:
        """Wake it now; where it is awake, it does not fall asleep before the next `clear`."""
        self._rung = True
        if self._sleeper and not self._sleeper.done():
            self._sleeper.set_result(None)

    def clear(self) -> None:
        """What has woken it is done."""
        self._rung = False

    def is_set(self) -> bool:
        """Whether it was woken, or the time was over, since the last `clear`."""
        return self._rung

    def by(self, within_s: float) -> None:
        """Wake it in so many seconds at the latest. One that is awake finds out by itself how long it may sleep."""
        if not self._sleeper:
            return
        if within_s <= 0:
            self.set()
            return
        loop = self._sleeper.get_loop()
        at_s = loop.time() + within_s
        if self._timer is None or at_s < self._timer.when():
            self._disarm()
            self._timer = loop.call_at(at_s, self._ring)

    async def wait(self, within_s: float | None) -> bool:
        """Sleep until woken, at most `within_s` seconds (None: for ever); False where a time was over.

        It is set afterwards in any case. Who is woken in the very moment in which the time is over was too late: look
        at everything anew after either.
        """
        self._late = False
        if self._rung:
            return True
        loop = asyncio.get_running_loop()
        self._sleeper = loop.create_future()
        if within_s is not None:
            self._timer = loop.call_later(within_s, self._ring)
        try:
            await self._sleeper
        finally:
            self._sleeper = None
            self._disarm()
        return not self._late

    def _ring(self) -> None:
        self._late = True
        self.set()

    def _disarm(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
