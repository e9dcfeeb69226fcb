"""How patient the uplink is, and how it is in a moment. Pure."""

import msgspec

from agent.uplink.downlink.peer import AckMode
from agent.uplink.faults import Fault


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """Times that are not settings, in seconds; tests make them short.

    `decide_s`: see `downlink.peer`. `barrier_s`: how long to wait for our own status to come back, before which
    the retained state of the IOC has arrived. `silence_s`: without any PUBACK for so long the connection is given up.
    `renewal_s`: how often to look whether certificates on disk are new.
    """

    decide_s: float = 10.0
    barrier_s: float = 2.0
    silence_s: float = 60.0
    renewal_s: float = 30.0


class UplinkState(msgspec.Struct, kw_only=True):
    """The uplink in a moment, for `oc-agent status`. `alarm` is a fault that a person must mend.

    `fault` is the name of what `error` says, where it has one. `replays`: ids of the IOC's requests without a result.
    """

    connected: bool
    broker: str
    error: str
    fault: Fault | None
    alarm: str
    since_ms: int | None
    connection: int
    ack: AckMode
    ioc_online: bool | None
    in_flight: int
    published: int
    acked: int
    rejected: dict[str, int]
    dead: int
    last_ack_ms: int | None
    ignored: dict[str, int]
    replays: list[str]
