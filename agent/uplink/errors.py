"""What can go wrong on the way to the IOC, one class for each decision that the publisher must take."""

from typing import Self

from agent.uplink.faults import Fault


class UplinkDown(Exception):
    """There is no connection, or it has ended: everything in flight is undelivered; connect again.

    `reason` is for people. `code` is the reason code of the broker's CONNACK or DISCONNECT, where it sent one.
    `fault` names what is wrong, where it is one of those that have a name.
    `in_flight` is how many messages waited for their PUBACK when the connection ended.
    """

    def __init__(self, reason: str, code: int | None = None, fault: Fault | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.in_flight = 0
        self.fault = fault

    @classmethod
    def by(cls, fault: Fault, code: int | None = None) -> Self:
        """A connection that a named fault prevents or has ended."""
        return cls(str(fault), code, fault)

    def bare(self) -> Self:
        """Itself, without the frames that it came through: they hold the whole connection while it is remembered."""
        self.__cause__ = self.__context__ = None
        return self.with_traceback(None)


class NotTheTime(UplinkDown):
    """The broker's certificate is not valid yet, or not any more: its dates or this gateway's clock are wrong."""

    def told(self, clock: str) -> UplinkDown:
        """The same with what the clock of this gateway says."""
        return UplinkDown.by(self.fault.including(clock=clock)) if self.fault else self


class UplinkRefused(UplinkDown):
    """The broker answered and will not have us, for a fault of configuration or for now: try again, but slowly."""


class Renewed(UplinkDown):
    """We have left in order, for certificates or keys on disk are new: connect again at once."""


class MessageRejected(Exception):
    """This one message can never be sent; `reason_code` is the PUBACK code that says why (MQTT 5, 3.4.2.1)."""

    def __init__(self, reason_code: int, reason: str) -> None:
        super().__init__(f"{reason} (0x{reason_code:02X})")
        self.reason_code = reason_code
