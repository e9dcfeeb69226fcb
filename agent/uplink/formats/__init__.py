"""Formats on the wire: each is one package that gives the uplink its messages and understands what comes back.

A batch's payload is the contract's own JSON (or its zlib stream); other formats start from it. The uplink knows a
format by `Format` only; which one speaks is said where the uplink is made.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from agent.health import Hardware
from agent.model import Batch
from agent.settings import Settings
from agent.uplink.downlink.messages import Down

Lane = Literal["live", "backfill"]
Why = Literal["connect", "will", "stop"]


class Message(NamedTuple):
    """What is published, with QoS 1. `expiry_s` is how long the broker keeps its copy, in seconds."""

    topic: str
    payload: bytes
    expiry_s: int | None = None
    retain: bool = False


class Moment(NamedTuple):
    """When, by which outbox, and on which connection something is said. `boot` and `connection` count from 1."""

    epoch: str
    boot: int
    connection: int
    time_ms: int


class Format(Protocol):
    """One format, for one gateway. Nothing here does I/O, and nothing that is read raises."""

    @property
    def config(self) -> str:
        """Names the configuration as the IOC sees it: another one means other births."""

    def describe(self, settings: Settings, commands: Sequence[str]) -> None:
        """Say this configuration from now on: site, devices and commands are others; the gateway is the same."""

    @property
    def subscriptions(self) -> Sequence[str]:
        """What the gateway listens to, the state of the IOC first: it decides what is sent."""

    @property
    def frequent(self) -> Sequence[str]:
        """Topics that are published often, the most frequent first: they are worth a short name at the broker."""

    def encode(self, batch: Batch, lane: Lane) -> Message:
        """The message for `batch` on `lane`; the same batch gives the same payload each time."""

    def status(self, moment: Moment, why: Why) -> Message:
        """Online, or why not; `will` is what the broker says for us."""

    def births(self, moment: Moment, hardware: Hardware, removed: Collection[str]) -> Iterator[Message]:
        """What the gateway and its devices are, and what takes the `removed` ones away."""

    def health(self, moment: Moment, figures: dict[str, Any]) -> Message:
        """How the gateway is."""

    def picture_part(self, picture: str, part: int, data: bytes) -> Message:
        """A part of a picture, counted from 1."""

    def read(self, topic: str, payload: bytes) -> Down | None:
        """What a message says; None for one that says nothing."""
