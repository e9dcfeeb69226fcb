"""Waiting for a time that others may shorten.

As `asyncio.timeout` around `Event.wait`, but that ends each wait by cancelling the task and catching that again: an
agent waits more often than it does anything else.
"""

import asyncio


class Alarm:
    """One task sleeps until something is due: `set` wakes it now, `move` makes it sleep for so long instead.

    A time that comes to nothing wakes nobody: a timer was moved, and moved again.
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

    def move(self, within_s: float | None) -> None:
        """Wake it in so many seconds (None: only by `set`), not when it was to wake before.

        One that is awake finds out by itself how long it may sleep.
        """
        if not self._sleeper:
            return
        self._disarm()
        if within_s is None:
            return
        if within_s <= 0:
            self.set()
        else:
            self._timer = self._sleeper.get_loop().call_later(within_s, self._ring)

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
