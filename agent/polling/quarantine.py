"""How long to leave a silent device alone. Pure.

A dead unit costs a timeout and a quiet line each time it is asked. After the third failure in a row it is only
probed, at growing intervals, so that one dead device of ten takes at most a tenth of the wire's time and is back
soon after it answers again (bar: wb-mqtt-serial, offline after failed cycles, probed at up to 10 s).
"""

from random import Random

from agent.configuration import COST_SHARE

FAILURES_UNTIL_DOWN = 3
LONGEST_PROBE_S = 12.0
"""With the jitter and one turn of the bus a device is back within 15 s of answering, whatever it costs."""
QUIET_FACTOR = 2
"""The silence after a timeout is as long as the timeout, and the next device waits for it."""


class Quarantine:
    """Failures in a row of one device."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.failures = 0

    @property
    def is_down(self) -> bool:
        return self.failures >= FAILURES_UNTIL_DOWN

    def answered(self) -> bool:
        """Note an answer; True where the device was down."""
        was_down = self.is_down
        self.failures = 0
        return was_down

    def failed(self) -> bool:
        """Note a failure; True where it takes the device down."""
        self.failures += 1
        return self.failures == FAILURES_UNTIL_DOWN

    def rest_s(self, interval_s: float, cost_s: float) -> float:
        """How long not to ask, after a failure that kept the wire busy for `cost_s`; 0 while it is not down.

        A device that costs more than a second takes more than its share: to be back in time goes first.
        """
        if not self.is_down:
            return 0.0
        growing = interval_s * 2.0 ** min(self.failures - FAILURES_UNTIL_DOWN, 10)
        rest = min(max(growing, QUIET_FACTOR * cost_s / COST_SHARE), LONGEST_PROBE_S)
        return rest * self._random.uniform(0.9, 1.1)
