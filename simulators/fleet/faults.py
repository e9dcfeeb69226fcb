"""What goes wrong with the messages of a gateway, drawn from a seed. Pure.

Each reading meets at most one fault. None of them costs a reading that is not declared: an IOC that keeps the contract
ends with the account of the gateways, whatever was drawn.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Literal, get_args

import msgspec

from simulators.fleet.shares import parse_rates

FaultName = Literal[
    "doubled", "lost_ack", "reorder", "gap", "unsync", "no_answer", "bad_json", "wrong_version", "wrong_gateway"
]
NAMES: tuple[FaultName, ...] = get_args(FaultName)
ON_THE_WIRE = frozenset[FaultName](("doubled", "reorder", "bad_json", "wrong_version", "wrong_gateway"))
"""Those that need a connection: what waits in a backlog does not meet them."""
MEANINGS: Mapping[FaultName, str] = {
    "doubled": "a message is published twice",
    "lost_ack": "an acknowledgement is not heard: the same bytes come again on backfill",
    "reorder": "a message comes after the one that follows it",
    "gap": "a number never comes, and a data.lost event says so",
    "unsync": "a batch of a clock that was never set, and the clock.step that makes its times right",
    "no_answer": "all but the counter are null, with the quality com",
    "bad_json": "half a message on the topic of data, before the whole one",
    "wrong_version": "a message with v 2, this number and other values, before the true one",
    "wrong_gateway": "a message in the name of another gateway, on the topic of this one, before the true one",
}


@dataclass(frozen=True)
class MessageFaults:
    """How often each comes, as a share of the readings."""

    shares: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "MessageFaults":
        """From `doubled=0.01,gap=0.001`; raises `ValueError` with what to write."""
        shares = parse_rates(text, NAMES, "doubled=0.01")
        if sum(shares.values()) > 1:
            raise ValueError("the shares of the faults are more than 1 together: a reading meets one at most")
        return cls(shares)

    def draw(self, random: Random) -> FaultName | None:
        """The fault of the next reading."""
        if not self.shares:
            return None
        draw = random.random()
        for name in NAMES:
            share = self.shares.get(name, 0.0)
            if draw < share:
                return name
            draw -= share
        return None


def spoiled(fault: FaultName, message: bytes) -> bytes:
    """What is published beside the JSON of a true message, and may not be taken."""
    if fault == "bad_json":
        return message[: len(message) // 2]
    body = msgspec.json.decode(message)
    for scan in body["scans"]:
        scan["values"] = dict.fromkeys(scan["values"], -1)
    if fault == "wrong_version":
        return msgspec.json.encode(body | {"v": 2})
    return msgspec.json.encode(body | {"gateway": body["gateway"] + "-not"})
