"""One device of a link as the poller sees it: its settings, what is polled of it, and how it is now."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import msgspec

from agent.polling.filters import ReportFilter
from agent.polling.quarantine import Quarantine
from agent.polling.recognition import Recognition
from agent.polling.tally import Tally
from agent.settings import DeviceSettings
from drivers.api import Quality, Reading


class DeviceState(msgspec.Struct, kw_only=True):
    """What is known of one device now, for `status` and the live displays.

    `answers` are kept as they came, for they come all the time and are looked at now and then.
    """

    name: str
    up: bool | None = None
    error: str | None = None
    answered_mono_ns: int | None = None
    answers: dict["Poll | None", Sequence[Reading]] = {}
    pictures: int = 0
    pictures_failed: int = 0

    @property
    def readings(self) -> dict[str, Reading]:
        """The last reading of each point."""
        return _by_point(*self.answers.values())

    def note(self, readings: Sequence[Reading], poll: "Poll | None") -> None:
        """Keep what `poll` has brought, or, with None, what is said of the whole device."""
        if poll is None:
            self.answers = {None: [*_by_point(*self.answers.values(), readings).values()]}
        elif len(readings) == len(poll.plan.points):
            self.answers[poll] = readings
        else:  # of the others it is known what they were
            self.answers[poll] = [*_by_point(self.answers.get(poll, ()), readings).values()]


class DevicePolling:
    """One device of a link: its settings, its filter, its failures in a row."""

    def __init__(self, settings: DeviceSettings, random: Random) -> None:
        self.settings = settings
        self.filter = ReportFilter(settings.points)
        self.quarantine = Quarantine(random)
        self.recognition = Recognition()
        self.tally = Tally()
        self.state = DeviceState(name=settings.name)
        self.polls: list[Poll] = []
        self.pictures: Poll | None = None

    def no_answer(self, points: Sequence[Any], mono_ns: int) -> list[Reading]:
        """`com` for each point; optional ones only where the device has sent them before."""
        sent = self.state.readings
        known = [p for p in points if not p.optional or p.name in sent]
        return [Reading(p.name, None, mono_ns, Quality.NO_ANSWER) for p in known]

    def misfit(self, points: Sequence[Any], mono_ns: int) -> list[Reading]:
        """`cfg` for each point."""
        return [Reading(p.name, None, mono_ns, Quality.CONFIGURATION) for p in points]


def _by_point(*answers: Sequence[Reading]) -> dict[str, Reading]:
    return {reading.point: reading for answer in answers for reading in answer}


@dataclass(frozen=True, eq=False)
class Poll:
    """Points of one device that share an interval, as one plan; or, without a plan, its next picture."""

    device: DevicePolling
    interval_s: float
    plan: Any
