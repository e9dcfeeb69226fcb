"""What a PUBLISH of one connection looks like on the wire: its topic or the alias for it, its properties, its size.

Promises: an alias stands alone only after the broker took a message that set it on this connection, so a broker that
refuses a message and forgets its alias is never sent one that it does not know.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from agent.uplink.mqtt.dialing import properties_of

_EXPIRY_BYTES: Final = 5
_ALIAS_BYTES: Final = 3


class Form(NamedTuple):
    """How one message goes out; `name` is empty where an alias says it, `bytes` is the size of the packet."""

    name: str
    properties: Properties | None
    bytes: int


class Wire:
    """The forms of one connection; `frequent` topics have an alias where the broker allows so many."""

    def __init__(self, protocol: Literal["5", "3.1.1"], topic_alias_maximum: int, frequent: Sequence[str]) -> None:
        self._version_5 = protocol == "5"
        aliased = frequent[:topic_alias_maximum] if self._version_5 else ()
        self._aliases = {topic: number for number, topic in enumerate(aliased, 1)}
        self._known: set[str] = set()
        self._properties: dict[tuple[int | None, int | None], Properties] = {}

    def form(self, topic: str, payload: bytes, qos: int, *, retain: bool, expiry_s: int | None) -> Form:
        """How to send this; births and status, which are retained and rare, always by name."""
        alias = None if retain else self._aliases.get(topic)
        name = "" if alias and topic in self._known else topic
        rest = 2 + len(name.encode()) + (2 if qos else 0) + len(payload)
        if self._version_5:
            rest += 1 + (_EXPIRY_BYTES if expiry_s is not None else 0) + (_ALIAS_BYTES if alias else 0)
        return Form(name, self._properties_of(expiry_s, alias), 1 + _length_bytes(rest) + rest)

    def taken(self, topic: str) -> None:
        """The broker has a message on `topic` that came by name; from now on the alias is enough."""
        if topic in self._aliases:
            self._known.add(topic)

    def _properties_of(self, expiry_s: int | None, alias: int | None) -> Properties | None:
        if not self._version_5 or (expiry_s is None and alias is None):
            return None
        key = (expiry_s, alias)
        if key not in self._properties:
            values = {"MessageExpiryInterval": expiry_s, "TopicAlias": alias}
            given = {name: value for name, value in values.items() if value is not None}
            self._properties[key] = properties_of(PacketTypes.PUBLISH, **given)
        return self._properties[key]


def _length_bytes(length: int) -> int:
    """How many bytes a length takes (MQTT 5, 1.5.5)."""
    return 1 if length < 1 << 7 else 2 if length < 1 << 14 else 3 if length < 1 << 21 else 4
