"""Waiting for a time that something else may shorten.

As `asyncio.timeout` around `Event.wait`, but that ends each wait by cancelling the task and catching that again: an
agent waits more often than it does anything else.
"""

import asyncio


async def woken(event: asyncio.Event, within_s: float | None) -> bool:
    """Wait until `event` is set, at most `within_s` seconds (None: for ever); False where the time was over.

    It is set afterwards in any case. Who is woken in the very moment in which the time is over was too late: look at
    everything anew after either.
    """
    late = False

    def ring() -> None:
        nonlocal late
        late = True
        event.set()

    timer = None if within_s is None else asyncio.get_running_loop().call_later(within_s, ring)
    try:
        await event.wait()
    finally:
        if timer:
            timer.cancel()
    return not late
