"""Who is at the other end, and whose word means delivered. Pure.

Promises: `auto` follows the retained state of the IOC; where an IOC that acknowledges was seen once, a PUBACK never
counts again until the IOC says otherwise, for a broker that has just started knows neither its state nor its
subscription. A new process waits `decide_s` before it takes a missing state for "there is no such IOC". That rows are
read holds until the IOC says otherwise, too; an IOC that went away did not unsay it.
"""

from typing import Final, Literal

from agent.clock import NS_PER_S
from agent.uplink.downlink.messages import IocState, NoIocState

LEAST_BYTES: Final = 1_024
"""An IOC that says it takes less would take hardly any batch: that is a mistake in its settings."""
ROWS: Final = "rows"
"""What an IOC that reads rows has among its encodings."""

AckMode = Literal["ioc", "broker", "undecided"]


class Peer:
    """What is known of the IOC. `setting` is `uplink.ack`, `protocol` is `uplink.protocol` of the configuration."""

    def __init__(
        self, setting: Literal["auto", "ioc", "broker"], protocol: Literal["5", "3.1.1"], decide_s: float
    ) -> None:
        self._setting = setting
        self._protocol = protocol
        self._decide_ns = round(decide_s * NS_PER_S)
        self._first_connected_ns: int | None = None
        self._acks = False
        self.reads_rows = False
        self.state: IocState | None = None

    @property
    def online(self) -> bool | None:
        """Whether the IOC's ingest is up; None where it has not said."""
        return None if self.state is None else self.state.online

    @property
    def max_bytes(self) -> int | None:
        """The longest payload that the IOC takes; None where it has not said, or has said what cannot be meant."""
        said = None if self.state is None else self.state.max_bytes
        return None if said is None or said < LEAST_BYTES else said

    def connected(self, now_ns: int) -> None:
        """A connection was opened: what was retained on an earlier one need not be true any more."""
        self.state = None
        if self._first_connected_ns is None:
            self._first_connected_ns = now_ns

    def heard(self, state: IocState | NoIocState) -> bool:
        """Take in what the IOC says; True where it has come up, so that it may lack what was sent before."""
        was_online = self.online is True
        if isinstance(state, NoIocState):
            self.state, self._acks, self.reads_rows = None, False, False
            return False
        self.state = state
        self.reads_rows = ROWS in state.encodings or (self.reads_rows and not state.online)
        self._acks = state.ack or (self._acks and not state.online)
        return state.online and not was_online

    def mode(self, now_ns: int) -> AckMode:
        """Whose word counts now. On MQTT 3.1.1 a PUBACK says nothing, not even that somebody subscribes."""
        if self._setting != "auto":
            return self._setting
        if self._acks or self._protocol == "3.1.1":
            return "ioc"
        return "undecided" if self.state is None and self._is_new(now_ns) else "broker"

    def _is_new(self, now_ns: int) -> bool:
        return self._first_connected_ns is None or now_ns - self._first_connected_ns < self._decide_ns
