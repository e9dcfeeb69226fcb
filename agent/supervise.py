"""Keep things running, and tell what has stopped: the one place that retries, and the one broad `except`.

A crash is logged with its traceback, counted, and the work starts again after a capped, jittered delay. One
WARNING for each failure episode, INFO on recovery with its length, repeats at DEBUG.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from random import Random

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type
from tenacity.wait import wait_base

from agent.clock import NS_PER_S, Clock

log = logging.getLogger(__name__)

HEALTHY_S = 60.0
"""Work that ran so long before it failed starts again with the shortest delay."""


class Episode:
    """From first failure to recovery, told once at each end."""

    def __init__(self, what: str, clock: Clock) -> None:
        self._what = what
        self._clock = clock
        self._since_ns: int | None = None
        self.count = 0

    @property
    def failing(self) -> bool:
        return self._since_ns is not None

    def failed(self, why: object) -> bool:
        """Note a failure; True where it begins an episode."""
        self.count += 1
        if self._since_ns is not None:
            log.debug("%s: still failing: %s", self._what, why)
            return False
        self._since_ns = self._clock.mono_ns()
        log.warning("%s: %s", self._what, why)
        return True

    def recovered(self) -> bool:
        """Note a success; True where it ends an episode."""
        if self._since_ns is None:
            return False
        seconds = (self._clock.mono_ns() - self._since_ns) / NS_PER_S
        self._since_ns = None
        log.info("%s: works again after %.1f s", self._what, seconds)
        return True


class Pulse:
    """Whether a loop still turns. Before each step it says how long that may take; late by `grace_s`, it is stuck."""

    def __init__(self, clock: Clock, grace_s: float) -> None:
        self._clock = clock
        self._grace_ns = round(grace_s * NS_PER_S)
        self._until_ns: int | None = None
        self.beat()

    def beat(self, busy_s: float = 0.0) -> None:
        """The loop turns; its next step may take `busy_s`."""
        self._until_ns = self._clock.mono_ns() + round(busy_s * NS_PER_S) + self._grace_ns

    def rest(self) -> None:
        """The loop turns, and waits for what may never come."""
        self._until_ns = None

    def is_alive(self) -> bool:
        """False where the loop is stuck."""
        return self._until_ns is None or self._clock.mono_ns() < self._until_ns


class Backoff(wait_base):
    """Delays that double from `first_s` to `max_s`, each shortened by up to half so that many do not come at once."""

    def __init__(self, first_s: float, max_s: float, random: Random) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._random = random

    def delay_s(self, attempt: int) -> float:
        """The delay after the `attempt`-th failure in a row, from 1."""
        full = min(self._max_s, self._first_s * 2.0 ** min(attempt - 1, 30))
        return full * self._random.uniform(0.5, 1.0)

    def delays(self) -> Iterator[float]:
        """The delays one after another, for ever."""
        attempt = 0
        while True:
            attempt += 1
            yield self.delay_s(attempt)

    def __call__(self, retry_state: RetryCallState) -> float:
        return self.delay_s(retry_state.attempt_number)


async def keep_running(name: str, work: Callable[[], Awaitable[None]], backoff: Backoff, clock: Clock) -> None:
    """Run `work` for ever: when it crashes or ends, log it and start it again. Only a cancellation ends this."""
    while True:
        async for attempt in AsyncRetrying(retry=retry_if_exception_type(), wait=backoff):
            started_ns = clock.mono_ns()
            with attempt:
                try:
                    await _for_ever(name, work)
                except Exception:
                    log.exception("%s crashed and will be started again", name)
                    if clock.mono_ns() - started_ns < HEALTHY_S * NS_PER_S:
                        raise


async def _for_ever(name: str, work: Callable[[], Awaitable[None]]) -> None:
    await work()
    raise RuntimeError(f"{name} ended by itself")
