"""The contract's messages, ready to publish, and what it lets the IOC say. No I/O."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final

import msgspec

from agent.health import Hardware
from agent.model import Batch
from agent.packing import FOR_TEXTS, packed
from agent.settings import Settings
from agent.uplink.downlink.messages import Down
from agent.uplink.formats import Lane, Message, Moment, Why
from agent.uplink.formats.ocg1.birth import birth, config_hash, device_births
from agent.uplink.formats.ocg1.reading import read_down
from agent.uplink.formats.ocg1.status import health, status
from agent.uplink.formats.ocg1.topics import Topics

DATA_EXPIRY_S: Final = 7 * 86_400


class Ocg1:
    """Version 1 for one gateway. A sealed batch is its own payload, so a resend has the same bytes."""

    def __init__(self, settings: Settings, commands: Sequence[str] = ()) -> None:
        self.describe(settings, commands)
        self._topics = topics = Topics(settings.gateway.id)
        self._data = {"live": topics.up("data"), "backfill": topics.up("backfill")}
        self._others = {kind: topics.up(kind) for kind in ("event", "snapshot", "result")}

    def describe(self, settings: Settings, commands: Sequence[str]) -> None:
        """Say this configuration from now on."""
        self._settings = settings
        self._commands = commands
        self.config = config_hash(settings)

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """What the gateway listens to."""
        return self._topics.subscriptions

    @property
    def frequent(self) -> tuple[str, ...]:
        """The lanes, events and health; a broker may allow short names for a few only."""
        return self._topics.frequent

    def encode(self, batch: Batch, lane: Lane) -> Message:
        """Data has a topic for each lane; everything else has one."""
        topic = self._data[lane] if batch.kind == "data" else self._others[batch.kind]
        return Message(topic, batch.payload, DATA_EXPIRY_S)

    def status(self, moment: Moment, why: Why) -> Message:
        """Online, or why not."""
        return _retained(self._topics.status, status(self._settings.gateway.id, self.config, moment, why))

    def births(self, moment: Moment, hardware: Hardware, removed: Collection[str]) -> Iterator[Message]:
        """The births of the gateway and its devices; an empty one for each device that was `removed`."""
        settings = self._settings
        yield _retained(self._topics.birth, birth(settings, self.config, moment, hardware, self._commands))
        for device, said in device_births(settings, self.config, moment).items():
            yield _retained(self._topics.device_birth(device), said)
        for device in sorted(removed):
            yield Message(self._topics.device_birth(device), b"", retain=True)

    def health(self, moment: Moment, figures: dict[str, Any]) -> Message:
        """How the gateway is; not retained."""
        said = health(self._settings.gateway.id, moment, figures)
        return _retained(self._topics.health, said)._replace(retain=False)

    def picture_part(self, picture: str, part: int, data: bytes) -> Message:
        """A part of a picture, counted from 1, as it is."""
        return Message(self._topics.blob(picture, part), data)

    def read(self, topic: str, payload: bytes) -> Down | None:
        """What a message says; None for an empty one that only clears a retained message."""
        return read_down(self._topics, topic, payload)


def _retained(topic: str, said: dict[str, Any]) -> Message:
    return Message(topic, packed(msgspec.json.encode(said), FOR_TEXTS), retain=True)
