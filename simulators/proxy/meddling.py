"""What a proxy that understands MQTT does to the packets of one connection. Pure but for what it is told to draw.

Promises: only PUBLISH and PUBACK are touched, the order of the others never changes; what is lost here neither side
misses: the broker gets its PUBACK, as if the client had the message; what is refused the broker never sees.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final, NamedTuple

from simulators.proxy.faults import Direction
from simulators.proxy.packets import (
    CONNACK,
    CONNECT,
    PUBACK,
    PUBLISH,
    NotMqtt,
    Packets,
    Publish,
    Version,
    packet_type,
    puback,
    publish,
    read_publish,
    version_of,
)

REMEMBERED: Final = 50


@dataclass(frozen=True, kw_only=True)
class Meddling:
    """How often, as shares from 0 to 1, and with what.

    Of the PUBLISH packets to the client on topics that end in `topic`: `lost`; `late`, by up to `max_late_s` seconds,
    so that later ones overtake them; `doubled`; `stale`, an earlier one comes once more behind them. `pubacks_lost`: of
    the broker's PUBACKs. `refused`: of the client's QoS 1 messages on topics that end in one of `refused_topics`, which
    get a PUBACK with one of `codes` and go nowhere (code 0: the client believes that the broker has it; MQTT 3.1.1 has
    no other).
    """

    topic: str = ""
    lost: float = 0.0
    late: float = 0.0
    max_late_s: float = 0.5
    doubled: float = 0.0
    stale: float = 0.0
    pubacks_lost: float = 0.0
    refused: float = 0.0
    refused_topics: Sequence[str] = ()
    codes: Sequence[int] = ()


class Out(NamedTuple):
    """Send a packet this way, after so many seconds."""

    direction: Direction
    packet: bytes
    wait_s: float = 0.0


Watch = Callable[[Direction, Publish], None]
"""Sees each PUBLISH that goes on, as it came."""


class Meddler:
    """One connection. `done` is told by name what was done; `orders` says what to do now, None for nothing."""

    def __init__(
        self, orders: Callable[[], Meddling | None], random: Random, watch: Watch, done: Callable[[str], None]
    ) -> None:
        self._orders = orders
        self._random = random
        self._watch = watch
        self._done = done
        self._packets: dict[Direction, Packets] = {"up": Packets(), "down": Packets()}
        self._version: Version | None = None
        self._connected = False
        self._aliases: dict[tuple[Direction, int], str] = {}
        self._earlier: deque[Publish] = deque(maxlen=REMEMBERED)

    def take(self, direction: Direction, data: bytes) -> list[Out]:
        """What becomes of the packets that `data` completes; raises `NotMqtt`."""
        return [out for packet in self._packets[direction].feed(data) for out in self._packet(direction, packet)]

    def injected(self, message: Publish) -> list[Out]:
        """A message to the client that no broker has sent; nothing before the client is connected."""
        if not self._connected or self._version is None:
            return []
        return [Out("down", publish(message, self._version))]

    def _packet(self, direction: Direction, packet: bytes) -> list[Out]:
        kind, orders = packet_type(packet), self._orders() or Meddling()
        if kind == CONNECT:
            self._version = version_of(packet)
        elif kind == CONNACK:
            self._connected = True
        elif kind == PUBLISH:
            message = self._named(direction, read_publish(packet, self._known_version()))
            return self._up(packet, message, orders) if direction == "up" else self._down(packet, message, orders)
        elif kind == PUBACK and direction == "down" and self._happens("puback lost", orders.pubacks_lost):
            return []
        return [Out(direction, packet)]

    def _named(self, direction: Direction, message: Publish) -> Publish:
        """With its topic, where it came by an alias only; with an alias only where it makes one."""
        if not message.alias:
            return message
        key = (direction, message.alias)
        if message.topic:
            self._aliases[key] = message.topic
            return message
        return replace(message, topic=self._aliases.get(key, ""), alias=0)

    def _up(self, packet: bytes, message: Publish, orders: Meddling) -> list[Out]:
        refusable = message.qos == 1 and not message.alias  # without the alias the broker would not know the next ones
        if (
            refusable
            and message.topic.endswith(tuple(orders.refused_topics))
            and self._happens("refused", orders.refused)
        ):
            code = self._random.choice(orders.codes) if self._version == 5 else 0
            return [Out("down", puback(message.packet_id, code))]
        self._watch("up", message)
        return [Out("up", packet)]

    def _down(self, packet: bytes, message: Publish, orders: Meddling) -> list[Out]:
        if not message.topic.endswith(orders.topic):
            self._watch("down", message)
            return [Out("down", packet)]
        if self._happens("lost", orders.lost):
            return [Out("up", puback(message.packet_id))] if message.qos else []
        self._watch("down", message)
        late_s = self._random.uniform(0, orders.max_late_s) if self._happens("late", orders.late) else 0.0
        again = [message] if self._happens("doubled", orders.doubled) else []
        if self._earlier and self._happens("stale", orders.stale):
            again.append(self._random.choice(self._earlier))
        self._earlier.append(message)
        copies = [publish(replace(one, qos=0, dup=False, packet_id=0, alias=0), self._known_version()) for one in again]
        return [Out("down", packet, late_s), *(Out("down", copy) for copy in copies)]

    def _happens(self, name: str, share: float) -> bool:
        happens = share > 0 and self._random.random() < share
        if happens:
            self._done(name)
        return happens

    def _known_version(self) -> Version:
        if self._version is None:
            raise NotMqtt("a PUBLISH before any CONNECT")
        return self._version
