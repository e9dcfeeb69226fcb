"""Whose word counts as delivered: the IOC's, or the broker's. Pure. (docs/contract, "Delivery")"""

from typing import Literal

from simulators.fleet.payloads import IocState
from simulators.mqtt.address import Protocol

Wanted = Literal["auto", "ioc", "broker"]
UNKNOWN_S = 10.0


class Trust:
    """With `auto` the retained state of the IOC decides. Of MQTT 3.1.1 a PUBACK says nothing."""

    def __init__(self, wanted: Wanted, protocol: Protocol) -> None:
        self.ioc_offline = False
        self._wanted: Wanted = "ioc" if protocol == "3.1.1" else wanted
        self._acknowledges: bool | None = None
        self._since_s: float | None = None

    def listens(self, now_s: float) -> None:
        """There is a connection: a state of the IOC that is retained comes soon."""
        if self._since_s is None:
            self._since_s = now_s

    def said(self, state: IocState) -> bool:
        """Take up a state of the IOC; True where it has come up. A state that is forgotten changes nothing."""
        came = state.online and self.ioc_offline
        self.ioc_offline = not state.online
        if state.online or state.ack:
            self._acknowledges = state.ack
        return came

    def puback_counts(self, now_s: float) -> bool:
        """Whether a PUBACK is a delivery; not yet where that may still turn out."""
        if self._wanted != "auto":
            return self._wanted == "broker"
        if self._acknowledges is None:
            return self._since_s is not None and not self.ioc_offline and now_s - self._since_s >= UNKNOWN_S
        return not self._acknowledges
