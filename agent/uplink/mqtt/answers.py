"""What the broker's answers say: its limits, its own words, and reason codes that paho would not take.

MQTT 5 lists which reason codes may come in which packet. paho takes a packet with any other code for malformed and cuts
the connection: a PUBACK 0x95, which some brokers send for a message that is too large, would come again and again with
the message. What a code means is decided in `agent.uplink.reasons`, not by what the library has a name for.
"""

from types import MappingProxyType

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.uplink.mqtt.options import Limits

_ANSWERS = (PacketTypes.CONNACK, PacketTypes.PUBACK, PacketTypes.SUBACK, PacketTypes.DISCONNECT)


def take_every_code() -> None:
    """Let paho take every code in every packet that a broker answers with."""
    ReasonCode.names = MappingProxyType({code: _names(code) for code in range(256)})


def limits_of(connack: Properties | None) -> Limits:
    """What the broker allows; what its CONNACK leaves out is the default of MQTT 5."""
    said = connack.json() if connack else {}  # type: ignore[no-untyped-call] # paho has no types here
    return Limits(
        receive_maximum=said.get("ReceiveMaximum", 65_535),
        maximum_packet_size=said.get("MaximumPacketSize"),
        topic_alias_maximum=said.get("TopicAliasMaximum", 0),
        server_keep_alive_s=said.get("ServerKeepAlive"),
    )


def in_words(properties: Properties | None) -> str:
    """What the broker adds in words to a refusal: why, and where to go instead; empty where it says nothing."""
    said = properties.json() if properties else {}  # type: ignore[no-untyped-call] # paho has no types here
    found = [str(said[name]) for name in ("ReasonString", "ServerReference") if said.get(name)]
    return f" (it says: {', '.join(found)})" if found else ""


def _names(code: int) -> dict[str, list[int]]:
    known: dict[str, list[int]] = dict(ReasonCode.names.get(code, {}))
    listed = {packet for packets in known.values() for packet in packets}
    missing = [packet for packet in _ANSWERS if packet not in listed]
    return known | {f"reason code 0x{code:02X}": missing} if missing else known
