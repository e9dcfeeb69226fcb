"""What the gateway says of itself: status and births at each connection, retained, and health.

Promises: a device that was taken out of the configuration is taken out at the broker; the IOC is told when the
configuration has changed; what the broker does not take is said by name, and stops nothing else.
"""

import asyncio
import logging
from pathlib import Path
from typing import Any, Final

import msgspec

from agent.clock import Clock
from agent.health import Hardware
from agent.model import BatchSource, Event
from agent.settings import Settings
from agent.uplink.errors import MessageRejected
from agent.uplink.formats import Format, Message, Moment, Why
from agent.uplink.mqtt import MqttSession
from agent.uplink.notices import Notices
from agent.uplink.reasons import Verdict, reason_name, verdict
from agent.uplink.remembered import Remembered

log = logging.getLogger(__name__)

ANNOUNCED_FILE: Final = "announced.json"


class Announced(msgspec.Struct, frozen=True):
    """What stands at the broker: the births of these devices, of the configuration with this hash."""

    devices: frozenset[str] = frozenset()
    config: str = ""


class Sayings:
    """Says who we are. `connection` and `hardware` are set by whoever knows them.

    `refused`: why the broker did not take one of the last births; "" where it took all.
    """

    def __init__(
        self, settings: Settings, source: BatchSource, format_: Format, clock: Clock, notices: Notices
    ) -> None:
        self.connection = 0
        self.refused = ""
        self.hardware = Hardware()
        self._source = source
        self._format = format_
        self._clock = clock
        self._notices = notices
        self._timeout_s = settings.uplink.connect_timeout_s
        self._before: Announced | None = None
        self.describe(settings)
        path = Path(settings.gateway.data_dir) / ANNOUNCED_FILE
        self._file = Remembered(path, Announced, Announced(), "births of removed devices may stay at the broker")

    def describe(self, settings: Settings) -> None:
        """Announce these devices from now on, in the words of the format."""
        self._now = Announced(frozenset(device.name for device in settings.devices), self._format.config)

    def moment(self) -> Moment:
        """Now, on this connection."""
        return Moment(self._source.epoch, self._source.boot, self.connection, self._clock.wall_ms())

    def status(self, why: Why) -> Message:
        """Online, or why not."""
        return self._format.status(self.moment(), why)

    def health(self, figures: dict[str, Any]) -> Message:
        """How the gateway is."""
        return self._format.health(self.moment(), figures)

    async def announce(self, session: MqttSession) -> None:
        """Publish status and births; take away the births of devices that are not there any more."""
        before = await asyncio.to_thread(self._file.read) if self._before is None else self._before
        now, self.refused = self._now, ""
        births = self._format.births(self.moment(), self.hardware, before.devices - now.devices)
        async with asyncio.TaskGroup() as tasks:
            for message in (self.status("connect"), *births):
                tasks.create_task(self.say(session, message), name=f"say {message.topic}")
        if before != now:
            if before.config and before.config != now.config:
                self._tell_of_change(before.config, now.config)
            await asyncio.to_thread(self._file.write, now)
        self._before = now  # also where it cannot be written: a change is told once

    async def say(self, session: MqttSession, message: Message, timeout_s: float | None = None) -> None:
        """Publish one message; raises `UplinkDown`."""
        wait_s = self._timeout_s if timeout_s is None else timeout_s
        try:
            code = await session.publish(message.topic, message.payload, retain=message.retain, timeout_s=wait_s)
        except MessageRejected as err:
            log.warning("%s cannot be published: %s", message.topic, err)
            self.refused = f"{message.topic} cannot be published: {err}"
            return
        if verdict(code) not in (Verdict.ACCEPTED, Verdict.NO_SUBSCRIBER):
            self.refused = f"the broker does not take {message.topic}: {reason_name(code)} (0x{code:02X})"
            log.error(self.refused)

    def _tell_of_change(self, before: str, after: str) -> None:
        log.info("the configuration has changed: %s is now %s", before, after)
        message = {"vi": f"Cấu hình đã thay đổi: {before} thành {after}", "en": f"Changed from {before} to {after}"}
        now_ns = self._clock.mono_ns()
        self._notices.event(Event(type="config.changed", severity="info", mono_ns=now_ns, message=message))
