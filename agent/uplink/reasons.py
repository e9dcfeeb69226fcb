"""What the broker's reason codes mean: for a batch and its lane (PUBACK), for a connection (CONNACK, DISCONNECT). Pure.

Source: MQTT 5, 2.4, 3.2.2.2, 3.4.2.1 and 3.14.2.1; a return code of MQTT 3.1.1 comes as the reason code like it.
"""

from enum import Enum
from typing import Final, Literal


class Verdict(Enum):
    """What to do after a PUBACK."""

    ACCEPTED = "the broker has it"
    NO_SUBSCRIBER = "nobody subscribes: keep it, pause the lane"
    FORBIDDEN = "a fault of configuration: keep it, stop the lane, raise an alarm"
    BUSY = "the broker cannot now: keep it, pause the lane"
    DEAD = "this message will never be taken: put it aside and go on"


_VERDICTS: Final = {
    0x00: Verdict.ACCEPTED,
    0x10: Verdict.NO_SUBSCRIBER,
    0x87: Verdict.FORBIDDEN,
    0x90: Verdict.FORBIDDEN,
    0x95: Verdict.DEAD,
    0x99: Verdict.DEAD,
}
_NAMES: Final = {
    0x10: "no_subscriber",
    0x80: "unspecified",
    0x83: "implementation",
    0x87: "not_authorised",
    0x89: "busy",
    0x90: "bad_topic",
    0x95: "too_large",
    0x96: "rate",
    0x97: "quota",
    0x99: "bad_payload",
}
FIRST_PAUSE_S: Final = 0.5
_MAX_PAUSE_S: Final = {Verdict.NO_SUBSCRIBER: 10.0, Verdict.BUSY: 30.0, Verdict.FORBIDDEN: 60.0}

UNSUPPORTED_PROTOCOL: Final = 0x84
TAKEN_OVER: Final = 0x8E
"""Another client has connected under our id."""
TOO_LARGE: Final = 0x95
REFUSE_A_MESSAGE: Final = frozenset({TOO_LARGE, 0x99})
"""A DISCONNECT with one of these is about a message that we sent."""

_LOG: Final = "see the broker's log"
_OUR_FAULT: Final = "a fault of this agent or of what stands between it and the broker: please report it"
_LATER: Final = "tried again, more slowly each time"
_OPERATOR: Final = "ask who runs the broker"
_ENDS: Final = {
    0x00: ("Normal disconnection", ""),
    0x80: ("Unspecified error", _LOG),
    0x81: ("Malformed packet", _OUR_FAULT),
    0x82: ("Protocol error", _OUR_FAULT),
    0x83: ("Implementation specific error", _LOG),
    0x84: ("Unsupported protocol version", 'set uplink.protocol = "{other}"'),
    0x85: ("Client identifier not valid", "it does not take gateway.id as client id: see its rules for them"),
    0x86: ("Bad user name or password", "see uplink.username and uplink.password_file"),
    0x87: ("Not authorized", "see its access rules for this gateway's certificate or user, and uplink.username"),
    0x88: ("Server unavailable", _LATER),
    0x89: ("Server busy", _LATER),
    0x8A: ("Banned", f"{_OPERATOR} to lift it"),
    0x8B: ("Server shutting down", "tried again until it is back"),
    0x8C: ("Bad authentication method", f"it wants one that this agent does not have: {_OPERATOR}"),
    0x8D: ("Keep alive timeout", "it heard nothing from us for too long: see the line"),
    0x8E: ("Session taken over", "two gateways with one gateway.id, or somebody has its key"),
    0x8F: ("Topic filter invalid", _OUR_FAULT),
    0x90: ("Topic name invalid", f"it does not take the topics of the contract: {_OPERATOR}"),
    0x93: ("Receive maximum exceeded", _OUR_FAULT),
    0x94: ("Topic alias invalid", _OUR_FAULT),
    0x95: ("Packet too large", "what is too large is found and put aside; see its maximum packet size"),
    0x96: ("Message rate too high", _LATER),
    0x97: ("Quota exceeded", _LATER),
    0x98: ("Administrative action", _OPERATOR),
    0x99: ("Payload format invalid", "what it does not take is found and put aside"),
    0x9A: ("Retain not supported", "the contract needs a broker that retains messages"),
    0x9B: ("QoS not supported", "the contract needs a broker with QoS 1"),
    0x9C: ("Use another server", "set uplink.host and uplink.port"),
    0x9D: ("Server moved", "set uplink.host and uplink.port"),
    0x9E: ("Shared subscriptions not supported", _OUR_FAULT),
    0x9F: ("Connection rate exceeded", _LATER),
    0xA0: ("Maximum connect time", ""),
    0xA1: ("Subscription identifiers not supported", _OUR_FAULT),
    0xA2: ("Wildcard subscriptions not supported", _OUR_FAULT),
}
_UNKNOWN: Final = ("A code that MQTT does not know", _LOG)
_SOON: Final = frozenset({0x00, 0x8B, 0x8D, 0x8E, 0x95, 0x98, 0x99, 0xA0})


def verdict(code: int) -> Verdict:
    """What to do after a PUBACK with `code`; a code that nobody knows is a broker that cannot now."""
    return _VERDICTS.get(code, Verdict.BUSY)


def reason_name(code: int) -> str:
    """One word for `code`, for counters and dead letters."""
    return _NAMES.get(code, f"code_{code:02x}")


def max_pause_s(code: int) -> float:
    """The longest pause of a lane after `code`, in seconds."""
    return _MAX_PAUSE_S[verdict(code)]


def end_text(code: int, protocol: Literal["5", "3.1.1"]) -> str:
    """Why there is no connection, for people: the name of the code of a CONNACK or DISCONNECT, and what to try."""
    _, advice = _ENDS.get(code, _UNKNOWN)
    advice = advice.format(other="3.1.1" if protocol == "5" else "5")
    return f"{end_name(code)}{': ' if advice else ''}{advice}"


def end_name(code: int) -> str:
    """The name of the code of a CONNACK or DISCONNECT, and its number."""
    return f"{_ENDS.get(code, _UNKNOWN)[0]} (0x{code:02X})"


def is_slow(code: int) -> bool:
    """Whether to connect again only slowly after a DISCONNECT with `code`: it would come to nothing at once."""
    return code not in _SOON
