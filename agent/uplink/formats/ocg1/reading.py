"""Reading what the IOC says: topic and payload in, a typed message out. Pure.

Promises: nothing that arrives raises; what breaks the contract comes out as `Bad`, with a word for the counter, and
changes nothing. Sizes are bounded before anything is parsed. Unknown fields are passed over (contract, payloads).
"""

from typing import Final

import msgspec

from agent.packing import plain
from agent.uplink.downlink.messages import BAD_COMMAND, Ack, Bad, Command, Down, IocState, NoIocState, OwnStatus, Replay
from agent.uplink.formats.ocg1.topics import IOC_STATE, Topics

MAX_BYTES: Final = 256 * 1024
MAX_PLAIN_BYTES: Final = 1024 * 1024


def read_down(topics: Topics, topic: str, payload: bytes) -> Down | None:
    """What a message says; None for an empty one that only clears a retained message."""
    types: dict[str, type[Ack | IocState | OwnStatus | Replay | Command]] = {
        IOC_STATE: IocState,
        topics.ack: Ack,
        topics.replay: Replay,
        topics.command: Command,
        topics.status: OwnStatus,
    }
    if topic not in types:
        return Bad("topic", topic[:100])
    if not payload:
        return NoIocState() if topic == IOC_STATE else None
    if len(payload) > MAX_BYTES:
        return Bad(_kind(topics, topic), f"{topic}: {len(payload)} bytes are too many")
    try:
        return msgspec.json.decode(plain(payload, MAX_PLAIN_BYTES), type=types[topic])
    except (msgspec.MsgspecError, ValueError, RecursionError) as err:
        return Bad(_kind(topics, topic), f"{topic}: {err}"[:300])


def _kind(topics: Topics, topic: str) -> str:
    return BAD_COMMAND if topic == topics.command else "payload"
