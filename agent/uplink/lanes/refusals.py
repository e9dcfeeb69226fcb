"""What the broker refuses, and what stands still because of it. Pure; time is passed in.

Promises:
* a broker that cannot now, or has no subscriber, stops the lane for a while, longer with each refusal in a row;
* a topic that is forbidden stops alone: what goes on other topics flows on, and the alarm names the topic until the
  broker takes something on it again.
"""

import logging
from random import Random
from typing import Final

from agent.supervise import Backoff
from agent.uplink.formats import Lane
from agent.uplink.lanes.pacing import Pause
from agent.uplink.lanes.progress import Progress
from agent.uplink.reasons import FIRST_PAUSE_S, Verdict, max_pause_s, reason_name, verdict

log = logging.getLogger(__name__)

LONGEST_S: Final = 60.0
MAX_PASSED: Final = 200


class Refusals:
    """The pauses of one connection's lanes and topics. Counts into `progress`, and raises and ends its alarm there."""

    def __init__(self, random: Random, progress: Progress) -> None:
        self._random = random
        self._progress = progress
        self._lanes: dict[Lane, Pause] = {lane: self._pause() for lane in ("live", "backfill")}
        self._topics: dict[str, Pause] = {}
        self._lowest: dict[str, int] = {}
        self._passed: dict[str, int] = {}

    def __bool__(self) -> bool:
        """Whether anything stands still, or did until now."""
        return bool(self._lowest) or any(self._lanes.values())

    def lane_wait_s(self, lane: Lane, now_ns: int) -> float:
        """How long the lane stands still, in seconds; 0 where it runs.

        Where most of a backlog is for a topic that is forbidden, it is not read to its end over and over.
        """
        held = (self.topic_wait_s(topic, now_ns) for topic, count in self._passed.items() if count >= MAX_PASSED)
        return max(self._lanes[lane].wait_s(now_ns), *held, 0.0)

    def topic_wait_s(self, topic: str, now_ns: int) -> float:
        """How long nothing goes on `topic`, in seconds; 0 where it may."""
        return self._topics[topic].wait_s(now_ns) if topic in self._topics else 0.0

    def pass_over(self, topic: str, seq: int) -> None:
        """A batch does not go because its topic is forbidden: it must when the topic is `released`."""
        self._lowest[topic] = min(seq, self._lowest.get(topic, seq))
        self._passed[topic] = self._passed.get(topic, 0) + 1

    def released(self, now_ns: int) -> int | None:
        """The lowest number that was passed over on topics which may be tried again now."""
        free = [topic for topic in self._lowest if not self.topic_wait_s(topic, now_ns)]
        for topic in free:
            self._passed.pop(topic, None)
        return min((self._lowest.pop(topic) for topic in free), default=None)

    def refused(self, topic: str, seq: int, lane: Lane, code: int, now_ns: int) -> None:
        """The broker did not take a message, for now."""
        self.count(code)
        if verdict(code) is not Verdict.FORBIDDEN:
            self._lanes[lane].begin(now_ns, max_pause_s(code))
            return
        self._topics.setdefault(topic, self._pause()).begin(now_ns, max_pause_s(code))
        self.pass_over(topic, seq)
        alarm = f"{topic}: {reason_name(code)} (0x{code:02X})"
        if topic not in self._progress.alarms:
            log.error("the broker forbids us to publish on %s: see its access rules; the data is kept", alarm)
        self._progress.alarms[topic] = alarm

    def count(self, code: int) -> None:
        """One more refusal with this code."""
        name = reason_name(code)
        self._progress.rejected[name] = self._progress.rejected.get(name, 0) + 1

    def accepted(self, topic: str, lane: Lane) -> None:
        """The broker took a message."""
        self._lanes[lane].end()
        if self._topics:
            self._topics.pop(topic, None)
        if self._progress.alarms and (alarm := self._progress.alarms.pop(topic, None)):
            log.info("the broker lets us publish again: %s is over", alarm)

    def lift(self) -> None:
        """There is somebody who receives: the lanes go on at once."""
        for pause in self._lanes.values():
            pause.end()

    def _pause(self) -> Pause:
        return Pause(Backoff(FIRST_PAUSE_S, LONGEST_S, self._random))
