"""Between two connections: how long to wait for the next, and what is said of why there is none.

Promise: whoever looks finds the reason at once; the journal has each reason once, not each attempt.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from random import Random
from typing import Final

from agent.clock import NS_PER_S, Clock
from agent.model import Event
from agent.supervise import Backoff, Episode, Pulse
from agent.uplink.errors import Renewed, UplinkDown, UplinkRefused
from agent.uplink.faults import Fault
from agent.uplink.notices import Notices
from agent.uplink.reasons import TAKEN_OVER

log = logging.getLogger(__name__)

STABLE_S: Final = 5.0
"""A connection that held so long was a good one: the next attempt after it comes with the shortest delay."""
REFUSED_FIRST_S, REFUSED_MAX_S = 1.0, 60.0
TAKEN_OVER_S: Final = 60.0

Delays = Callable[[], Iterator[float]]


class Outages:
    """The pauses of one uplink.

    `error`, `fault`: why there is no connection, as text and by name where it has one; "" and None where there is one.
    """

    def __init__(self, gateway: str, delays: Delays, clock: Clock, notices: Notices, random: Random) -> None:
        self.error = ""
        self.fault: Fault | None = None
        self._gateway = gateway
        self._fresh_delays = delays
        self._clock = clock
        self._notices = notices
        self._random = random
        self._episode = Episode("uplink", clock)
        self._begin_anew()

    def over(self) -> bool:
        """There is a connection that works; False where there was no outage before it."""
        self.error, self.fault = "", None
        return self._episode.recovered()

    async def wait(self, down: UplinkDown, held_ns: int, pulse: Pulse) -> None:
        """Wait after a connection that was tried or held for so long and ended for this reason."""
        if held_ns > STABLE_S * NS_PER_S:
            self._begin_anew()
        if isinstance(down, Renewed):
            return
        if not self._episode.failed(down.reason) and _code(down.fault) != _code(self.fault):
            log.warning("uplink: now %s", down.reason)
        self.error, self.fault = down.reason, down.fault
        if down.code == TAKEN_OVER:
            self._report_takeover()
            delay_s = TAKEN_OVER_S
        else:
            delay_s = next(self._refusals if isinstance(down, UplinkRefused) else self._delays)
        pulse.beat(delay_s)
        await asyncio.sleep(delay_s)

    def _begin_anew(self) -> None:
        self._delays = self._fresh_delays()
        self._refusals = Backoff(REFUSED_FIRST_S, REFUSED_MAX_S, self._random).delays()

    def _report_takeover(self) -> None:
        gateway = self._gateway
        log.error("another client has connected as %s: two gateways with one id, or somebody has its key", gateway)
        said = {"vi": f"Thiết bị khác đã kết nối với mã {gateway}", "en": f"Another client connected as {gateway}"}
        now_ns = self._clock.mono_ns()
        self._notices.event(Event(type="security.takeover", severity="critical", mono_ns=now_ns, message=said))


def _code(fault: Fault | None) -> str:
    return fault.code if fault else ""
