"""The introduction: status and births on each connection, and again where the configuration has changed."""

import asyncio
from collections.abc import Sequence

from agent.settings import Settings
from agent.uplink.formats import Format
from agent.uplink.mqtt import MqttSession
from agent.uplink.sayings import Sayings


class Introduction:
    """Whether the broker knows who we are now. A description that comes while we introduce ourselves is said after."""

    def __init__(self, format_: Format, sayings: Sayings) -> None:
        self._format = format_
        self._sayings = sayings
        self._made, self._redescribed = asyncio.Event(), asyncio.Event()

    @property
    def made(self) -> bool:
        """Whether the broker has answered to status and births on this connection."""
        return self._made.is_set()

    def describe(self, settings: Settings, commands: Sequence[str]) -> None:
        """Say this configuration from now on, also on the connection that there is."""
        self._format.describe(settings, commands)
        self._sayings.describe(settings)
        self._made.clear()
        self._redescribed.set()

    def unmake(self) -> None:
        """The connection is gone."""
        self._made.clear()

    async def answer(self) -> str:
        """Wait until the broker has answered to all; gives why it did not take one, else ""."""
        await self._made.wait()
        return self._sayings.refused

    async def make(self, session: MqttSession) -> None:
        """Say who we are."""
        self._redescribed.clear()
        await self._sayings.announce(session)
        if not self._redescribed.is_set():
            self._made.set()

    async def keep(self, session: MqttSession) -> None:
        """Say it again where it has changed, for ever."""
        while True:
            await self._redescribed.wait()
            await self.make(session)
