"""What the IOC and the broker say to us, and whom it concerns.

Promise: a message, however broken, stops nothing: what is not used is counted, and the first of each kind is logged.
"""

import logging
from collections.abc import Awaitable, Callable

from agent.model import Event, Severity
from agent.uplink.downlink.messages import (
    BAD_COMMAND,
    Ack,
    Bad,
    Command,
    Down,
    IocState,
    NoIocState,
    OwnStatus,
    Replay,
    acked_ranges,
)
from agent.uplink.errors import UplinkDown
from agent.uplink.formats import Moment
from agent.uplink.hearing.inbox import Inbox
from agent.uplink.hearing.presence import Heard, Presence
from agent.uplink.hearing.timecheck import TimeCheck
from agent.uplink.lanes.route import Route
from agent.uplink.lanes.sender import Sender
from agent.uplink.notices import Notices
from agent.uplink.reasons import TAKEN_OVER

log = logging.getLogger(__name__)

_CLOCK_WORDS = {
    "raise": {"vi": "Đồng hồ lệch với IOC quá một phút", "en": "The clock differs from the IOC's by over a minute"},
    "clear": {"vi": "Đồng hồ đã khớp với IOC", "en": "The clock agrees with the IOC's again"},
}


class Hearing:
    """Reads the inbox and hands on what is in it. `sender` is the one of this connection, while there is one."""

    def __init__(self, route: Route, inbox: Inbox, notices: Notices) -> None:
        self.presence = Presence()
        self.sender: Sender | None = None
        self.on_state: Callable[[], None] | None = None
        self._route = route
        self._inbox = inbox
        self._notices = notices
        self._time = TimeCheck()

    async def listen(self, moment: Callable[[], Moment], say_online: Callable[[], Awaitable[None]]) -> None:
        """Hand on what comes, for ever; raises `UplinkDown` where somebody else is this gateway."""
        while True:
            topic, payload = await self._inbox.get()
            message = self._route.format.read(topic, payload)
            if isinstance(message, OwnStatus):
                await self._heard_status(message, moment(), say_online)
            elif message is not None:
                self._heard(message)

    def _heard(self, message: Down) -> None:
        match message:
            case Ack():
                self._heard_ack(message)
            case IocState() | NoIocState():
                self._heard_state(message)
            case Replay():
                if not self._route.replays.ask(message, self._route.source.epoch):
                    self._inbox.ignore("replay")
            case Command() if self._notices.command:
                self._notices.command(message)
            case Command():
                self._inbox.refuse("command", f"there are no commands here: {message.command} is ignored")
            case Bad():
                self._inbox.bad(message)
                if message.reason == BAD_COMMAND:
                    self._notices.bad_command(message.detail)

    def _heard_ack(self, ack: Ack) -> None:
        source = self._route.source
        ranges = acked_ranges(ack, source.epoch, source.high)
        if isinstance(ranges, Bad):
            self._inbox.bad(ranges)
        elif ranges and self.sender:
            self.sender.acknowledged(ranges)
        elif ranges:
            source.mark_delivered(ranges)

    def _heard_state(self, state: IocState | NoIocState) -> None:
        came_up = self._route.peer.heard(state)
        if self.sender:
            self.sender.peer_changed(came_up=came_up)
        if self.on_state:
            self.on_state()
        if isinstance(state, IocState):
            self._check_time(state.time_ms)

    def _check_time(self, ioc_ms: int) -> None:
        clock = self._route.clock
        news = self._time.heard(ioc_ms, clock.wall_ms(), fresh=self.presence.echo.is_set())
        if news is None:
            return
        log.warning("%s: it says %d, we say %d (ms)", _CLOCK_WORDS[news]["en"], ioc_ms, clock.wall_ms())
        severity: Severity = "major" if news == "raise" else "info"
        now_ns, words = clock.mono_ns(), _CLOCK_WORDS[news]
        self._notices.event(
            Event(type=f"alarm.{news}", severity=severity, mono_ns=now_ns, message=words, reason="clock")
        )

    async def _heard_status(self, said: OwnStatus, now: Moment, say_online: Callable[[], Awaitable[None]]) -> None:
        match self.presence.heard(said, now):
            case Heard.FOREIGN:
                raise UplinkDown("another client says that it is this gateway", TAKEN_OVER)
            case Heard.LATE:
                await say_online()
            case Heard.OURS:
                pass
