"""The default format, contract version 1: the sealed bytes are the payload. Pure."""

from typing import Final

from agent.model import Batch
from agent.uplink.encoders import Lane, Message
from agent.uplink.topics import Topics

DATA_EXPIRY_S: Final = 7 * 86_400


class Ocg1:
    """Encodes by choosing the topic; a resend has the same bytes because nothing is encoded again."""

    def __init__(self, topics: Topics) -> None:
        self._data = {"live": topics.up("data"), "backfill": topics.up("backfill")}
        self._others = {kind: topics.up(kind) for kind in ("event", "snapshot", "result")}

    def encode(self, batch: Batch, lane: Lane) -> Message:
        """Data has a topic for each lane; everything else has one."""
        topic = self._data[lane] if batch.kind == "data" else self._others[batch.kind]
        return Message(topic, batch.payload, DATA_EXPIRY_S)
