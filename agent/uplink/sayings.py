"""What the gateway says of itself, as messages ready to publish: status, births, health. No I/O."""

from collections.abc import Collection, Iterator
from typing import Any, Final

import msgspec

from agent.clock import Clock
from agent.health import Hardware
from agent.model import BatchSource
from agent.packing import packed
from agent.settings import Settings
from agent.uplink.birth import Moment, birth, config_hash, device_births
from agent.uplink.encoders import Message
from agent.uplink.status import Why, health, status
from agent.uplink.topics import Topics

SMALLEST: Final = 6
"""The level of zlib for what is said seldom."""


class Sayings:
    """Makes the messages outside `seq`. `connection` and `hardware` are set by whoever knows them."""

    def __init__(self, settings: Settings, source: BatchSource, clock: Clock) -> None:
        self.connection = 0
        self.hardware = Hardware()
        self._settings = settings
        self._source = source
        self._clock = clock
        self._topics = Topics(settings.gateway.id)
        self._config = config_hash(settings)

    def status(self, why: Why) -> Message:
        """Online, or why not."""
        said = status(self._settings.gateway.id, self._config, self._moment(), why)
        return _message(self._topics.status, said)

    def births(self, removed: Collection[str]) -> Iterator[Message]:
        """The births of the gateway and its devices; an empty one for each device that was `removed`."""
        moment, settings = self._moment(), self._settings
        yield _message(self._topics.birth, birth(settings, self._config, moment, self.hardware))
        for device, said in device_births(settings, self._config, moment).items():
            yield _message(self._topics.device_birth(device), said)
        for device in sorted(removed):
            yield Message(self._topics.device_birth(device), b"", retain=True)

    def health(self, figures: dict[str, Any]) -> Message:
        """How the gateway is; not retained."""
        said = health(self._settings.gateway.id, self._moment(), figures)
        return _message(self._topics.health, said)._replace(retain=False)

    def _moment(self) -> Moment:
        return Moment(self._source.epoch, self._source.boot, self.connection, self._clock.wall_ms())


def _message(topic: str, said: dict[str, Any]) -> Message:
    return Message(topic, packed(msgspec.json.encode(said), SMALLEST), retain=True)
