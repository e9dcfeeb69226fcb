"""Formats on the wire: each is one module that turns a sealed batch into a message.

A batch's payload is the contract's own JSON (or its zlib stream); other formats start from it.
"""

from typing import Literal, NamedTuple, Protocol

from agent.model import Batch

Lane = Literal["live", "backfill"]


class Message(NamedTuple):
    """What is published, with QoS 1. `expiry_s` is how long the broker keeps its copy, in seconds."""

    topic: str
    payload: bytes
    expiry_s: int | None = None
    retain: bool = False


class Encoder(Protocol):
    """A format. The same batch gives the same payload each time."""

    def encode(self, batch: Batch, lane: Lane) -> Message:
        """The message for `batch` on `lane`."""
