"""What a PUBACK's reason code means for the batch and for its lane (MQTT 5, 3.4.2.1). Pure."""

from enum import Enum
from typing import Final


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

TOO_LARGE: Final = 0x95
TAKEN_OVER: Final = 0x8E
"""The code of a DISCONNECT: another client has connected under our id (MQTT 5, 3.14.2.1)."""


def verdict(code: int) -> Verdict:
    """What to do after a PUBACK with `code`; a code that nobody knows is a broker that cannot now."""
    return _VERDICTS.get(code, Verdict.BUSY)


def reason_name(code: int) -> str:
    """One word for `code`, for counters and dead letters."""
    return _NAMES.get(code, f"code_{code:02x}")


def max_pause_s(code: int) -> float:
    """The longest pause of a lane after `code`, in seconds."""
    return _MAX_PAUSE_S[verdict(code)]
